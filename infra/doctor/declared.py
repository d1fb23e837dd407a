"""The parameters that a template declares. Read without a YAML library, which an operator's Python has not; a test compares it with one."""

import json
import re


def parameters(text):
    """By name, the properties of each parameter: Type, Default and what bounds it, as text or a list of texts."""
    section = re.search(r"^Parameters:\n(.*?)^\S", text, re.M | re.S)[1]
    found = {}
    for line in section.splitlines():
        if name := re.fullmatch(r"  (\w+):", line):
            current = found[name[1]] = {}
        elif entry := re.fullmatch(r"    (\w+): (.+)", line):
            current[entry[1]] = _value(entry[2])
    return found


def _value(text):
    if text.startswith("["):
        return [_value(part.strip()) for part in text[1:-1].split(",")]
    # A YAML text in double quotes is JSON but for escapes that the templates have none of.
    return json.loads(text) if text.startswith('"') else text


def refused(declaration, value):
    """Why CloudFormation would not take this value, or None."""
    if "AllowedPattern" in declaration and not re.fullmatch(declaration["AllowedPattern"], value):
        return declaration.get("ConstraintDescription") or f"it has to match {declaration['AllowedPattern']}"
    if "AllowedValues" in declaration and value not in declaration["AllowedValues"]:
        return "it has to be one of " + ", ".join(declaration["AllowedValues"])
    if declaration["Type"] == "Number":
        try:
            number = float(value)
        except ValueError:
            return "it has to be a number"
        if "MinValue" in declaration and number < float(declaration["MinValue"]):
            return f"it has to be {declaration['MinValue']} or more"
        if "MaxValue" in declaration and number > float(declaration["MaxValue"]):
            return f"it has to be {declaration['MaxValue']} or less"
    return None
