"""The command of the README, as people type it: `aws cloudformation deploy`, against ministack.

Only what ministack can't make is taken out of the template before.
"""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import emulators
import pytest
from conftest import MACHINE_IMAGE, TOKEN


class Deployer:
    """`aws` on the command line, for one stack."""

    def __init__(self, endpoint, folder, template):
        self._endpoint = endpoint
        self._deployed_at = None
        self._template = folder / "template.json"
        self._template.write_text(json.dumps(template))
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_ACCESS_KEY_ID": emulators.ACCOUNT,
                             "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": emulators.REGION,
                             "AWS_ENDPOINT_URL": endpoint, "AWS_EC2_METADATA_DISABLED": "true"}

    def aws(self, *arguments, keep=()):
        command = [sys.executable, Path(sys.executable).with_name("aws"), *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=120, pass_fds=keep)

    def deploy(self, *parameters, keep=()):
        # The command names its change set by the second: two within one would have the same name.
        while int(time.time()) == self._deployed_at:
            time.sleep(0.05)
        deployed = self.aws("cloudformation", "deploy", "--stack-name", "typed", "--template-file", self._template,
                            "--capabilities", "CAPABILITY_IAM", "--s3-bucket", "typed-templates",
                            "--s3-prefix", "templates", "--parameter-overrides", *parameters, keep=keep)
        self._deployed_at = int(time.time())
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr

    def user_data(self):
        """The newest user data of polybot's launch template, decoded."""
        ec2 = emulators.client(self._endpoint, "ec2")
        cloudformation = emulators.client(self._endpoint, "cloudformation")
        made = cloudformation.describe_stack_resource(StackName="typed", LogicalResourceId="PolybotTemplate")
        template = made["StackResourceDetail"]["PhysicalResourceId"]
        version = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"][-1]
        return base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode()


@pytest.fixture
def deployer(ministack, tmp_path):
    emulators.client(ministack, "s3").create_bucket(Bucket="typed-templates")
    return Deployer(ministack, tmp_path, emulators.deployable("polybot.yaml", emulators.MINISTACK_LACKS))


def test_the_command_makes_the_stack_and_updates_it(deployer, ministack):
    # As the README does it, from a pipe: a command line can be read by every process.
    given = json.dumps([f"TelegramToken={TOKEN}", "ImageTag=first", "DomainName=bot.example.net", f"MachineImageId={MACHINE_IMAGE}",
                        "CertificateId=01234567-89ab-cdef-0123-456789abcdef"])
    reading, writing = os.pipe()
    os.write(writing, given.encode())
    os.close(writing)
    deployer.deploy(f"file:///dev/fd/{reading}", keep=[reading])
    os.close(reading)
    # More than CloudFormation takes inline, so it went through the bucket.
    stored = emulators.client(ministack, "s3").list_objects_v2(Bucket="typed-templates", Prefix="templates/")
    assert stored["KeyCount"] == 1
    assert "/polybot:first 8443" in deployer.user_data()
    # What is not named keeps its value, the token among it.
    deployer.deploy("ImageTag=second")
    assert "/polybot:second 8443" in deployer.user_data()
    assert "TELEGRAM_APP_URL=https://bot.example.net/" in deployer.user_data()
    secrets = emulators.client(ministack, "secretsmanager")
    cloudformation = emulators.client(ministack, "cloudformation")
    made = cloudformation.describe_stack_resource(StackName="typed", LogicalResourceId="TelegramSecret")
    secret = secrets.get_secret_value(SecretId=made["StackResourceDetail"]["PhysicalResourceId"])["SecretString"]
    assert json.loads(secret) == {"TELEGRAM_TOKEN": TOKEN}

