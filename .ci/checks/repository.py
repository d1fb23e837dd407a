"""Where checks read: the repository, and the contract that the services' own programs write."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("polybot", "yolo-worker", "metric-streamer")


def read(path):
    return (ROOT / path).read_text()


# tests/contract.rs writes it.
CONTRACT = json.loads(read("docs/contract.json"))


def settings(service):
    """The service's settings by name."""
    return {setting["name"]: setting for setting in CONTRACT["services"][service]["settings"]}


def required(service):
    """The settings without which the service ends."""
    return {name for name, setting in settings(service).items() if setting["required"]}


def metrics():
    """Every metric of every service; `build_info` is of all."""
    return {"build_info"} | {metric["name"] for service in SERVICES for metric in CONTRACT["services"][service]["metrics"]}
