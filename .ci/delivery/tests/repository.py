"""Where the tests read: the repository, and what a service's settings are in its source."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("polybot", "yolo-worker", "metric-streamer")


def read(path: str) -> str:
    return (ROOT / path).read_text()


def settings(service: str) -> dict[str, str]:
    """The service's settings: the environment variable of each field of its Settings, and the field's declaration."""
    source = read(f"{service}/src/settings.rs")
    body = source[source.index("pub struct Settings") :]
    body = body[: body.index("\n}\n")]
    found = {}
    attribute = ""
    for line in body.splitlines():
        line = line.strip()
        if field := re.match(r"pub (\w+): (.+?),?$", line):
            found[field[1].upper()] = attribute + line
            attribute = ""
        elif not line.startswith("///"):
            attribute += line
    # Of fleet, flattened into each.
    found["LOG_FORMAT"] = "default_value"
    found.pop("TELEMETRY", None)
    return found


def required(service: str) -> set[str]:
    """The settings without which the service ends."""
    return {
        name
        for name, declaration in settings(service).items()
        if "default_value" not in declaration and ": Option<" not in declaration
    }
