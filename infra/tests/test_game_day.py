"""`infra/game-day` against moto, with the fleet's part played: what is broken raises an alarm, what is mended ends it.

What this can't show is that AWS does so: what makes the alarms of real failures is in test_alarms.py, and what becomes of photos
while a fleet breaks in polybot/tests/in_process and tests/e2e/faults.rs.
"""

import importlib.machinery
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import emulator
import emulators
import pytest
from conftest import MACHINE_IMAGE, TOKEN, import_certificate
from template import INFRA
from test_by_call import numbers

ALARMS = ("FailingJobsAlarm", "NoMetricAlarm", "LaunchesAlarm", "OldestMessageAlarm", "WorkersMissingAlarm", "AtMaximumAlarm", "DeadLetterAlarm")


@pytest.fixture(scope="module")
def stack():
    with emulator.moto() as endpoint:
        stack = emulators.deploy(endpoint, "polybot.yaml", "game", {
            "TelegramToken": TOKEN, "MachineImageId": MACHINE_IMAGE, "ImageTag": "v1", "DomainName": "bot.example.com",
            "CertificateId": import_certificate(endpoint),
            "WorkerInstanceTypes": "c6i.large,c6id.large,c6in.large,m6i.large,m6id.large,r6i.large"}, emulators.MOTO_LACKS)
        for name in ALARMS:
            stack.client("cloudwatch").put_metric_alarm(**numbers(stack.resolver.resource(name)))
        yield stack


class Fleet:
    """Does what the fleet and CloudWatch would, as the test has it: alarms follow what is broken."""

    def __init__(self, stack):
        self.stack, self.follows, self.broke = stack, {}, set()
        # Grows as soon as this file says something, which is when photos come.
        self.grows_with = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play)

    def broken(self):
        """What is broken now, by the alarm that it raises."""
        found, iam = set(), self.stack.client("iam")
        for role, alarm in (("WorkerRole", "failing-jobs"), ("StreamerRole", "no-metric")):
            if "game-day" in iam.list_role_policies(RoleName=self.stack.physical_ids[role])["PolicyNames"]:
                found.add(alarm)
        distribution = self.group()["MixedInstancesPolicy"]["InstancesDistribution"]
        if distribution.get("SpotMaxPrice") == "0.0001":
            found.add("launches")
        return found

    def group(self):
        return self.stack.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=["game-workers"])["AutoScalingGroups"][0]

    def _play(self):
        cloudwatch, states = self.stack.client("cloudwatch"), {}
        while not self._ended.is_set():
            now = self.broken()
            self.broke |= now
            raised = [name for alarm in sorted(now) for name in self.follows.get(alarm, [alarm])]
            for name in [*raised, *(set(states) - set(raised))]:
                state = "ALARM" if name in raised else "OK"
                if states.get(name) != state:
                    cloudwatch.set_alarm_state(AlarmName=f"game-{name}", StateValue=state, StateReason="played")
                    states[name] = state
            if self.grows_with and self.grows_with.read_text() and self.group()["DesiredCapacity"] == 1:
                self.stack.client("autoscaling").set_desired_capacity(AutoScalingGroupName="game-workers", DesiredCapacity=2)
            self._ended.wait(0.05)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        for name in ALARMS:
            alarm = numbers(self.stack.resolver.resource(name))["AlarmName"]
            self.stack.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="over")
        self.stack.client("autoscaling").set_desired_capacity(AutoScalingGroupName="game-workers", DesiredCapacity=1)


FLOOD = """#!/bin/bash
# As `flood`: what it was told is written down, and its report says what the test has it say.
echo "$BUCKET_NAME $SQS_QUEUE_URL $DYNAMODB_TABLE $ASG_NAME $*" >> {calls}
while [ $# -gt 1 ]; do [ "$1" = --out ] && out=$2; shift; done
echo '{report}' > "$out/flood.json"
"""


