"""The bot's public name: its zone, who may certify it, and where it points."""

import datetime
import json

from . import dns
from .aws import AwsError
from .dns import DnsError
from .finding import fault, fine, unknown, warning

# https://docs.aws.amazon.com/acm/latest/userguide/setup-caa.html
AMAZON = {"amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com"}


def zone(case, resolver):
    """The hosted zone is the name's, public, and what the world asks; nothing else has the name."""
    identity, name = case.value("HostedZoneId"), case.value("DomainName")
    if not identity or not name:
        return
    listed = "aws route53 list-hosted-zones --query 'HostedZones[].[Id, Name, Config.PrivateZone]' --output text"
    try:
        found = case.aws("route53", "get-hosted-zone", "--id", identity)
    except AwsError as error:
        if error.code != "NoSuchHostedZone":
            raise
        yield fault(f"there is no hosted zone {identity}", f"{listed}   # then HostedZoneId=…")
        return
    of = found["HostedZone"]["Name"].rstrip(".")
    if found["HostedZone"].get("Config", {}).get("PrivateZone"):
        yield fault(f"the hosted zone {identity} ({of}) is private: neither Telegram nor ACM see what is in it", f"{listed}   # take a public one")
        return
    if name != of and not name.endswith(f".{of}"):
        yield fault(f"DomainName {name} is not in the hosted zone {identity}, which is {of}", f"{listed}   # then HostedZoneId=…")
        return
    servers = {server.rstrip(".").lower() for server in found["DelegationSet"]["NameServers"]}
    try:
        asked = set(dns.ask(of, "NS", resolver))
    except DnsError as error:
        yield unknown(f"whether {of} is delegated to Route 53: {error}", f"dig +short NS {of}")
    else:
        if not asked & servers:
            now = f"names {', '.join(sorted(asked))}" if asked else "names nobody"
            yield fault(f"{of} is not delegated to its hosted zone: the world {now}, so its certificate is never validated",
                        f"# at the registrar, or in the zone above {of}, make NS records of:\n# {' '.join(sorted(servers))}")
        elif asked != servers:
            yield warning(f"{of} is delegated to its hosted zone, and to {', '.join(sorted(asked - servers)) or 'fewer servers than it has'}",
                          f"# at the registrar, or in the zone above {of}, name just: {' '.join(sorted(servers))}")
        else:
            yield fine(f"{of} is delegated to its hosted zone {identity}")
    if "Record" not in case.resources:
        records = case.aws("route53", "list-resource-record-sets", "--hosted-zone-id", identity, "--start-record-name", name,
                           "--max-items", "10")["ResourceRecordSets"]
        for record in records:
            if record["Name"].rstrip(".").replace("\\052", "*") == name and record["Type"] in ("A", "AAAA", "CNAME"):
                batch = json.dumps({"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]})
                yield fault(f"{name} has a record {record['Type']} already, which is not the stack's: making it would fail",
                            f"aws route53 change-resource-record-sets --hosted-zone-id {identity} --change-batch '{batch}'")


def certification_authority(case, resolver):
    """Whether CAA records let Amazon make the certificate."""
    name = case.value("DomainName")
    if not case.value("HostedZoneId") or not name:
        return
    labels = name.split(".")
    # The nearest name that has any decides (RFC 8659).
    for at in range(len(labels)):
        parent = ".".join(labels[at:])
        try:
            records = dns.ask(parent, "CAA", resolver)
        except DnsError as error:
            yield unknown(f"whether CAA records let Amazon certify {name}: {error}", f"dig +short CAA {parent}")
            return
        if not records:
            continue
        issuers = [value.split(";")[0].strip().lower() for tag, value in records if tag == "issue"]
        if issuers and not AMAZON & set(issuers):
            named = ", ".join(issuer or "nobody" for issuer in issuers)
            kept = [{"Value": f"0 {tag} \"{value}\""} for tag, value in records if value.split(";")[0].strip()]
            batch = json.dumps({"Changes": [{"Action": "UPSERT", "ResourceRecordSet": {
                "Name": parent, "Type": "CAA", "TTL": 300, "ResourceRecords": [*kept, {"Value": '0 issue "amazon.com"'}]}}]})
            yield fault(f"the CAA records of {parent} let {named} certify {name}, and not Amazon: the certificate fails",
                        f"aws route53 change-resource-record-sets --hosted-zone-id {case.value('HostedZoneId')} --change-batch '{batch}'")
        else:
            yield fine(f"the CAA records of {parent} let Amazon certify {name}")
        return
    yield fine(f"no CAA record keeps Amazon from certifying {name}")


def certificate(case):
    """The certificate that was given is there, issued, the name's, and not about to end."""
    identity, name = case.value("CertificateId"), case.value("DomainName")
    if not identity:
        return
    arn = f"arn:aws:acm:{case.aws.region}:{case.account}:certificate/{identity}"
    listed = ("aws acm list-certificates --include keyTypes=RSA_2048,RSA_3072,RSA_4096,EC_prime256v1,EC_secp384r1 "
              "--query 'CertificateSummaryList[].[CertificateArn, DomainName, Status]' --output text")
    try:
        found = case.aws("acm", "describe-certificate", "--certificate-arn", arn)["Certificate"]
    except AwsError as error:
        if error.code != "ResourceNotFoundException":
            raise
        yield fault(f"there is no certificate {identity} in {case.aws.region}: the load balancer takes one of its region", listed)
        return
    names = {found.get("DomainName", ""), *found.get("SubjectAlternativeNames", [])}
    if found["Status"] != "ISSUED":
        yield fault(f"the certificate {identity} is {found['Status']}", f"aws acm describe-certificate --certificate-arn {arn} "
                    "--query 'Certificate.[Status, FailureReason, DomainValidationOptions]'")
    elif name not in names and f"*.{name.partition('.')[2]}" not in names:
        yield fault(f"the certificate {identity} is for {', '.join(sorted(names))}, not for {name}", listed)
    elif (left := _days(found["NotAfter"])) < 21:
        anew = f"aws acm import-certificate --certificate-arn {arn} --certificate fileb://certificate.pem --private-key fileb://key.pem"
        if left < 0:
            yield fault(f"the certificate {identity} ended {-left} days ago", anew)
        else:
            yield warning(f"the certificate {identity} ends in {left} days", anew)
    else:
        yield fine(f"the certificate {identity} is for {name}, for {left} days more")


def _days(time):
    """Until then; both versions of the command line write it, one as text, one as a number."""
    then = (datetime.datetime.fromtimestamp(time, datetime.timezone.utc) if isinstance(time, (int, float))
            else datetime.datetime.fromisoformat(time.replace("Z", "+00:00")))
    return (then - datetime.datetime.now(datetime.timezone.utc)).days


def points_to_the_stack(case, resolver):
    """After the deploy: the name has the public load balancer's addresses."""
    name, balancer = case.value("DomainName"), case.outputs.get("PublicLoadBalancerName")
    if not name or not balancer:
        return
    try:
        named, balancing = set(dns.ask(name, "A", resolver)), set(dns.ask(balancer, "A", resolver))
    except DnsError as error:
        yield unknown(f"where {name} points: {error}", f"dig +short A {name}")
        return
    if named and named & balancing:
        yield fine(f"{name} points to the load balancer")
        return
    where = f"points to {', '.join(sorted(named))}" if named else "has no address"
    mend = (case.update(f"HostedZoneId={case.value('HostedZoneId')}") if case.value("HostedZoneId")
            else f"# where {name} is kept, make a CNAME record of it that says:\n# {balancer}")
    yield fault(f"{name} {where}, not to the load balancer {balancer}: Telegram does not reach polybot", mend)
