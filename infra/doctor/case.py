"""What is to be deployed, or was: the parameters, and what AWS has of the stack."""

import json
from functools import cached_property
from pathlib import Path

from . import declared
from .aws import AwsError

INFRA = Path(__file__).resolve().parent.parent
SERVICES = ("polybot", "yolo-worker", "metric-streamer")


class BadParameters(Exception):
    """A file of parameters that can't be read."""


def read(path):
    """The parameters of a file, as `aws cloudformation deploy --parameter-overrides file://…` takes them: a list of "NAME=value", a list of
    objects with ParameterKey and ParameterValue, or an object with Parameters. Or, for people, NAME=value lines."""
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise BadParameters(f"can't read {path}: {error.strerror}") from None
    try:
        given = json.loads(text)
    except ValueError:
        given = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if isinstance(given, dict):
        return {name: str(value) for name, value in given.get("Parameters", given).items()}
    found = {}
    for entry in given:
        if isinstance(entry, dict) and "ParameterKey" in entry:
            found[entry["ParameterKey"]] = str(entry.get("ParameterValue", ""))
        elif isinstance(entry, str) and "=" in entry:
            name, value = entry.split("=", 1)
            found[name] = value
        else:
            # The entry may be the token.
            raise BadParameters(f"{path}: entry {given.index(entry) + 1} is not NAME=value")
    return found


class Case:
    """One stack, before or after its deploy."""

    def __init__(self, aws, stack, bootstrap, given, mini):
        self.aws, self.stack, self.bootstrap, self.given, self.mini = aws, stack, bootstrap, given, mini
        self._types = {}
        self.template = "infra/mini.yaml" if mini else "infra/polybot.yaml"
        self.declared = declared.parameters((INFRA / Path(self.template).name).read_text())

    @cached_property
    def account(self):
        return self.aws("sts", "get-caller-identity")["Account"]

    @cached_property
    def description(self):
        """The stack as it is, or None."""
        return self._describe(self.stack)

    @cached_property
    def bootstrap_description(self):
        return self._describe(self.bootstrap)

    def _describe(self, name):
        try:
            return self.aws("cloudformation", "describe-stacks", "--stack-name", name)["Stacks"][0]
        except AwsError as error:
            if error.code == "ValidationError":
                return None
            raise

    @property
    def status(self):
        return self.description["StackStatus"] if self.description else None

    @property
    def deployed(self):
        """Whether there is a stack whose services are meant to run."""
        return self.status is not None and self.status.endswith("COMPLETE") and self.status not in (
            "ROLLBACK_COMPLETE", "DELETE_COMPLETE")

    @cached_property
    def resources(self):
        """Logical to physical names, and types, of what the stack has now."""
        if self.description is None:
            return {}
        listed = self.aws("cloudformation", "list-stack-resources", "--stack-name", self.stack)["StackResourceSummaries"]
        return {resource["LogicalResourceId"]: (resource["ResourceType"], resource.get("PhysicalResourceId", ""))
                for resource in listed if resource["ResourceStatus"] != "DELETE_COMPLETE"}

    def physical(self, name):
        return self.resources[name][1] if name in self.resources else None

    @cached_property
    def outputs(self):
        return {output["OutputKey"]: output["OutputValue"] for output in (self.description or {}).get("Outputs", [])}

    @cached_property
    def _current(self):
        # Of a stack that has to be made anew nothing is kept.
        if not self.deployed:
            return {}
        return {parameter["ParameterKey"]: parameter.get("ParameterValue", "") for parameter in self.description.get("Parameters", [])}

    def value(self, name):
        """What the parameter is going to be: given, else what the stack has, else the default; None where there is none of these."""
        if name in self.given:
            return self.given[name]
        if name in self._current:
            return self._current[name]
        return self.declared.get(name, {}).get("Default")

    def number(self, name):
        try:
            return float(self.value(name))
        except (TypeError, ValueError):
            return 0.0

    def says(self, name):
        """Whether a true-or-false parameter is true."""
        return self.value(name) == "true"

    def types(self, names):
        """What EC2 says of these instance types; those that the region does not have are left out."""
        missing = [name for name in names if name not in self._types]
        if missing:
            # A filter: a name that there is not would be an error otherwise.
            found = self.aws("ec2", "describe-instance-types", "--filters", f"Name=instance-type,Values={','.join(missing)}")["InstanceTypes"]
            self._types |= dict.fromkeys(missing) | {kind["InstanceType"]: kind for kind in found}
        return {name: self._types[name] for name in names if self._types[name]}

    @cached_property
    def architecture(self):
        """Of all machines. The small stack's is its instance type's."""
        if not self.mini:
            return self.value("Architecture")
        known = self.types(self.first_types)
        return "arm64" if any("arm64" in kind["ProcessorInfo"]["SupportedArchitectures"] for kind in known.values()) else "x86_64"

    @property
    def first_types(self):
        """The types of the machines that are on demand whatever else is chosen."""
        return [self.value("InstanceType" if self.mini else "PolybotInstanceType")]

    @property
    def worker_types(self):
        return [] if self.mini else [name.strip() for name in self.value("WorkerInstanceTypes").split(",") if name.strip()]

    def update(self, change):
        """The command that deploys with a parameter changed; before the first deploy there is only the file to change."""
        if not self.deployed:
            return f"# among the parameters: {change}"
        return (f"aws cloudformation deploy --stack-name {self.stack} --template-file {self.template} --capabilities CAPABILITY_IAM "
                f"--s3-bucket {self.bootstrap}-{self.account}-{self.aws.region} --s3-prefix templates --parameter-overrides {change}")
