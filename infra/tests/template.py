"""A CloudFormation template as Python reads it, and its intrinsic functions worked out.

The emulators do that themselves for what they make. It is done here for what they do not keep, so that it can be put to
an API as CloudFormation would put it.
"""

import base64
import re

import yaml
from repository import ROOT

INFRA = ROOT / "infra"


class _Loader(yaml.SafeLoader):
    pass


def _intrinsic(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load(name):
    """The template in infra/ of this name, with intrinsic functions in their long form."""
    return yaml.load((INFRA / name).read_text(), _Loader)


def references(value, found=None):
    """Every (resource, attribute) that Fn::GetAtt or Fn::Sub name in `value`."""
    found = set() if found is None else found
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Fn::GetAtt":
                found.add(tuple(inner))
            elif key == "Fn::Sub":
                text = inner if isinstance(inner, str) else inner[0]
                found.update(tuple(name.split(".", 1)) for name in re.findall(r"\$\{(\w+\.[\w.]+)\}", text))
                references(inner, found)
            else:
                references(inner, found)
    elif isinstance(value, list):
        for inner in value:
            references(inner, found)
    return found


class Resolver:
    """Works out intrinsic functions, given what a deployed stack's resources are called."""

    _NO_VALUE = object()

    def __init__(self, template, parameters, pseudo, physical_ids, attributes):
        self._template = template
        self._pseudo = pseudo
        self._physical_ids = physical_ids
        self._attributes = attributes
        self._parameters = {}
        for name, declared in template["Parameters"].items():
            value = parameters.get(name, declared.get("Default"))
            if declared["Type"] == "CommaDelimitedList":
                value = value.split(",")
            self._parameters[name] = value

    def resource(self, logical_id):
        """The properties of a resource."""
        return self.resolve(self._template["Resources"][logical_id]["Properties"])

    def exists(self, logical_id):
        """Whether the resource's condition is met."""
        condition = self._template["Resources"][logical_id].get("Condition")
        return condition is None or self.condition(condition)

    def condition(self, name):
        """Whether the condition of this name is met."""
        return self._holds(self._template["Conditions"][name])

    def resolve(self, value):
        """The value with all functions in it worked out."""
        if isinstance(value, list):
            resolved = (self.resolve(inner) for inner in value)
            return [inner for inner in resolved if inner is not self._NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, argument), = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._apply(function, argument)
        resolved = {key: self.resolve(inner) for key, inner in value.items()}
        return {key: inner for key, inner in resolved.items() if inner is not self._NO_VALUE}

    def _apply(self, function, argument):
        if function == "Ref":
            return self._ref(argument)
        if function == "Fn::GetAtt":
            return self._attributes[tuple(argument)]
        if function == "Fn::If":
            name, then, otherwise = argument
            return self.resolve(then if self.condition(name) else otherwise)
        if function == "Fn::Sub":
            text, extra = (argument, {}) if isinstance(argument, str) else argument
            return re.sub(r"\$\{([^!}][^}]*)\}", lambda found: self._substitute(found[1], extra), text)
        if function == "Fn::Join":
            separator, parts = argument
            return separator.join(str(part) for part in self.resolve(parts))
        if function == "Fn::Split":
            separator, text = argument
            return self.resolve(text).split(separator)
        if function == "Fn::Select":
            index, parts = argument
            return self.resolve(parts)[int(index)]
        if function == "Fn::FindInMap":
            name, first, second = self.resolve(argument)
            return self._template["Mappings"][name][first][second]
        if function == "Fn::Base64":
            return base64.b64encode(self.resolve(argument).encode()).decode()
        raise NotImplementedError(f"{function} is not known to infra/tests/template.py; teach it")

    def _substitute(self, name, extra):
        if name in extra:
            return str(self.resolve(extra[name]))
        if "." in name:
            return str(self._attributes[tuple(name.split(".", 1))])
        return str(self._ref(name))

    def _ref(self, name):
        if name == "AWS::NoValue":
            return self._NO_VALUE
        for names in (self._pseudo, self._parameters, self._physical_ids):
            if name in names:
                return names[name]
        raise KeyError(f"nothing is called {name}")

    def _holds(self, expression):
        (function, argument), = expression.items()
        if function == "Condition":
            return self.condition(argument)
        if function == "Fn::Equals":
            first, second = (str(self.resolve(side)) for side in argument)
            return first == second
        if function == "Fn::Not":
            return not self._holds(argument[0])
        if function == "Fn::And":
            return all(self._holds(inner) for inner in argument)
        if function == "Fn::Or":
            return any(self._holds(inner) for inner in argument)
        raise NotImplementedError(f"{function} is not known to infra/tests/template.py; teach it")
