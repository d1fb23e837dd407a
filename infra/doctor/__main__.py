"""Looks at an AWS account before polybot is deployed there, and at the stack afterwards. It changes nothing.

Prints what it found, with the commands that mend it; nothing is to be mended where it prints none. Before a deploy: plan and quotas,
instance types by zone, machine images, containers and their processor, zone, CAA and certificate, GitHub's tokens, leftovers. After it, too:
instances, load balancers, the name, the webhook, every alarm's wiring, and, with --photo, a photo end to end (which it stores and
queues as polybot would).

Ends with 0 if nothing hinders, 1 if something does, 2 if it was called wrongly, 3 if something could not be looked at.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from . import account, alarms, containers, dns, leftovers, machines, name, parameters, photo, pipeline, running, telegram
from .aws import Aws, AwsError, denied
from .case import BadParameters, Case, read
from .finding import EXIT, FAULT, FINE, UNKNOWN, WARNING, Finding, unknown, worst

# By what is named after --only, in the order in which they are printed. `after`: only where there is a stack.
CHECKS = {
    "parameters": parameters.given, "plan": account.plan, "quotas": account.quotas, "types": machines.instance_types,
    "machine-images": machines.images, "pipeline": pipeline.subject, "images": containers.images, "zone": name.zone,
    "caa": name.certification_authority, "certificate": name.certificate, "stack": leftovers.of_the_stack, "names": leftovers.names,
    "data": leftovers.data, "topic": alarms.topic, "bot": telegram.bot,
    "instances": running.instances, "targets": running.targets, "address": name.points_to_the_stack, "alarms": alarms.wiring,
}
AFTER = {"instances", "targets", "address", "alarms"}
_ASK_DNS = {"zone", "caa", "address"}
_SIGNS = {FINE: "ok", WARNING: "warning", UNKNOWN: "unknown", FAULT: "FAULT"}


def _arguments():
    parser = argparse.ArgumentParser(prog="polybotctl doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["aws"], help="what is looked at")
    parser.add_argument("--parameters", metavar="FILE", help='the stack\'s parameters: a list of "NAME=value" as JSON, or NAME=value lines; those of the '
                        "stack that is there where none are given. The token may be left out (TELEGRAM_TOKEN in the environment)")
    parser.add_argument("--stack", default="polybot")
    parser.add_argument("--bootstrap", default="polybot-bootstrap", help="the stack of bootstrap.yaml")
    parser.add_argument("--mini", action="store_true", help="it is, or is to be, a stack of mini.yaml")
    parser.add_argument("--only", action="append", choices=list(CHECKS), help="this check alone (may be repeated)")
    parser.add_argument("--photo", metavar="FILE", help="send this photo through the stack")
    parser.add_argument("--chat", type=int, default=photo.NOBODY, help="with --photo: have it answered in this Telegram chat (one that the bot knows)")
    parser.add_argument("--photo-seconds", type=float, default=300, help="the longest to wait for it; where no worker runs, one has to boot")
    parser.add_argument("--resolver", metavar="HOST[:PORT]", default=dns.default_resolver(), help="whom to ask for names [default: %(default)s]")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def _region():
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        try:
            region = subprocess.run(["aws", "configure", "get", "region"], capture_output=True, text=True).stdout.strip()
        except FileNotFoundError:
            pass
    return region


def _run(check, case, *more) -> list[Finding]:
    """What the check found; where AWS can't be asked, that."""
    function = CHECKS.get(check, photo.send)
    try:
        found = list(function(case, *more))
    except AwsError as error:
        if denied(error):
            found = [unknown(f"you may not look: {error}", "aws sts get-caller-identity   # who asks; a right to read (ReadOnlyAccess) is enough")]
        elif error.code == "TooOld":
            found = [unknown(str(error), "aws --version   # https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html")]
        else:
            found = [unknown(str(error), f"{error.command}   # what failed, to see it by itself")]
    return [replace(finding, check=check) for finding in found]


def main(argv=None):
    parser = _arguments()
    given = parser.parse_args(argv)
    region = _region()
    if not region:
        parser.error("set AWS_REGION: which region?")
    # Version 2 would page.
    os.environ["AWS_PAGER"] = ""
    try:
        chosen = read(given.parameters) if given.parameters else {}
    except BadParameters as error:
        parser.error(str(error))
    case = Case(Aws(region), given.stack, given.bootstrap, chosen, given.mini)
    try:
        # Once, before the checks ask for them side by side.
        case.account, case.description, case.bootstrap_description, case.resources  # noqa: B018
    except AwsError as error:
        print(f"{error}", file=sys.stderr)
        return EXIT[UNKNOWN]
    if not given.parameters and not case.deployed:
        parser.error(f"there is no stack {given.stack} to take the parameters from: give --parameters FILE")
    checks = [check for check in CHECKS if (given.only is None or check in given.only) and (check not in AFTER or case.deployed)]
    with ThreadPoolExecutor(8) as threads:
        running_checks = [threads.submit(_run, check, case, *([given.resolver] if check in _ASK_DNS else [])) for check in checks]
        findings = [finding for check in running_checks for finding in check.result()]
    if given.photo:
        if case.deployed:
            findings += _run("photo", case, given.photo, given.chat, given.photo_seconds)
        else:
            findings.append(replace(unknown(f"there is no stack {given.stack} to send a photo through"), check="photo"))
    show = _as_json if given.json else _as_text
    show(findings, case)
    return EXIT[worst(findings)]


def _as_json(findings, case):
    counts = {level: sum(finding.level == level for finding in findings) for level in (FAULT, UNKNOWN, WARNING, FINE)}
    json.dump({"stack": case.stack, "account": case.account, "region": case.aws.region, "status": case.status, **counts,
               "findings": [finding.as_json() for finding in findings]}, sys.stdout, indent=2)
    print()


def _as_text(findings, case):
    print(f"{case.stack} in {case.aws.region}, account {case.account}: {case.status or 'not deployed yet'}\n")
    # What is to be done last, where it is seen.
    for level in (FINE, WARNING, UNKNOWN, FAULT):
        for finding in findings:
            if finding.level == level:
                print(f"{_SIGNS[level]:8} {finding.check:15} {finding.says}")
                for line in finding.mend.splitlines():
                    print(f"{'':24} {'' if line.startswith('#') else '$ '}{line}")
    count = {level: sum(finding.level == level for finding in findings) for level in (FAULT, UNKNOWN, WARNING)}
    said = {FAULT: "to mend first", UNKNOWN: "not looked at", WARNING: "to know of"}
    print("\n" + (", ".join(f"{number} {said[level]}" for level, number in count.items() if number) or "nothing hinders"))


if __name__ == "__main__":
    sys.exit(main())
