"""User data, run: as bash, with the machine's programs replaced by ones that write down how they were called.

What the programs themselves do (dnf, docker, systemd, the AWS CLI) is not tested here.
"""

import json
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = ["dnf", "getent", "systemctl", "docker", "aws", "curl", "shutdown", "sleep", "uname"]
# What a program prints, by what it is asked. What is to fail does so as often as it is to.
STUB = """#!/bin/bash
echo "$(basename "$0") $*" >> "$CALLS"
last=${!#}
case "$(basename "$0") $*" in
  $FAILS)
    echo >> "$CALLS.failed"
    [ "$(wc -l < "$CALLS.failed")" -gt "$TIMES" ] || exit 1 ;;
esac
case "$(basename "$0") $*" in
  "dnf install "*)
    for package in "${@:4}"; do
      case $package in
        docker) cp "$0" "$(dirname "$0")/docker" ;;
        awscli-2) cp "$0" "$(dirname "$0")/aws" ;;
        aws-cfn-bootstrap) cp "$0" "$OPT/cfn-signal" ;;
      esac
    done ;;
  "aws ecr get-login-password"*) echo a-login ;;
  "aws secretsmanager get-secret-value"*) echo 'a s$cret' ;;
  "aws acm get-certificate"*) echo a-certificate ;;
  "docker login"*) cat > /dev/null ;;
  "uname -m") echo "$MACHINE" ;;
  "docker image inspect --format {{.Architecture}} "*) echo "$BUILT" ;;
  "docker image inspect"*) [ -n "$BAKED" ] || [ -e "$CALLS.pulled.${last//\\//_}" ] ;;
  "docker pull"*) touch "$CALLS.pulled.${last//\\//_}" ;;
esac
"""


@dataclass
class Machine:
    """What the script did."""

    root: Path
    status: int
    output: str
    calls: list

    def file(self, path):
        return (self.root / path).read_text()


@pytest.fixture
def boot(tmp_path, user_data):
    def run(stack, template, fails="nothing", times=1000, missing=("docker",), baked="", bake=False,
            machine="x86_64", built="amd64"):
        """`fails`, a pattern of calls, fails the first `times`; the machine image is without the programs of `missing` and has the model
        `baked` and, if it has one, the container; `bake`: as infra/bake starts it; the processors of
        the machine and of the images."""
        root, bin_folder = tmp_path / "root", tmp_path / "bin"
        shutil.rmtree(root, ignore_errors=True)
        for folder in ("etc/systemd/system", "var/lib/cloud/data", "opt/aws/bin"):
            (root / folder).mkdir(parents=True)
        (root / "var/lib/cloud/data/instance-id").write_text("i-0123456789\n")
        bin_folder.mkdir(exist_ok=True)
        # Of this machine's own programs those that every Amazon Linux has, so that one that it lacks is not found here.
        tools = tmp_path / "tools"
        tools.mkdir(exist_ok=True)
        for program in ("bash", "basename", "cat", "cp", "date", "dirname", "install", "seq", "touch", "wc"):
            if not (tools / program).exists():
                (tools / program).symlink_to(shutil.which(program))
        stub = tmp_path / "stub"
        stub.write_text(STUB.replace("$FAILS", fails))
        stub.chmod(0o755)
        for program in PROGRAMS:
            (bin_folder / program).unlink(missing_ok=True)
            if program not in missing:
                shutil.copy(stub, bin_folder / program)
        if "cfn-signal" not in missing:
            shutil.copy(stub, root / "opt/aws/bin/cfn-signal")
        # The machine's folders are moved, but for what the script writes into files that others read.
        script = user_data(stack, template)
        for folder in ("/etc/polybot", "/etc/systemd", "/var/lib/cloud", "/opt/aws"):
            script = script.replace(folder, f"{root}{folder}")
        script = re.sub(r"(> |cat |install -d -m \d+ )/var/lib/polybot", rf"\g<1>{root}/var/lib/polybot", script)
        if bake:
            script = script.replace("\n", "\nBAKE=1\n", 1)
        calls = tmp_path / "calls"
        calls.write_text("")
        if baked:
            (root / "var/lib/polybot").mkdir()
            (root / "var/lib/polybot/model.from").write_text(f"{baked}\n")
        Path(f"{calls}.failed").write_text("")
        for pulled in tmp_path.glob("calls.pulled.*"):
            pulled.unlink()
        ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60,
                             env={"PATH": f"{bin_folder}:{tools}", "CALLS": str(calls), "TIMES": str(times),
                                  "OPT": str(root / "opt/aws/bin"), "BAKED": baked, "MACHINE": machine, "BUILT": built})
        return Machine(root, ran.returncode, ran.stdout + ran.stderr, calls.read_text().splitlines())

    return run


