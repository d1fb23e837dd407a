"""The pipeline's scripts against an emulator's CloudFormation: plan, apply, nothing to do, roll back, refusals."""

import subprocess
import tempfile
import unittest
from pathlib import Path

import emulator
from repository import ROOT, SERVICES

ONE = """
Parameters:
  ImageTag: {Type: String}
  Size: {Type: Number, Default: 1}
Resources:
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: !Sub "topic-${ImageTag}"}}
"""
TWO = """
Parameters:
  ImageTag: {Type: String}
  Size: {Type: Number, Default: 1}
  Added: {Type: String, Default: new}
Resources:
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: !Sub "topic-${ImageTag}"}}
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub "queue-${Size}-${Added}"}}
"""


class Deploy(unittest.TestCase):
    def run_script(self, script: str, *arguments: str) -> subprocess.CompletedProcess:
        command = [ROOT / ".github/deploy" / script, *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)

    def plan(self, *arguments: str) -> str:
        """The change set's ARN; empty where nothing changes."""
        result = self.run_script("plan", "--stack", "polybot", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        last = result.stdout.splitlines()[-1]
        self.assertTrue(last.startswith("change-set="), result.stdout)
        return last.removeprefix("change-set=")

    def apply(self, arn: str) -> None:
        result = self.run_script("apply", "--stack", "polybot", arn)
        self.assertEqual(result.returncode, 0, result.stderr)

    def stack(self) -> tuple[dict[str, str], set[str]]:
        """Its parameters, and the names of what is in it."""
        stack = self.cloudformation.describe_stacks(StackName="polybot")["Stacks"][0]
        resources = self.cloudformation.describe_stack_resources(StackName="polybot")["StackResources"]
        return (
            {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack["Parameters"]},
            {resource["PhysicalResourceId"].replace(":", "/").rsplit("/", 1)[-1] for resource in resources},
        )

    def test_from_one_release_to_the_next_and_back(self):
        with emulator.ministack() as endpoint, tempfile.TemporaryDirectory() as folder:
            self.environment = {**emulator.environment(endpoint), "POLL_SECONDS": "0.2"}
            self.cloudformation = emulator.client(endpoint, "cloudformation")
            emulator.client(endpoint, "s3").create_bucket(Bucket="artifacts")
            template = Path(folder, "template.yaml")
            template.write_text(TWO)
            self.cloudformation.create_stack(
                StackName="polybot",
                TemplateBody=ONE,
                Parameters=[
                    {"ParameterKey": "ImageTag", "ParameterValue": "one"},
                    {"ParameterKey": "Size", "ParameterValue": "7"},
                ],
            )
            self.cloudformation.get_waiter("stack_create_complete").wait(StackName="polybot", WaiterConfig={"Delay": 1})

            # The release: its template, its images. What nobody names stays (7), what is new has its default.
            release = ("--template", str(template), "--bucket", "artifacts", "--role", "arn:aws:iam::000000000000:role/deploy")
            arn = self.plan(*release, "ImageTag=two")
            self.assertEqual(self.stack()[0]["ImageTag"], "one", "a plan changes nothing")
            self.apply(arn)
            self.assertEqual(self.stack(), ({"ImageTag": "two", "Size": "7", "Added": "new"}, {"topic-two", "queue-7-new"}))

            # Once more: nothing.
            self.assertEqual(self.plan("ImageTag=two"), "")

            # The rollback: the images of before, the template of now.
            self.apply(self.plan("ImageTag=one"))
            self.assertEqual(self.stack(), ({"ImageTag": "one", "Size": "7", "Added": "new"}, {"topic-one", "queue-7-new"}))

            refused = self.run_script("plan", "--stack", "polybot", "ImagTag=three")
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("the template has no parameter ImagTag", refused.stderr)

            missing = self.run_script("plan", "--stack", "polybott", "ImageTag=three")
            self.assertNotEqual(missing.returncode, 0)
            self.assertIn("polybott", missing.stderr)

    def test_who_comes_second_waits_and_plans_again_if_the_stack_changed(self):
        """With a stand-in for `aws`: the emulator's stack is done at once."""
        with tempfile.TemporaryDirectory() as folder:
            aws = Path(folder, "aws")
            aws.write_text(
                "#!/bin/bash\n"
                f'echo "$2" >> {folder}/calls\n'
                'case "$2" in\n'
                # Somebody else's update, then its end; then our own.
                f"  describe-stacks) sed -n \"$(grep -c describe-stacks {folder}/calls)p\" {folder}/states ;;\n"
                f"  execute-change-set) [ ! -e {folder}/gone ] || {{ echo ChangeSetNotFound >&2; exit 254; }} ;;\n"
                "esac\n"
            )
            aws.chmod(0o755)
            self.environment = {"PATH": f"{folder}:/usr/bin:/bin", "POLL_SECONDS": "0"}
            Path(folder, "states").write_text(
                "UPDATE_IN_PROGRESS\nUPDATE_COMPLETE_CLEANUP_IN_PROGRESS\nUPDATE_COMPLETE\nUPDATE_IN_PROGRESS\nUPDATE_COMPLETE\n"
            )
            result = self.run_script("apply", "--stack", "polybot", "an-arn")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout.count("waiting for its end"), 2)
            calls = Path(folder, "calls").read_text().split()
            self.assertEqual(calls, ["describe-stacks"] * 3 + ["execute-change-set"] + ["describe-stacks"] * 2)

            Path(folder, "calls").unlink()
            Path(folder, "gone").touch()
            result = self.run_script("apply", "--stack", "polybot", "an-arn")
            self.assertEqual(result.returncode, 1)
            self.assertIn("plan again", result.stderr)

    def tag(self, there: dict[str, list[str]], *arguments: str) -> subprocess.CompletedProcess:
        """What `tag` does when ECR has these tags; answers as ECR's do, which the emulator's do not where there is no image."""
        with tempfile.TemporaryDirectory() as folder:
            has = " | ".join(f'"{name} imageTag={tag}"' for name, tags in there.items() for tag in tags) or '"nothing"'
            aws = Path(folder, "aws")
            aws.write_text(
                "#!/bin/bash\n"
                '[ "$1 $2 $3 $5" = "ecr describe-images --repository-name --image-ids" ] || exit 9\n'
                f'case "$4 $6" in {has}) ;; *broken*) echo AccessDeniedException >&2; exit 254 ;; '
                "*) echo ImageNotFoundException >&2; exit 254 ;; esac\n"
            )
            aws.chmod(0o755)
            self.environment = {"PATH": f"{folder}:/usr/bin:/bin"}
            return self.run_script("tag", *arguments)

    def test_a_commit_without_images_keeps_those_that_the_stack_has(self):
        all_three = {f"team/{service}": ["new", "old"] for service in SERVICES}
        for arguments, printed in ((["new"], "ImageTag=new\n"), (["new", ""], "ImageTag=new\n"), (["new", "old"], "ImageTag=old\n")):
            result = self.tag(all_three, "team", *arguments)
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, printed, ""))

        # Only the template changed: no images were made.
        kept = self.tag(all_three, "team", "template", "")
        self.assertEqual((kept.returncode, kept.stdout), (0, ""))
        self.assertIn("::warning::ECR has no images of template", kept.stderr)

        # What was asked for is not exchanged for something else; nor is half a release.
        asked = self.tag(all_three, "team", "new", "gone")
        self.assertEqual((asked.returncode, asked.stdout), (1, ""))
        self.assertIn("ECR has no team/polybot:gone", asked.stderr)
        half = self.tag({"team/polybot": ["new"]}, "team", "new", "")
        self.assertEqual((half.returncode, half.stdout), (1, ""))
        self.assertIn("team/yolo-worker:new team/metric-streamer:new", half.stderr)

        # Not to know is not to have none.
        self.assertEqual(self.tag(all_three, "team", "broken", "").returncode, 2)

    def test_they_say_how_they_are_used(self):
        self.environment = {"PATH": "/usr/bin:/bin"}
        for script, arguments in (("plan", ["--what"]), ("plan", ["ImageTag=one"]), ("apply", ["polybot"])):
            result = self.run_script(script, *arguments)
            self.assertEqual(result.returncode, 2)
            self.assertIn(f"{script} --stack NAME", result.stderr)
        result = self.run_script("tag", "polybot")
        self.assertEqual(result.returncode, 2)
        self.assertIn("tag REPOSITORIES COMMIT", result.stderr)
