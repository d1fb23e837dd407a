"""Two emulators of AWS, each a process on a free port, and the template deployed to them.

ministack takes the template whole, through CloudFormation's own calls, but for what LACKING names. moto's CloudFormation
knows fewer of its resources (no ScalingPolicy, LifecycleHook, Alarm, Certificate, Secret, BucketPolicy, QueuePolicy or
MetricFilter) and no Fn::Cidr, so the template can't be deployed to it; but its other APIs keep what ministack's drop. So
what ministack lacks or does not keep is put to moto's APIs, and read back from there.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import boto3
from botocore.config import Config

from template import Resolver, load, references

ACCOUNT = "111111111111"
REGION = "us-east-1"

# What ministack's CloudFormation can't make. It is left out of what is deployed, and put to moto by test_by_call.py.
LACKING_TYPES = {"AWS::Logs::MetricFilter", "AWS::EC2::EIP", "AWS::EC2::NatGateway", "AWS::EC2::FlowLog",
                 "AWS::IAM::OIDCProvider"}
# Alarms on an expression over several metrics.
LACKING = {"ServerErrorsAlarm", "WakeAlarm"}

_START = 60
_DEPLOY = 60


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _process(command, port, **environment):
    """The command while it runs; its output is shown if it does not start."""
    # Nothing of who runs the tests: no credentials, no profile, no endpoint.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, env=inherited | {"TMPDIR": folder} | environment, cwd=folder,
                                   stdout=log, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + _START
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{' '.join(command)} does not listen on port {port}:\n{log.read()}")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ministack():
    """ministack while the context lasts; its address."""
    port = _free_port()
    return _process([sys.executable, "-m", "ministack"], port, GATEWAY_PORT=str(port), BIND_HOST="127.0.0.1",
                    LOG_LEVEL="WARNING")


def moto():
    """moto's server while the context lasts; its address."""
    port = _free_port()
    return _process([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port)


def client(endpoint, service):
    """A client of this service there. The account is the access key, as ministack has it."""
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id=ACCOUNT,
                        aws_secret_access_key="none", config=Config(retries={"total_max_attempts": 1}))


@dataclass
class Stack:
    """A deployed template."""

    endpoint: str
    name: str
    outputs: dict
    physical_ids: dict
    resolver: Resolver

    def client(self, service):
        """A client of this service, where the stack is."""
        return client(self.endpoint, service)


def deploy(endpoint, template_name, stack_name, parameters):
    """Create the stack and wait until it is complete."""
    template = load(template_name)
    attributes = {reference for reference in references(template["Resources"])}
    deployed = {
        **template,
        "Resources": {name: resource for name, resource in template["Resources"].items()
                      if resource["Type"] not in LACKING_TYPES and name not in LACKING},
        "Outputs": dict(template["Outputs"]),
    }
    # What is left out is named by nothing that stays.
    missing = set(template["Resources"]) - set(deployed["Resources"])
    for name in missing:
        _drop_references(deployed["Resources"], name)
        _drop_references(deployed["Outputs"], name)
    # Attributes are known to the emulator alone; outputs bring them here.
    conditions = {name: resource.get("Condition") for name, resource in deployed["Resources"].items()}
    keys = {}
    for number, (name, attribute) in enumerate(sorted(attributes)):
        if name in conditions:
            keys[f"Attribute{number}"] = (name, attribute)
            output = {"Value": {"Fn::GetAtt": [name, attribute]}}
            if conditions[name]:
                output["Condition"] = conditions[name]
            deployed["Outputs"][f"Attribute{number}"] = output
    cloudformation = client(endpoint, "cloudformation")
    cloudformation.create_stack(
        StackName=stack_name, TemplateBody=json.dumps(deployed), Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()])
    deadline = time.monotonic() + _DEPLOY
    while True:
        stack = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS") or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        events = cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
        failed = [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in events
                  if event["ResourceStatus"].endswith("FAILED")]
        raise AssertionError(f"{template_name} became {stack['StackStatus']}: {'; '.join(failed)}")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    resources = cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]
    physical_ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    values = {reference: outputs.pop(key) for key, reference in keys.items() if key in outputs}
    pseudo = {"AWS::StackName": stack_name, "AWS::Region": REGION, "AWS::AccountId": ACCOUNT,
              "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}
    return Stack(endpoint, stack_name, outputs, physical_ids,
                 Resolver(template, parameters, pseudo, physical_ids, values))


def _drop_references(value, name):
    """Leave out what names a resource that is not deployed: a route's target, a principal."""
    if isinstance(value, dict):
        for key, inner in list(value.items()):
            if inner == {"Ref": name} or (isinstance(inner, dict) and inner.get("Fn::GetAtt", [None])[0] == name):
                value[key] = "left-out"
            else:
                _drop_references(inner, name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if inner == {"Ref": name}:
                value[index] = "left-out"
            else:
                _drop_references(inner, name)
