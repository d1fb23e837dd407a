"""Where the tests read: the repository, and what a service's settings are in its source."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("polybot", "yolo-worker", "metric-streamer")


def read(path: str) -> str:
    return (ROOT / path).read_text()


# What is flattened into a service's Settings: the field, and the struct and where it is.
FLATTENED = {"NETWORK": ("Network", "yolo-worker/src/network.rs"), "TELEMETRY": ("Telemetry", "fleet/src/settings.rs")}


def settings(service: str) -> dict[str, str]:
    """The service's settings: the environment variable of each field of its Settings, and the field's declaration."""
    found = fields("Settings", f"{service}/src/settings.rs")
    for name in FLATTENED.keys() & found.keys():
        del found[name]
        found |= fields(*FLATTENED[name])
    return found


def fields(struct: str, path: str) -> dict[str, str]:
    """Of each field the name in capitals, and its declaration."""
    source = read(path)
    body = source[source.index(f"pub struct {struct}") :]
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
    return found


def required(service: str) -> set[str]:
    """The settings without which the service ends."""
    return {
        name
        for name, declaration in settings(service).items()
        if "default_value" not in declaration and ": Option<" not in declaration
    }