def environment(machine, service):
    return dict(line.split("=", 1) for line in machine.file(f"etc/polybot/{service}.env").splitlines())


def unit(machine, service):
    return machine.file(f"etc/systemd/system/{service}.service")


def test_polybot_and_the_metric_streamer_beside_it_are_started(boot, fleet):
    machine = boot(fleet, "PolybotTemplate")
    assert machine.status == 0, machine.output
    polybot = environment(machine, "polybot")
    assert polybot["RESULTS_SECRET"] == "a s$cret" and polybot["BUCKET_NAME"] == fleet.outputs["ImageBucketName"]
    streamer = environment(machine, "metric-streamer")
    assert streamer["ASG_NAME"] == "fleet-workers" and "RESULTS_SECRET" not in streamer
    config = machine.file("var/lib/polybot/metric-streamer.config")
    assert "credential_source = Ec2InstanceMetadata" in config and "role_arn = arn:aws:iam::" in config
    for service, port in (("polybot", 8443), ("metric-streamer", 9090)):
        image = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/polybot/{service}:v1"
        assert f"docker pull --quiet {image}" in machine.calls
        assert f"systemctl enable --now {service}" in machine.calls
        assert [call for call in machine.calls if call.startswith("curl") and f":{port}/healthz" in call]
        assert image in unit(machine, service)


def test_the_container_is_confined_and_logs_to_its_group(boot, fleet):
    machine = boot(fleet, "WorkerTemplate")
    assert machine.status == 0, machine.output
    command, = [line for line in unit(machine, "yolo-worker").splitlines() if line.startswith("ExecStart=")]
    for option in ("--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "--network host",
                   "awslogs-group=/polybot/fleet/yolo-worker", "awslogs-stream=i-0123456789",
                   "--env AWS_REGION=us-east-1"):
        assert option in command
    assert command.endswith("/polybot/yolo-worker:v1")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here to read them")
def test_systemd_reads_the_units_and_finds_nothing_wrong(boot, fleet, other_fleet, tmp_path):
    for stack, template, service in ((fleet, "PolybotTemplate", "polybot"), (fleet, "WorkerTemplate", "yolo-worker"),
                                     (other_fleet, "StreamerTemplate", "metric-streamer")):
        # Docker and its own unit are Amazon Linux's; a program in docker's place has to be there.
        text = re.sub(r"/usr/bin/docker\b", "/bin/true", unit(boot(stack, template), service))
        text = re.sub(r"^(After|Requires)=docker.service\n", "", text, flags=re.M)
        path = tmp_path / f"{service}.service"
        path.write_text(text)
        read = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=60)
        found = [line for line in (read.stdout + read.stderr).splitlines() if service in line]
        assert read.returncode == 0 and not found, read.stdout + read.stderr


def test_stopping_takes_longer_than_draining(boot, fleet):
    for template, service in (("WorkerTemplate", "yolo-worker"), ("PolybotTemplate", "polybot")):
        machine = boot(fleet, template)
        drain = int(environment(machine, service)["DRAIN_TIMEOUT"])
        stop = int(re.search(r"docker stop --time (\d+)", unit(machine, service))[1])
        system = int(re.search(r"TimeoutStopSec=(\d+)", unit(machine, service))[1])
        assert drain < stop < system


def test_what_ended_well_is_not_started_again(boot, fleet, other_fleet):
    """A worker that drained ended well, and its instance is about to go; what crashed comes back."""
    for stack, template, services in ((fleet, "PolybotTemplate", ("polybot", "metric-streamer")),
                                      (fleet, "WorkerTemplate", ("yolo-worker",)),
                                      (other_fleet, "StreamerTemplate", ("metric-streamer",))):
        machine = boot(stack, template)
        for service in services:
            assert re.findall(r"^Restart=(.*)$", unit(machine, service), re.M) == ["on-failure"]


