"""`infra/bake` against moto, with the instance's own part played: it stops, and its log says how it went."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import emulators
import pytest
from template import INFRA


class Baking:
    """The script while it runs."""

    def __init__(self, stack, folder):
        self.stack = stack
        self.ec2 = stack.client("ec2")
        self._before = {instance["InstanceId"] for instance in self._instances()}
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder), "TMPDIR": str(folder),
                       "AWS_ACCESS_KEY_ID": emulators.ACCOUNT, "AWS_SECRET_ACCESS_KEY": "none",
                       "AWS_DEFAULT_REGION": emulators.REGION, "AWS_ENDPOINT_URL": stack.endpoint,
                       "AWS_EC2_METADATA_DISABLED": "true", "POLL_SECONDS": "0.2"}
        self.process = subprocess.Popen([INFRA / "bake", "--stack", stack.name], env=environment, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def _instances(self):
        named = [{"Name": "tag:Name", "Values": [f"{self.stack.name}-worker-*"]}]
        return [instance for reservation in self.ec2.describe_instances(Filters=named)["Reservations"]
                for instance in reservation["Instances"]]

    def instance(self):
        """The instance that it started."""
        while True:
            for instance in self._instances():
                if instance["InstanceId"] not in self._before and instance["State"]["Name"] == "running":
                    return instance
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.1)

    def ends(self, message):
        """As the user data does it at the end (test_boot.py)."""
        instance = self.instance()["InstanceId"]
        logs = self.stack.client("logs")
        group, stream = f"/polybot/{self.stack.name}/yolo-worker", f"boot/{instance}"
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[
            {"timestamp": int(time.time() * 1000), "message": json.dumps({"event": message, "step": "pull"})}])
        self.ec2.stop_instances(InstanceIds=[instance])
        out, error = self.process.communicate(timeout=60)
        return self.process.returncode, out, error

    def state(self, instance):
        reservation, = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
        return reservation["Instances"][0]["State"]["Name"]


@pytest.fixture
def baking(moto_fleet, tmp_path):
    started = Baking(moto_fleet, tmp_path)
    yield started
    started.process.kill()
    started.process.communicate()


def test_an_instance_like_a_worker_becomes_an_image(baking, moto_fleet):
    instance = baking.instance()
    ids = moto_fleet.physical_ids
    template = emulators.launch_template(moto_fleet, "WorkerTemplate")
    assert instance["ImageId"] == emulators.launch_template(moto_fleet, "PolybotTemplate")["ImageId"]
    assert instance["InstanceType"] == moto_fleet.resolver.resolve({"Ref": "WorkerInstanceTypes"})[0]
    assert instance["SubnetId"] == ids["PublicSubnetA"]
    # The emulator tells an interface's groups there and not of the instance.
    interface, = instance["NetworkInterfaces"]
    assert [group["GroupId"] for group in interface["Groups"]] == [ids["WorkerSecurityGroup"]]
    attribute = baking.ec2.describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="userData")
    script = emulators.base64_text(attribute["UserData"]["Value"])
    assert script == emulators.base64_text(template["UserData"]).replace("\n", "\nBAKE=1\n", 1)
    status, out, error = baking.ends("baked")
    assert status == 0, error
    name, ami = out.strip().split("=")
    image, = baking.ec2.describe_images(ImageIds=[ami])["Images"]
    assert name == "WorkerImageId" and image["Name"].startswith("fleet-worker-v1-")
    assert baking.state(instance["InstanceId"]) == "terminated"


def test_of_a_boot_that_failed_no_image_is_made(baking):
    instance = baking.instance()["InstanceId"]
    status, out, error = baking.ends("boot_failed")
    assert status == 1 and out == ""
    assert "could not fetch" in error and "boot_failed" in error
    assert baking.state(instance) == "terminated"