@pytest.fixture
def play(stack, tmp_path):
    def run(*arguments, report=None, start_only=False):
        calls, flood = tmp_path / "calls", tmp_path / "flood"
        calls.touch()
        flood.write_text(FLOOD.format(calls=calls, report=json.dumps({"sent": 9, "answered": 9, "failed": 0, "outstanding": 0} | (report or {}))))
        flood.chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "FLOOD": str(flood),
            "AWS_ACCESS_KEY_ID": emulators.ACCOUNT, "AWS_SECRET_ACCESS_KEY": "none", "AWS_REGION": emulators.REGION,
            "AWS_ENDPOINT_URL": stack.endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
        command = [INFRA / "polybotctl", "game-day", *arguments]
        if start_only:
            # Without the shell before it: a signal goes to whom it is for.
            return subprocess.Popen([sys.executable, INFRA / "game-day", *arguments], env=environment, text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        ran.calls = calls.read_text().splitlines()
        return ran

    return run


BREAKS = ("--stack", "game", "--breaks-it", "--wait", "0.05")


def test_all_scenarios_break_are_noticed_and_mended(stack, play, tmp_path):
    with Fleet(stack) as fleet:
        fleet.follows = {"failing-jobs": ["failing-jobs"], "launches": ["launches"], "no-metric": ["no-metric"]}
        before = set(instance["InstanceId"] for instance in fleet.group()["Instances"])
        ran = play(*BREAKS, "worker-killed", "right-taken", "spot-dry", "streamer-silent", "--json", tmp_path / "table")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert fleet.broke == {"failing-jobs", "launches", "no-metric"} and fleet.broken() == set()
        # The machine that died is gone, and another one there.
        after = set(instance["InstanceId"] for instance in fleet.group()["Instances"] if instance["LifecycleState"] == "InService")
        assert after and after != before
    table = {line["scenario"]: line for line in json.loads((tmp_path / "table").read_text())}
    assert {name: line["alarm"] for name, line in table.items()} == {
        "worker-killed": None, "right-taken": "failing-jobs", "spot-dry": "launches", "streamer-silent": "no-metric"}
    assert all(line["lost"] == 0 and line["answered"] == 9 and line["also"] == [] for line in table.values())
    # The flood got the stack's own places.
    assert len(ran.calls) == 4
    for name in ("ImageBucketName", "JobQueueUrl", "PredictionTableName", "WorkerGroupName"):
        assert f"{stack.outputs[name]} " in ran.calls[0]
    assert "--rate 0.5 --for 12m --drain 30m" in ran.calls[0]


def test_twenty_times_the_load_makes_it_grow(stack, play, tmp_path):
    (tmp_path / "calls").touch()
    with Fleet(stack) as fleet:
        fleet.grows_with = tmp_path / "calls"
        ran = play(*BREAKS, "load-20x")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "--rate 10 " in ran.calls[0] and "more workers after" in ran.stdout


def test_a_lost_photo_or_another_alarm_is_wrong(stack, play):
    with Fleet(stack) as fleet:
        ran = play(*BREAKS, "streamer-silent", report={"answered": 7, "outstanding": 2})
        assert ran.returncode == 1 and "2 of 9 photos have neither answer nor failure" in ran.stdout
        # The other one first: whoever sees the second sees both.
        fleet.follows = {"no-metric": ["oldest-message", "no-metric"]}
        ran = play(*BREAKS, "streamer-silent")
        assert ran.returncode == 1 and "oldest-message raised, which tell of something else" in ran.stdout
        assert fleet.broken() == set()


def test_failed_photos_are_told_of_with_their_command(stack, play):
    with Fleet(stack):
        ran = play(*BREAKS, "right-taken", report={"answered": 6, "failed": 3})
        assert ran.returncode == 0 and "polybotctl redrive --stack game" in ran.stdout


def test_a_stack_that_is_not_at_rest_is_left_alone(stack, play):
    with Fleet(stack) as fleet:
        stack.client("cloudwatch").set_alarm_state(AlarmName="game-dead-letters", StateValue="ALARM", StateReason="before")
        ran = play(*BREAKS, "right-taken")
        assert ran.returncode == 1 and "not at rest: dead-letters raised before anything was broken" in ran.stdout
        assert fleet.broke == set() and ran.calls == []


def test_who_interrupts_it_finds_all_mended(stack, play):
    with Fleet(stack) as fleet:
        # No alarm comes, so it waits.
        fleet.follows = {"no-metric": []}
        running = play(*BREAKS, "streamer-silent", start_only=True)
        deadline = time.monotonic() + 60
        while "no-metric" not in fleet.broke and time.monotonic() < deadline:
            time.sleep(0.05)
        assert fleet.broke == {"no-metric"}
        running.send_signal(signal.SIGTERM)
        out, error = running.communicate(timeout=60)
        assert running.returncode != 0 and fleet.broken() == set(), out + error


def test_what_a_killed_run_left_is_mended(stack, play):
    with Fleet(stack) as fleet:
        iam = stack.client("iam")
        iam.put_role_policy(RoleName=stack.physical_ids["WorkerRole"], PolicyName="game-day", PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"}]}))
        for _ in range(2):
            ran = play("--stack", "game", "--mend")
            assert ran.returncode == 0 and "game is as it was" in ran.stdout, ran.stderr
            assert fleet.broken() == set()


def test_nothing_is_broken_by_mistake(play):
    for arguments, told in ((["--stack", "game"], "--breaks-it"), ([*BREAKS, "nothing"], "no scenario nothing"), (["--breaks-it"], "name the stack")):
        ran = play(*arguments)
        assert ran.returncode == 2 and told in ran.stderr and ran.calls == []
    listed = play("--list").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["worker-killed", "right-taken", "spot-dry", "streamer-silent", "load-20x"]


def test_cloudwatch_s_protocol_is_written_and_read_here_as_the_sdk_does():
    """Of the local fleet. What it writes it reads; and what the RFC has as examples."""
    loader = importlib.machinery.SourceFileLoader("game_day", str(INFRA / "game-day"))
    game_day = importlib.util.module_from_spec(importlib.util.spec_from_loader("game_day", loader))
    sys.modules["game_day"] = game_day
    loader.exec_module(game_day)
    asked = {"Namespace": "Polybot", "Period": 1, "EndTime": game_day.Moment(1_795_000_000), "Statistics": ["Maximum"], "Long": "x" * 300}
    assert game_day.from_cbor(io.BytesIO(game_day.cbor(asked))) == asked
    for written, value in (("fb3ff199999999999a", 1.1), ("f93c00", 1.0), ("fa47c35000", 100000.0), ("c11a514b67b0", 1363896240), ("20", -1), ("f5", True),
                           ("a201020304", {1: 2, 3: 4}), ("1903e8", 1000), ("43010203", b"\x01\x02\x03")):
        assert game_day.from_cbor(io.BytesIO(bytes.fromhex(written))) == value


def test_the_alarms_that_it_waits_for_are_the_template_s():
    text = (INFRA / "polybot.yaml").read_text()
    game = (INFRA / "game-day").read_text()
    named = set(re.findall(r'"(failing-jobs|dead-letters|launches|workers-missing|no-metric|at-maximum|oldest-message)"', game))
    assert len(named) == 7 and all(f'AlarmName: !Sub "${{AWS::StackName}}-{name}"' in text for name in named)
