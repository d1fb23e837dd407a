"""What a check found, and the command that mends it."""

from dataclasses import asdict, dataclass

# `fault`: the deploy would fail, or the bot does not work. `warning`: it works, and will surprise. `unknown`: it could not be looked at.
FINE, WARNING, UNKNOWN, FAULT = "fine", "warning", "unknown", "fault"
# What the process ends with, by the worst that was found.
EXIT = {FINE: 0, WARNING: 0, UNKNOWN: 3, FAULT: 1}
_RANK = {level: rank for rank, level in enumerate((FINE, WARNING, UNKNOWN, FAULT))}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: str
    # In one sentence, with the names and numbers that were found.
    says: str
    # What to type; several lines where it takes several commands. Empty where nothing is to be done.
    mend: str = ""
    check: str = ""

    def as_json(self):
        return asdict(self)


def fine(says):
    return Finding(FINE, says)


def warning(says, mend=""):
    return Finding(WARNING, says, mend)


def unknown(says, mend=""):
    return Finding(UNKNOWN, says, mend)


def fault(says, mend):
    return Finding(FAULT, says, mend)


def worst(findings):
    """The level that decides the exit code."""
    return max((finding.level for finding in findings), key=_RANK.get, default=FINE)
