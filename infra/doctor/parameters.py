"""The parameters that were given."""

import difflib

from .declared import refused
from .finding import fault, fine
from .machines import NEWEST


def given(case):
    """Known to the template, taken by it, and none missing."""
    found = []
    tells = {"MachineImageId": NEWEST.format(case.architecture), "ImageTag": "git rev-parse HEAD   # as .github/deploy and README.md tag images"}
    for name, value in case.given.items():
        if name not in case.declared:
            close = difflib.get_close_matches(name, case.declared, 1)
            found.append(fault(f"{case.template} has no parameter {name}" + (f"; is {close[0]} meant?" if close else ""),
                               f"sed -n '/^Parameters:/,/^Rules:/p' {case.template}   # all of them, with what they mean"))
        elif why := refused(case.declared[name], value):
            # The token is not shown, wrong or not.
            shown = "…" if case.declared[name].get("NoEcho") == "true" else value
            found.append(fault(f"{name}={shown} is refused: {why}", f"grep -A 8 '^  {name}:' {case.template}"))
    for name, declaration in case.declared.items():
        if case.value(name) is None and not (name == "TelegramToken" and case.deployed):
            # The token may stay out of the file: a pipe brings it.
            if name != "TelegramToken":
                found.append(fault(f"{name} is missing", tells.get(name) or f"grep -A 6 '^  {name}:' {case.template}   # what it is; then into the file"))
    if not case.mini:
        has = [name for name in ("HostedZoneId", "CertificateId") if case.value(name)]
        if len(has) != 1:
            found.append(fault("both HostedZoneId and CertificateId are given" if has else "neither HostedZoneId nor CertificateId is given",
                               "# give HostedZoneId (a certificate is made) or CertificateId (yours is used)"))
        if case.number("WorkerMin") >= case.number("WorkerMax"):
            found.append(fault(f"WorkerMin {case.value('WorkerMin')} is not below WorkerMax {case.value('WorkerMax')}: nothing could scale",
                               case.update("WorkerMax=…")))
    return found or [fine(f"{len(case.given)} parameters, as {case.template} takes them")]
