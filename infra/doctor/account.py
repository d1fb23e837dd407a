"""Whether the account may run it: its plan, and its quotas."""

import math
import re

from .aws import AwsError
from .finding import fault, fine, unknown, warning

# vCPUs of running instances of the standard families, on demand and spot.
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
_STANDARD, _OF_THEIR_OWN = set("acdhimrtz"), {"dl", "hpc", "inf", "mac", "trn"}
ON_DEMAND, SPOT = "L-1216C47A", "L-34B43A08"
VPCS, ADDRESSES = "L-F678F1CE", "L-0263D0A3"


def _standard(name):
    family = re.match("[a-z]*", name)[0]
    return family[:1] in _STANDARD and family not in _OF_THEIR_OWN


def plan(case):
    """The Free plan launches few types and ends."""
    # The service is in one region.
    state = case.aws("freetier", "get-account-plan-state", region="us-east-1")
    kind, status = state.get("accountPlanType"), state.get("accountPlanStatus")
    if kind != "FREE":
        yield fine(f"the account is on the plan {kind}")
        return
    upgrade = "aws freetier upgrade-account-plan --account-plan-type PAID --region us-east-1"
    if status == "EXPIRED":
        yield fault("the account's Free plan has expired: nothing launches", upgrade)
        return
    names = sorted({*case.first_types, *case.worker_types})
    refused = [name for name, kind in case.types(names).items() if not kind.get("FreeTierEligible")]
    if refused:
        yield fault(f"the account is on the Free plan, which does not launch {', '.join(refused)}",
                    f"{upgrade}\n# or take types from:\naws ec2 describe-instance-types --filters Name=free-tier-eligible,Values=true "
                    "--query 'InstanceTypes[].InstanceType'")
    else:
        yield warning(f"the account is on the Free plan: it ends, with everything in it, on {state.get('accountPlanExpirationDate', 'its day')}",
                      upgrade)


def wanted(case):
    """(vCPUs on demand, of spot) to begin with, and at the most, while instances are replaced as well."""
    known = case.types(sorted({*case.first_types, *case.worker_types}))
    cores = {name: kind["VCpuInfo"]["DefaultVCpus"] for name, kind in known.items()}
    first = cores.get(case.first_types[0], 2)
    if case.mini:
        # The old one goes before the new one comes.
        return (first, 0), (first, 0)
    polybots = case.number("PolybotCount")
    while_replaced = math.ceil(polybots * 1.5) if case.value("PolybotUpdate") == "launch-first" else polybots
    streamer = 2 if case.value("MetricStreamer") == "own-instance" else 0
    worker = max((cores.get(name, 2) for name in case.worker_types), default=2)

    def of_workers(count):
        base = min(count, case.number("WorkerOnDemandBase"))
        paid = base + math.ceil((count - base) * case.number("WorkerOnDemandPercent") / 100)
        return paid * worker, (count - paid) * worker

    begin, most = of_workers(max(case.number("WorkerMin"), 1)), of_workers(math.ceil(case.number("WorkerMax") * 1.5))
    return ((polybots * first + streamer + begin[0], begin[1]),
            (while_replaced * first + 2 * streamer + most[0], most[1]))


def _in_use(case):
    """vCPUs of the standard families that run and are not this stack's, on demand and spot."""
    found = {False: 0, True: 0}
    reservations = case.aws("ec2", "describe-instances", "--filters", "Name=instance-state-name,Values=pending,running")["Reservations"]
    for instance in (instance for reservation in reservations for instance in reservation["Instances"]):
        tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
        own = tags.get("aws:autoscaling:groupName", "").startswith(f"{case.stack}-")
        if own or not _standard(instance["InstanceType"]):
            continue
        options = instance.get("CpuOptions", {})
        found[instance.get("InstanceLifecycle") == "spot"] += options.get("CoreCount", 1) * options.get("ThreadsPerCore", 2)
    return found[False], found[True]


def quotas(case):
    """vCPUs on demand and of spot; networks; addresses."""
    others = [name for name in (*case.first_types, *case.worker_types) if not _standard(name)]
    if others:
        yield unknown(f"{', '.join(others)}: of families with quotas of their own, which are not looked at",
                      "aws service-quotas list-service-quotas --service-code ec2 --query \"Quotas[?contains(QuotaName, 'Running')].[QuotaName, Value]\"")
    begin, most = wanted(case)
    for kind, code, at_first, at_most, used in zip(("on demand", "of spot"), (ON_DEMAND, SPOT), begin, most, _in_use(case)):
        allowed = _quota(case, "ec2", code)
        raised = _raise("ec2", code, max(32, int(2 ** math.ceil(math.log2(max(1, at_most + used))))))
        having = f"{allowed:g} vCPUs {kind} are allowed, {used:g} of them run for something else"
        if at_first + used > allowed:
            # Some is asked for by a person: they may take hours.
            yield fault(f"{having}, and the stack begins with {at_first:g}", raised)
        elif at_most + used > allowed:
            yield warning(f"{having}; the stack begins with {at_first:g}, and at its largest, while it is replaced, wants {at_most:g}: it grows "
                          "and updates as far as it gets", raised)
        else:
            yield fine(f"{having}; the stack wants {at_first:g}" + (f", and {at_most:g} at its largest" if at_most > at_first else ""))
    if not case.deployed:
        allowed, used = _quota(case, "vpc", VPCS), len(case.aws("ec2", "describe-vpcs")["Vpcs"])
        if used + 1 > allowed:
            yield fault(f"the region has {used} networks (VPCs) of {allowed:g} allowed, and the stack makes one", _raise("vpc", VPCS, used + 5))
        else:
            yield fine(f"{used} of {allowed:g} networks (VPCs) are used")
    if case.says("PrivateSubnets") and "NatAddressA" not in case.resources:
        allowed, used = _quota(case, "ec2", ADDRESSES), len(case.aws("ec2", "describe-addresses")["Addresses"])
        if used + 2 > allowed:
            yield fault(f"{used} of {allowed:g} Elastic IP addresses are used, and two NAT gateways want two more",
                        _raise("ec2", ADDRESSES, used + 5))
        else:
            yield fine(f"{used} of {allowed:g} Elastic IP addresses are used")


def _quota(case, service, code):
    try:
        return case.aws("service-quotas", "get-service-quota", "--service-code", service, "--quota-code", code)["Quota"]["Value"]
    except AwsError as error:
        if error.code != "NoSuchResourceException":
            raise
        # Nobody asked for another one: the default holds.
        return case.aws("service-quotas", "get-aws-default-service-quota", "--service-code", service, "--quota-code", code)["Quota"]["Value"]


def _raise(service, code, value):
    return f"aws service-quotas request-service-quota-increase --service-code {service} --quota-code {code} --desired-value {value:g}"