def test_secrets_are_roots_alone(boot, fleet):
    machine = boot(fleet, "PolybotTemplate")
    assert (machine.root / "etc/polybot").stat().st_mode & 0o777 == 0o700
    assert (machine.root / "etc/polybot/polybot.env").stat().st_mode & 0o777 == 0o600
    assert "s$cret" not in machine.output and not any("s$cret" in call for call in machine.calls)
    assert "s$cret" not in unit(machine, "polybot")


def test_a_model_in_s3_and_a_self_signed_certificate_are_fetched(boot, other_fleet):
    machine = boot(other_fleet, "WorkerTemplate")
    assert machine.status == 0, machine.output
    fetched, = [call for call in machine.calls if call.startswith("aws s3 cp")]
    assert "s3://some-bucket/models/yolo.onnx /var/lib/polybot/model.onnx" in fetched
    machine = boot(other_fleet, "PolybotTemplate")
    assert machine.status == 0, machine.output
    assert machine.file("var/lib/polybot/certificate.pem") == "a-certificate\n"
    assert not (machine.root / "etc/systemd/system/metric-streamer.service").exists()


def test_the_metric_streamer_starts_on_its_own(boot, other_fleet):
    machine = boot(other_fleet, "StreamerTemplate")
    assert machine.status == 0, machine.output
    assert environment(machine, "metric-streamer")["ASG_NAME"] == "other-workers"


GROUPS = {"PolybotTemplate": "PolybotGroup", "WorkerTemplate": "WorkerGroup", "StreamerTemplate": "StreamerGroup"}


def test_the_group_counts_an_instance_when_it_works(boot, fleet, other_fleet):
    for stack, template in ((fleet, "PolybotTemplate"), (fleet, "WorkerTemplate"), (other_fleet, "StreamerTemplate")):
        machine = boot(stack, template)
        group = stack.physical_ids[GROUPS[template]]
        said, = [call for call in machine.calls if call.startswith("aws autoscaling")]
        assert said == ("aws autoscaling complete-lifecycle-action --region us-east-1 "
                        f"--auto-scaling-group-name {group} --lifecycle-hook-name boot --instance-id i-0123456789 "
                        "--lifecycle-action-result CONTINUE")
        # When everything answers, and not before.
        assert max(index for index, call in enumerate(machine.calls) if call.startswith("curl")) < machine.calls.index(said)


def test_cloudformation_is_told_that_all_is_well(boot, fleet, other_fleet):
    for stack, template, resource in ((fleet, "PolybotTemplate", "PolybotGroup"), (fleet, "WorkerTemplate", "FirstWorker"),
                                      (other_fleet, "StreamerTemplate", "StreamerGroup")):
        assert boot(stack, template).calls[-1] == (
            f"cfn-signal --exit-code 0 --region us-east-1 --stack {stack.name} --resource {resource}")
        assert "ResourceSignal" in stack.template["Resources"][resource]["CreationPolicy"]


def test_a_stack_is_made_only_when_its_services_work(boot, fleet, other_fleet):
    resources = fleet.template["Resources"]
    counts = {name: resources[name]["CreationPolicy"]["ResourceSignal"]["Count"] for name in
              ("PolybotGroup", "StreamerGroup", "FirstWorker")}
    assert counts == {"PolybotGroup": 2, "StreamerGroup": 1, "FirstWorker": 1}
    # Where there is to be no worker, nobody waits for one, and none signals.
    assert fleet.resolver.exists("FirstWorker") and not other_fleet.resolver.exists("FirstWorker")
    assert not [call for call in boot(other_fleet, "WorkerTemplate").calls if call.startswith("cfn-signal")]


def test_what_crashes_again_and_again_ends_its_machine_unless_others_would_fare_the_same(boot, fleet, other_fleet):
    """A worker's next crash is a photo's or the machine's. polybot's may be Telegram's: other machines would crash as well."""
    for stack, template, service, ends in ((fleet, "WorkerTemplate", "yolo-worker", True), (fleet, "PolybotTemplate", "polybot", False),
                                           (fleet, "PolybotTemplate", "metric-streamer", False),
                                           (other_fleet, "StreamerTemplate", "metric-streamer", True)):
        section = unit(boot(stack, template), service).split("[Service]")[0]
        assert ("OnFailure=crashed.service" in section) == ends
        assert ("StartLimitIntervalSec=0" in section) == (not ends)
        # Five crashes have to fit into the interval, with the pauses between them.
        if ends:
            pause = int(re.search(r"RestartSec=(\d+)", unit(boot(stack, template), service))[1])
            assert "StartLimitBurst=5" in section and 5 * pause < int(re.search(r"StartLimitIntervalSec=(\d+)", section)[1])


def test_a_machine_that_ends_because_of_crashes_says_so_to_the_alarm_of_boots(boot, fleet, tmp_path):
    machine = boot(fleet, "WorkerTemplate")
    crashed = unit(machine, "crashed")
    assert "ExecStopPost=/usr/bin/systemctl poweroff" in crashed
    command = re.search(r"^ExecStart=-/bin/bash /var/lib/polybot/crashed (\S+) (\S+) (\S+)$", crashed, re.M)
    assert command[2] == "/polybot/fleet/yolo-worker"
    # It runs, with an aws that writes down what it is asked.
    aws = tmp_path / "aws"
    aws.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" > {tmp_path}/asked\n')
    aws.chmod(0o755)
    subprocess.run(["bash", "-c", machine.file("var/lib/polybot/crashed"), "crashed", *command.groups()], check=True,
                   env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[asked.index("--log-stream-name") + 1] == f"boot/{command[3]}"
    event, = json.loads(asked[-1])
    assert json.loads(event["message"]) == {"event": "boot_failed", "step": "crash"} and event["timestamp"] > 1e12


def test_a_telegram_outage_launches_no_other_machines(boot, fleet):
    """polybot runs and waits: the stack is told that it is not ready, the group that the machine is all right."""
    machine = boot(fleet, "PolybotTemplate", '"curl "*"/healthz"')
    assert machine.status != 0
    assert [call for call in machine.calls if call.startswith("aws autoscaling")][0].endswith("--lifecycle-action-result CONTINUE")
    assert machine.calls[-1].startswith("cfn-signal --exit-code 1 ")
    assert last_line(machine)[1]["event"] == "boot_failed"
    # When Telegram is back, nothing starts what was not: so everything is started before polybot is waited for.
    assert "systemctl enable --now metric-streamer" in machine.calls
    # But one that does not run at all is replaced.
    machine = boot(fleet, "PolybotTemplate", '"curl "*":8443/"')
    assert [call for call in machine.calls if call.startswith("aws autoscaling")][0].endswith("--lifecycle-action-result ABANDON")
    assert machine.calls[-1] == "shutdown -P +1"


def test_a_metric_that_cannot_be_published_ends_no_polybot(boot, fleet):
    """metric-streamer beside polybot waits for CloudWatch: photos are answered meanwhile, by this machine."""
    machine = boot(fleet, "PolybotTemplate", '"curl "*":9090/healthz"')
    assert machine.status != 0 and last_line(machine)[1]["event"] == "boot_failed"
    assert [call for call in machine.calls if call.startswith("aws autoscaling")][0].endswith("--lifecycle-action-result CONTINUE")
    assert not [call for call in machine.calls if call.startswith("shutdown")]


PASSING = ['"dnf "*', '"aws ecr"*', '"docker login"*', '"docker pull"*', '"aws secretsmanager"*']


@pytest.mark.parametrize("fails", PASSING)
def test_what_fails_for_a_passing_reason_is_tried_again(boot, fleet, fails):
    machine = boot(fleet, "WorkerTemplate", fails, times=2)
    assert machine.status == 0, machine.output
    assert machine.calls.count("sleep 3") == 1 and machine.calls.count("sleep 6") == 1
    assert environment(machine, "yolo-worker")["RESULTS_SECRET"] == "a s$cret"


def test_a_shell_is_there_where_it_was_asked_for(boot, fleet, other_fleet):
    asked, plain = boot(other_fleet, "WorkerTemplate").calls, boot(fleet, "WorkerTemplate").calls
    assert "systemctl enable --now amazon-ssm-agent" in asked and "systemctl mask --now amazon-ssm-agent" not in asked
    # A baked image may have it masked.
    assert "systemctl unmask amazon-ssm-agent" in asked
    assert not [call for call in plain if "enable --now amazon-ssm-agent" in call]


def test_a_service_does_not_wait_for_its_log(boot, fleet):
    command, = [line for line in unit(boot(fleet, "WorkerTemplate"), "yolo-worker").splitlines() if line.startswith("ExecStart=")]
    assert "--log-opt mode=non-blocking --log-opt max-buffer-size=16m" in command


def test_the_agent_is_silenced_before_packages_are_installed(boot, fleet):
    """It holds the rpm lock while it updates itself."""
    calls = boot(fleet, "WorkerTemplate").calls
    assert calls.index("systemctl mask --now amazon-ssm-agent") < calls.index("dnf install -y -q docker")


@pytest.mark.parametrize("missing, installed", [
    ((), None), (("docker",), "docker"), (("docker", "aws", "cfn-signal"), "docker awscli-2 aws-cfn-bootstrap"),
    # As Amazon's image for ECS.
    (("aws", "cfn-signal"), "awscli-2 aws-cfn-bootstrap")])
def test_only_what_the_image_lacks_is_installed(boot, fleet, missing, installed):
    machine = boot(fleet, "WorkerTemplate", missing=missing)
    assert machine.status == 0, machine.output
    packages = [call.removeprefix("dnf install -y -q ") for call in machine.calls if call.startswith("dnf ")]
    assert packages == ([installed] if installed else [])
    assert machine.calls[-1].startswith("cfn-signal --exit-code 0 ")


@pytest.mark.parametrize("fails", ['"dnf "*', '"aws ecr"*', '"docker pull"*', '"aws secretsmanager"*', '"curl "*'])
def test_an_instance_that_fails_says_so_and_ends_itself(boot, fleet, fails):
    machine = boot(fleet, "WorkerTemplate", fails)
    assert machine.status != 0
    said, signal, end = machine.calls[-3:]
    assert said.startswith("aws autoscaling complete-lifecycle-action ") and said.endswith(" ABANDON")
    assert signal.startswith("cfn-signal --exit-code 1 ") and end == "shutdown -P +1"
    assert fleet.template["Resources"]["WorkerTemplate"]["Properties"]["LaunchTemplateData"][
        "InstanceInitiatedShutdownBehavior"] == "terminate"


def last_line(machine):
    """What the boot wrote into the service's log, as CloudWatch Logs gets it."""
    call, = [call for call in machine.calls if call.startswith("aws logs put-log-events")]
    event, = json.loads(call[call.index("["):])
    assert abs(event["timestamp"] / 1000 - time.time()) < 600
    return call, json.loads(event["message"])


def test_a_boot_says_how_long_each_part_took(boot, fleet):
    machine = boot(fleet, "WorkerTemplate")
    call, line = last_line(machine)
    assert "--log-group-name /polybot/fleet/yolo-worker --log-stream-name boot/i-0123456789 " in call
    assert "aws logs create-log-stream" in machine.calls[machine.calls.index(call) - 1]
    assert line["event"] == "booted" and line["step"] == "load"
    parts = [line[f"{part}_ms"] for part in ("boot", "install", "pull", "load")]
    assert sum(parts) == line["total_ms"] and all(part >= 0 for part in parts) and line["total_ms"] > 0


@pytest.mark.parametrize("fails, step", [('"dnf "*', "install"), ('"docker pull"*', "pull"), ('"curl "*', "load")])
def test_a_boot_that_fails_says_where(boot, fleet, fails, step):
    machine = boot(fleet, "WorkerTemplate", fails)
    _, line = last_line(machine)
    assert (line["event"], line["step"]) == ("boot_failed", step)


def test_a_log_that_takes_nothing_stops_no_boot(boot, fleet):
    machine = boot(fleet, "WorkerTemplate", '"aws logs"*')
    assert machine.status == 0 and machine.calls[-1].startswith("cfn-signal --exit-code 0 ")


def test_a_baked_image_fetches_and_installs_nothing(boot, other_fleet):
    machine = boot(other_fleet, "WorkerTemplate", missing=(), baked="some-bucket/models/yolo.onnx")
    assert machine.status == 0, machine.output
    fetches = ("dnf ", "docker pull", "docker login", "aws ecr", "aws s3")
    assert not [call for call in machine.calls if call.startswith(fetches)]
    assert environment(machine, "yolo-worker")["MODEL"] == "/var/lib/polybot/model.onnx"
    # Another model than the one that was asked for is no model.
    machine = boot(other_fleet, "WorkerTemplate", missing=(), baked="some-bucket/models/older.onnx")
    assert [call for call in machine.calls if call.startswith("aws s3 cp")]


def test_baking_leaves_neither_secrets_nor_services_behind(boot, other_fleet):
    machine = boot(other_fleet, "WorkerTemplate", bake=True)
    assert machine.calls[-1] == "shutdown -P now"
    assert [call for call in machine.calls if call.startswith("docker pull")]
    assert (machine.root / "var/lib/polybot/model.from").read_text() == "some-bucket/models/yolo.onnx\n"
    assert list((machine.root / "etc/polybot").iterdir()) == []
    assert list((machine.root / "etc/systemd/system").iterdir()) == []
    assert not [call for call in machine.calls if call.startswith(("cfn-signal", "aws secretsmanager", "systemctl enable --now yolo"))]
    assert last_line(machine)[1]["event"] == "baked"
    machine = boot(other_fleet, "WorkerTemplate", '"docker pull"*', bake=True)
    assert last_line(machine)[1]["event"] == "boot_failed" and machine.calls[-1] == "shutdown -P now"


def test_polybot_starts_when_its_name_has_an_address(boot, fleet):
    """Telegram refuses a webhook at a name that it can't find, and polybot ends then."""
    machine = boot(fleet, "PolybotTemplate", '"getent hosts bot.example.com"', times=3)
    assert machine.status == 0, machine.output
    assert machine.calls.count("getent hosts bot.example.com") == 4 and machine.calls.count("sleep 10") == 3
    assert "bot.example.com has no address yet" in machine.output
    found = len(machine.calls) - machine.calls[::-1].index("getent hosts bot.example.com")
    assert found < machine.calls.index("systemctl enable --now polybot")


def test_a_name_that_never_gets_an_address_is_said(boot, fleet):
    machine = boot(fleet, "PolybotTemplate", '"getent "*')
    assert machine.status != 0 and "make its record, then repeat the deploy" in machine.output
    assert "systemctl enable --now polybot" not in machine.calls
    assert machine.calls[-2].startswith("cfn-signal --exit-code 1 ")
    waited = sum(int(call.split()[1]) for call in machine.calls if call.startswith("sleep "))
    timeout = fleet.template["Resources"]["PolybotGroup"]["CreationPolicy"]["ResourceSignal"]["Timeout"]
    assert waited == 1200 and timeout == "PT30M"


def test_the_record_is_there_before_polybot(fleet, other_fleet):
    group = fleet.template["Resources"]["PolybotGroup"]
    waits_for = fleet.template["Resources"]["NameIsKnown"]["Metadata"]["WaitsFor"]
    assert "NameIsKnown" in group["DependsOn"]
    assert fleet.resolver.resolve(waits_for) == fleet.physical_ids["Record"]
    assert other_fleet.resolver.resolve(waits_for) == "none"


@pytest.mark.parametrize("machine, built, taken", [("x86_64", "amd64", True), ("aarch64", "arm64", True),
                                                   ("aarch64", "amd64", False), ("x86_64", "arm64", False)])
def test_an_image_for_another_processor_is_refused_before_it_loops(boot, fleet, machine, built, taken):
    ran = boot(fleet, "WorkerTemplate", machine=machine, built=built)
    assert (ran.status == 0) == taken
    if not taken:
        assert f"is built for {built}, and this machine is {machine}" in ran.output
        assert "systemctl enable --now yolo-worker" not in ran.calls
        assert last_line(ran)[1] | {"event": "boot_failed", "step": "pull"} == last_line(ran)[1]
