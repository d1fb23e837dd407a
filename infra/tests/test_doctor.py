"""`polybotctl doctor`: each fault is planted, and found with the command that mends it.

Emulators answer (moto), and where one does not know a call, or is to answer badly, planted.py does. The command line in between is
real, but for most tests in this process, which saves its start.
"""

import contextlib
import functools
import gzip
import io
import json
import os
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

import awscli.clidriver
import botocore
import emulator
import emulators
import pytest
from conftest import TOKEN, import_certificate
from repository import CONTRACT
from template import INFRA, load
from test_by_call import numbers

import planted
from planted import Refused

sys.path.insert(0, str(INFRA))

import doctor.__main__ as program  # noqa: E402
from doctor import declared, dns, photo  # noqa: E402
from doctor.aws import Aws  # noqa: E402
from doctor.case import Case, read  # noqa: E402

NAME_SERVERS = ["ns-1.example", "ns-2.example"]
GITHUB = {"full_name": "someone/polybot", "id": 456789, "owner": {"id": 123456}, "created_at": "2024-05-01T00:00:00Z"}
QUOTAS = {"L-1216C47A": 64, "L-34B43A08": 64, "L-F678F1CE": 50, "L-0263D0A3": 5}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a model of the Free Tier's newer calls: the command line that infra/requirements.txt has is from before them."""
    folder = tmp_path_factory.mktemp("home")
    model = json.loads(gzip.decompress(
        (Path(botocore.__file__).parent / "data/freetier/2023-09-07/service-2.json.gz").read_bytes()))
    text = {"type": "string"}
    model["shapes"]["PlanText"] = text
    model["shapes"]["PlanState"] = {"type": "structure", "members": {
        name: {"shape": "PlanText"} for name in ("accountId", "accountPlanType", "accountPlanStatus", "accountPlanExpirationDate")}}
    model["shapes"]["PlanAsked"] = {"type": "structure", "members": {}}
    model["operations"]["GetAccountPlanState"] = {
        "name": "GetAccountPlanState", "http": {"method": "POST", "requestUri": "/"}, "input": {"shape": "PlanAsked"},
        "output": {"shape": "PlanState"}}
    kept = folder / "models/freetier/2023-09-07"
    kept.mkdir(parents=True)
    (kept / "service-2.json").write_text(json.dumps(model))
    return folder


@pytest.fixture(scope="module")
def account():
    """An account of its own, as the README's steps leave it before the deploy; its address."""
    with emulator.moto() as endpoint:
        emulators.deploy(endpoint, "bootstrap.yaml", "polybot-bootstrap", {"GitHubRepository": "someone/polybot"}, emulators.MOTO_LACKS)
        iam = emulators.client(endpoint, "iam")
        iam.create_open_id_connect_provider(Url="https://token.actions.githubusercontent.com", ClientIDList=["sts.amazonaws.com"])
        for tag, architecture in (("good", "amd64"), ("arm", "arm64")):
            for service in ("polybot", "yolo-worker", "metric-streamer"):
                push(endpoint, f"polybot/{service}", tag, [architecture])
        yield endpoint


def push(endpoint, repository, tag, architectures):
    """An image with these platforms, and an attestation beside them, as buildx pushes it."""
    listed = [{"digest": "sha256:" + f"{number}" * 64, "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 3,
               "platform": {"architecture": architecture, "os": "linux"}}
              for number, architecture in enumerate([*architectures, "unknown"], 1)]
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": listed, "annotations": {"tag": tag}}
    emulators.client(endpoint, "ecr").put_image(repositoryName=repository, imageTag=tag, imageManifest=json.dumps(index),
                                                imageManifestMediaType=index["mediaType"])


@pytest.fixture(scope="module")
def machine_image(account):
    """moto's newest Amazon Linux 2023, for each processor."""
    found = emulators.client(account, "ec2").describe_images(Owners=["amazon"], Filters=[{"Name": "name", "Values": ["al2023-ami-2*"]}])
    return {image["Architecture"]: image["ImageId"] for image in found["Images"]}


@pytest.fixture(scope="module")
def zone(account):
    made = emulators.client(account, "route53").create_hosted_zone(Name="example.com", CallerReference="doctor")
    # AWS's begin with a Z, which the template insists on, and moto's do not: the world before it takes the Z away.
    return "Z" + made["HostedZone"]["Id"].split("/")[-1], [server.rstrip(".") for server in made["DelegationSet"]["NameServers"]]


@pytest.fixture
def world(surroundings_, zone):
    """All is well."""
    world = surroundings_[2]
    world.answers = {
        "GetServiceQuota": lambda asked: {"Quota": {"QuotaCode": asked["QuotaCode"], "Value": QUOTAS[asked["QuotaCode"]]}},
        "GetAccountPlanState": {"accountPlanType": "PAID", "accountPlanStatus": "ACTIVE"},
        "/repos/someone/polybot": GITHUB,
        f"/bot{TOKEN}/getMe": {"ok": True, "result": {"username": "a_bot"}},
        f"/bot{TOKEN}/getWebhookInfo": {"ok": True, "result": {"url": "", "pending_update_count": 0}},
    }
    world.rewritten = {zone[0]: zone[0][1:]}
    world.names = {("example.com", "NS"): zone[1], ("bot.example.com", "A"): ["192.0.2.7"]}
    return world


@pytest.fixture
def given(machine_image, zone):
    return {"ImageTag": "good", "MachineImageId": machine_image["x86_64"], "DomainName": "bot.example.com", "HostedZoneId": zone[0],
            "TelegramToken": TOKEN}


@pytest.fixture(scope="module")
def surroundings_(account, home):
    """One world for all tests, so that the command line in this process reads its models once."""
    world = planted.World()
    with planted.aws(account, world) as address, planted.dns(world) as resolver, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(address, home).items():
            patch.setenv(name, value)
        yield address, resolver, world
        _driver.cache_clear()


@pytest.fixture
def surroundings(surroundings_, world):
    """The world, answering; its address and its resolver."""
    return surroundings_[:2]


def environment(address, home):
    # The second is what the command line adds by itself, once a process.
    return {"HOME": str(home), "AWS_DATA_PATH": f"{home}/models{os.pathsep}{Path(awscli.__file__).parent}/data",
            "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": emulators.ACCOUNT, "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": emulators.REGION, "AWS_REGION": emulators.REGION, "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1", "GITHUB_API_URL": address, "TELEGRAM_API_URL": address}


@functools.cache
def _driver():
    return awscli.clidriver.create_clidriver()


def in_this_process(command):
    """`aws`, as doctor.aws runs it."""
    if command[1] == "sqs":
        # For this service alone the version of requirements.txt does not look at AWS_ENDPOINT_URL.
        command = [*command, "--endpoint-url", os.environ["AWS_ENDPOINT_URL"]]
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            code = _driver().main(command[1:])
        except SystemExit as ended:
            code = ended.code
    return code, out.getvalue(), error.getvalue()


@pytest.fixture
def look(surroundings, given):
    """What one check finds: the findings, with those parameters changed (None: left out)."""

    def check(name, stack="polybot", mini=False, **changed):
        chosen = {key: value for key, value in (given | changed).items() if value is not None}
        case = Case(Aws(emulators.REGION, in_this_process), stack, "polybot-bootstrap", chosen, mini)
        return program._run(name, case, *([surroundings[1]] if name in program._ASK_DNS else []))

    return check


def only(findings, level):
    """The one finding of this level."""
    found = [finding for finding in findings if finding.level == level]
    assert len(found) == 1, findings
    return found[0]


def all_well(findings):
    assert findings and all(finding.level == "fine" and not finding.mend for finding in findings), findings


# --- the program ---

def run(surroundings, home, *arguments, **more):
    address, resolver = surroundings
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TELEGRAM_", "GITHUB_"))}
    variables |= environment(address, home) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | more
    return subprocess.run([INFRA / "polybotctl", "doctor", "aws", "--resolver", resolver, *arguments], env=variables,
                          capture_output=True, text=True, timeout=300)


@pytest.fixture
def file(tmp_path, given):
    def write(**changed):
        path = tmp_path / "parameters.json"
        path.write_text(json.dumps([f"{name}={value}" for name, value in (given | changed).items()]))
        return path

    return write


def test_where_nothing_hinders_it_says_so_and_ends_with_0(surroundings, home, file):
    ran = run(surroundings, home, "--parameters", file(AlarmTopicArn=topic(surroundings[0], "arn:confirmed")))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAULT" not in ran.stdout and "$ " not in ran.stdout and ran.stdout.rstrip().endswith("nothing hinders"), ran.stdout
    # Each check that there is before a deploy said something, or has nothing to look at.
    silent = {"certificate", "names"} | program.AFTER
    assert {line.split()[1] for line in ran.stdout.splitlines() if line.startswith("ok ")} == set(program.CHECKS) - silent
    assert TOKEN not in ran.stdout + ran.stderr


def test_faults_come_last_with_their_commands_and_it_ends_with_1(surroundings, home, file, world, capsys):
    world.answers["GetAccountPlanState"] = {"accountPlanType": "FREE", "accountPlanStatus": "ACTIVE"}
    ran = run(surroundings, home, "--parameters", file(), "--only", "plan", "--only", "types", "--json")
    assert ran.returncode == 1, ran.stderr
    said = json.loads(ran.stdout)
    assert (said["stack"], said["region"], said["status"], said["fault"]) == ("polybot", emulators.REGION, None, 1)
    found = [finding for finding in said["findings"] if finding["level"] == "fault"]
    assert found[0]["check"] == "plan" and found[0]["mend"].startswith("aws freetier upgrade-account-plan ")
    program._as_text([program.Finding(**finding) for finding in said["findings"]],
                     Case(Aws(emulators.REGION, in_this_process), "polybot", "polybot-bootstrap", {}, False))
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines.index(next(line for line in lines if line.startswith("FAULT"))) > lines.index(
        next(line for line in lines if line.startswith("ok ")))
    assert "$ aws freetier upgrade-account-plan " in text and lines[-1] == "1 to mend first"


def test_what_may_not_be_looked_at_ends_with_3(surroundings, home, file, world):
    world.answers["GetServiceQuota"] = Refused("AccessDeniedException", "you may not")
    ran = run(surroundings, home, "--parameters", file(), "--only", "quotas", "--json")
    assert ran.returncode == 3
    finding, = json.loads(ran.stdout)["findings"]
    assert finding["level"] == "unknown" and "you may not look: `aws service-quotas get-service-quota" in finding["says"]
    world.answers["GetCallerIdentity"] = Refused("ExpiredToken", "expired")
    ran = run(surroundings, home, "--parameters", file())
    assert ran.returncode == 3 and "sts get-caller-identity" in ran.stderr and "Traceback" not in ran.stderr


def test_who_calls_it_wrongly_is_told_how(surroundings, home, tmp_path):
    for arguments, told in (([], "there is no stack polybot to take the parameters from"),
                            (["--parameters", tmp_path / "none"], "can't read"), (["--only", "nothing"], "invalid choice")):
        ran = run(surroundings, home, *arguments)
        assert ran.returncode == 2 and told in ran.stderr, ran
    ran = run(surroundings, home, AWS_REGION="", AWS_DEFAULT_REGION="")
    assert ran.returncode == 2 and "set AWS_REGION" in ran.stderr
    helped = subprocess.run([INFRA / "polybotctl"], capture_output=True, text=True)
    assert helped.returncode == 2 and "doctor aws --parameters FILE" in helped.stderr


def test_an_aws_that_is_too_old_is_said(surroundings, home, file):
    # As it is in requirements.txt.
    ran = run(surroundings, home, "--parameters", file(), "--only", "plan", "--json", AWS_DATA_PATH="")
    assert ran.returncode == 3 and "install a newer one" in ran.stdout


def test_it_only_reads():
    """Every operation that it names, but for those that send the photo."""
    for path in sorted((INFRA / "doctor").glob("*.py")):
        calls = re.findall(r'\baws\(\s*"([\w-]+)", "([\w-]+)"', path.read_text())
        for service, operation in calls:
            reads = operation.startswith(("describe-", "get-", "list-", "batch-get-"))
            assert reads or (path.name, operation) in {("photo.py", "put-object"), ("photo.py", "send-message")}, (service, operation)


def test_parameters_are_read_as_people_write_them(tmp_path):
    path = tmp_path / "file"
    for text in ('["ImageTag=v1", "TelegramToken=1:a=b"]', '{"Parameters": {"ImageTag": "v1", "TelegramToken": "1:a=b"}}',
                 '[{"ParameterKey": "ImageTag", "ParameterValue": "v1"}, {"ParameterKey": "TelegramToken", "ParameterValue": "1:a=b"}]',
                 "# of today\nImageTag=v1\n\nTelegramToken=1:a=b\n"):
        path.write_text(text)
        assert read(path) == {"ImageTag": "v1", "TelegramToken": "1:a=b"}
    path.write_text('["ImageTag=v1", "123456:secret"]')
    with pytest.raises(Exception, match="entry 2 is not NAME=value") as refused:
        read(path)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["polybot.yaml", "mini.yaml", "bootstrap.yaml"])
def test_parameters_of_a_template_are_read_as_a_yaml_library_reads_them(name):
    def text(value):
        return [text(inner) for inner in value] if isinstance(value, list) else "true" if value is True else str(value)

    expected = {parameter: {key: text(value) for key, value in declaration.items()} for parameter, declaration in load(name)["Parameters"].items()}
    assert declared.parameters((INFRA / name).read_text()) == expected


# --- before a deploy ---

def test_parameters_that_the_template_does_not_take(look):
    all_well(look("parameters"))
    found = only(look("parameters", WorkerMaximum="5"), "fault")
    assert "no parameter WorkerMaximum" in found.says and "is WorkerMax meant?" in found.says
    assert "one of arm64, x86_64" in only(look("parameters", Architecture="riscv"), "fault").says
    assert "110 or less" in only(look("parameters", WorkerDrainSeconds="300"), "fault").says
    wrong = only(look("parameters", TelegramToken="not-a-token"), "fault")
    assert "as BotFather gives it" in wrong.says and "not-a-token" not in wrong.says
    missing = only(look("parameters", MachineImageId=None), "fault")
    assert missing.says == "MachineImageId is missing" and "al2023-ami-kernel-default-x86_64" in missing.mend
    assert "neither HostedZoneId nor CertificateId" in only(look("parameters", HostedZoneId=None), "fault").says
    assert "not below WorkerMax" in only(look("parameters", WorkerMin="10"), "fault").says
    all_well(look("parameters", mini=True, DomainName=None, HostedZoneId=None))
    # It comes through a pipe later.
    all_well(look("parameters", TelegramToken=None))


def test_a_free_plan_launches_few_types(look, world):
    all_well(look("plan"))
    world.answers["GetAccountPlanState"] = {"accountPlanType": "FREE", "accountPlanStatus": "ACTIVE", "accountPlanExpirationDate": "2027-01-01"}
    found = only(look("plan"), "fault")
    assert "t3a.small" in found.says and "c6i.large" in found.says
    assert "aws freetier upgrade-account-plan --account-plan-type PAID" in found.mend and "free-tier-eligible" in found.mend
    # A type that it launches: the plan ends all the same.
    assert "2027-01-01" in only(look("plan", mini=True), "warning").says
    world.answers["GetAccountPlanState"] = {"accountPlanType": "FREE", "accountPlanStatus": "EXPIRED"}
    assert "expired" in only(look("plan"), "fault").says


def allow(world, **values):
    quotas = QUOTAS | {code.replace("_", "-"): value for code, value in values.items()}
    world.answers["GetServiceQuota"] = lambda asked: {"Quota": {"Value": quotas[asked["QuotaCode"]]}}


def test_quotas_that_a_new_account_has(look, world):
    # Two polybots are four vCPUs, a worker two of spot; ten workers are thirty while they are replaced.
    allow(world, L_1216C47A=5, L_34B43A08=5)
    found = look("quotas")
    assert not [finding for finding in found if finding.level == "fault"]
    spot = only(found, "warning")
    assert "5 vCPUs of spot" in spot.says and "begins with 2" in spot.says and "wants 30" in spot.says
    assert spot.mend == "aws service-quotas request-service-quota-increase --service-code ec2 --quota-code L-34B43A08 --desired-value 32"
    on_demand = only(look("quotas", WorkerOnDemandBase="1"), "fault")
    assert "5 vCPUs on demand" in on_demand.says and "begins with 6" in on_demand.says and "L-1216C47A" in on_demand.mend
    assert "at its largest, while it is replaced, wants 6" in [
        finding for finding in look("quotas", PolybotUpdate="launch-first") if "on demand" in finding.says][0].says
    assert [finding.level for finding in look("quotas", mini=True)][:2] == ["fine", "fine"]


def test_families_with_quotas_of_their_own_are_said_not_to_be_looked_at(look):
    assert "g4dn.xlarge: of families with quotas" in only(look("quotas", PolybotInstanceType="g4dn.xlarge"), "unknown").says
    assert "inf1.xlarge" in only(look("quotas", WorkerInstanceTypes="inf1.xlarge"), "unknown").says


def test_what_runs_already_counts(look, world, account):
    ec2 = emulators.client(account, "ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=image, InstanceType="m5.xlarge", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    try:
        allow(world, L_1216C47A=5)
        found = [finding for finding in look("quotas") if finding.level == "fault"]
        assert len(found) == 1 and re.search(r"5 vCPUs on demand are allowed, [1-9]\d* of them run for something else", found[0].says)
        # The stack's own do not count twice.
        ec2.create_tags(Resources=[instance], Tags=[{"Key": "aws:autoscaling:groupName", "Value": "polybot-polybot"}])
        assert not [finding for finding in look("quotas") if finding.level == "fault"]
    finally:
        ec2.terminate_instances(InstanceIds=[instance])


def test_networks_and_addresses_are_counted(look, world):
    allow(world, L_F678F1CE=1)
    found = only(look("quotas"), "fault")
    assert "networks (VPCs)" in found.says and "--service-code vpc --quota-code L-F678F1CE" in found.mend
    allow(world, L_0263D0A3=1)
    found = only(look("quotas", PrivateSubnets="true"), "fault")
    assert "two NAT gateways want two more" in found.says and "L-0263D0A3" in found.mend
    # Where nobody asked for another quota there is the default.
    world.answers["GetServiceQuota"] = Refused("NoSuchResourceException", "none")
    world.answers["GetAWSDefaultServiceQuota"] = {"Quota": {"Value": 1}}
    assert len([finding for finding in look("quotas") if finding.level == "fault"]) == 3


def test_types_that_a_region_or_a_zone_lacks(look, world):
    all_well(look("types"))
    found = only(look("types", PolybotInstanceType="t9.small"), "fault")
    assert "PolybotInstanceType t9.small is not in us-east-1" in found.says and "describe-instance-types" in found.mend
    assert "t9.large" in only(look("types", WorkerInstanceTypes="c6i.large,c6id.large,m6i.large,t9.large"), "warning").says
    assert "neither us-east-1a nor us-east-1b has any" in only(look("types", WorkerInstanceTypes="t9.large,t8.large"), "fault").says
    # One zone has few: by an answer of which that zone's are taken out.
    offers = {"a": "t3a.small c6i.large m6i.large r6i.large".split(), "b": ["c6i.large"]}
    xml = "".join(f"<item><instanceType>{kind}</instanceType><locationType>availability-zone</locationType><location>us-east-1{zone}</location></item>"
                  for zone, kinds in offers.items() for kind in kinds)
    world.answers["DescribeInstanceTypeOfferings"] = planted.Xml(
        '<DescribeInstanceTypeOfferingsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>1</requestId><instanceTypeOfferingSet>{xml}</instanceTypeOfferingSet></DescribeInstanceTypeOfferingsResponse>")
    warned = [finding.says for finding in look("types") if finding.level == "warning"]
    assert warned == ["us-east-1b has no t3a.small (PolybotInstanceType): all polybots are in one zone",
                      "us-east-1b has 1 of the workers' types: spot is short of all at once more often"]


def test_types_that_do_not_fit_the_stack(look):
    found = only(look("types", PolybotInstanceType="t4g.small"), "fault")
    assert "t4g.small is arm64, and the stack is x86_64" in found.says
    said = {finding.says for finding in look("types", WorkerInstanceTypes="c6i.large,m6i.large,r6i.large,c6i.xlarge,c7g.large")
            if finding.level == "warning"}
    assert said == {"c6i.xlarge in WorkerInstanceTypes has 4 vCPUs: workers have two, so it is never taken",
                    "c7g.large in WorkerInstanceTypes is arm64, and the stack is x86_64: it would be refused at the boot"}
    all_well(look("types", Architecture="arm64", PolybotInstanceType="t4g.small", WorkerInstanceTypes="c7g.large,m7g.large,r7g.large"))
    all_well(look("types", mini=True))


def test_machine_images(look, machine_image, account):
    all_well(look("machine-images"))
    found = only(look("machine-images", MachineImageId="ami-0123456789abcdef0"), "fault")
    assert "not (or no more) in us-east-1" in found.says and "al2023-ami-kernel-default-x86_64" in found.mend
    found = only(look("machine-images", MachineImageId=machine_image["arm64"]), "fault")
    assert "is for arm64, and the stack is x86_64" in found.says
    ec2 = emulators.client(account, "ec2")
    other = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}, {"Name": "root-device-name", "Values": ["/dev/sda1"]}])
    assert "boots from /dev/sda1" in only(look("machine-images", MachineImageId=other["Images"][0]["ImageId"]), "fault").says
    found = only(look("machine-images", WorkerImageId="ami-0123456789abcdef0"), "fault")
    assert "WorkerImageId" in found.says and "infra/bake" in found.mend
    # The small stack has no parameter for the processor: it is its type's.
    found = only(look("machine-images", mini=True, InstanceType="t4g.small"), "fault")
    assert "and the stack is arm64" in found.says


def test_containers_that_are_not_there_or_of_another_processor(look, world, account):
    all_well(look("images"))
    found = [finding for finding in look("images", ImageTag="missing") if finding.level == "fault"]
    assert [finding.says for finding in found] == [f"polybot/{service} has no image missing" for service in ("polybot", "yolo-worker", "metric-streamer")]
    assert "docker build --platform linux/amd64 -f Dockerfiles/yolo-worker.Dockerfile" in found[1].mend
    assert ".github/deploy/push 123456789012.dkr.ecr.us-east-1.amazonaws.com polybot/yolo-worker missing" in found[1].mend
    found = look("images", ImageTag="arm")
    assert len(found) == 3 and all(finding.level == "fault" and "built for arm64, and the stack is x86_64" in finding.says for finding in found)
    assert "Architecture=arm64" in found[0].mend and "a tag is written once" in found[0].mend
    found = look("images", Repositories="nothing")
    assert "there is no repository nothing/polybot" in found[0].says and "bootstrap.yaml" in found[0].mend
    world.answers["DescribeImages"] = lambda asked: isinstance(asked, dict) and {"imageDetails": [{"imageStatus": "ARCHIVED"}]} or None
    # The command line of requirements.txt does not know the field, and drops it.
    assert look("images")[0].level == "fine"


def test_the_processor_of_an_image_that_is_no_index(look, world, account, surroundings):
    digest = "sha256:" + "c" * 64
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": [],
                "config": {"digest": digest, "mediaType": "application/vnd.docker.container.image.v1+json", "size": 3}}
    for service in ("polybot", "yolo-worker", "metric-streamer"):
        emulators.client(account, "ecr").put_image(repositoryName=f"polybot/{service}", imageTag="plain", imageManifest=json.dumps(manifest))
    world.answers["GetDownloadUrlForLayer"] = {"downloadUrl": f"{surroundings[0]}/blob/config", "layerDigest": digest}
    world.answers["/blob/config"] = {"architecture": "arm64", "os": "linux"}
    assert "built for arm64" in look("images", ImageTag="plain")[0].says
    world.answers["/blob/config"] = {"architecture": "amd64", "os": "linux"}
    all_well(look("images", ImageTag="plain"))
    del world.answers["/blob/config"]
    assert look("images", ImageTag="plain")[0].level == "unknown"


def test_a_zone_that_is_wrong_private_or_nobody_s(look, world, account, zone):
    all_well(look("zone"))
    found = only(look("zone", HostedZoneId="Z0000000000000"), "fault")
    assert "no hosted zone" in found.says and "list-hosted-zones" in found.mend
    assert "is not in the hosted zone" in only(look("zone", DomainName="bot.example.org"), "fault").says
    # Not a name that only ends alike.
    assert "is not in the hosted zone" in only(look("zone", DomainName="botexample.com"), "fault").says
    vpc = emulators.client(account, "ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    private = emulators.client(account, "route53").create_hosted_zone(
        Name="inside.example", CallerReference=str(uuid.uuid4()), VPC={"VPCRegion": emulators.REGION, "VPCId": vpc},
        HostedZoneConfig={"PrivateZone": True})["HostedZone"]["Id"]
    found = only(look("zone", HostedZoneId=private.split("/")[-1], DomainName="bot.inside.example"), "fault")
    assert "is private" in found.says
    world.names["example.com", "NS"] = NAME_SERVERS
    found = only(look("zone"), "fault")
    assert "not delegated" in found.says and "ns-1.example, ns-2.example" in found.says and zone[1][0] in found.mend
    world.names["example.com", "NS"] = []
    assert "the world names nobody" in only(look("zone"), "fault").says
    world.names["example.com", "NS"] = [*zone[1], "ns-1.example"]
    assert "and to ns-1.example" in only(look("zone"), "warning").says
    world.names["example.com", "NS"] = 2  # SERVFAIL
    assert only(look("zone"), "unknown").mend == "dig +short NS example.com"


def test_a_record_that_is_there_already(look, account, zone):
    route53 = emulators.client(account, "route53")
    record = {"Name": "bot.example.com.", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.9"}]}
    route53.change_resource_record_sets(HostedZoneId=zone[0][1:], ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]})
    found = only(look("zone"), "fault")
    assert "has a record A already" in found.says
    # The command does it.
    batch = re.search(r"--change-batch '(.*)'", found.mend)[1]
    route53.change_resource_record_sets(HostedZoneId=zone[0][1:], ChangeBatch=json.loads(batch))
    all_well(look("zone"))


def test_records_that_keep_amazon_from_certifying(look, world):
    all_well(look("caa"))
    world.names["example.com", "CAA"] = [("issue", "letsencrypt.org"), ("iodef", "mailto:a@example.com")]
    found = only(look("caa"), "fault")
    assert "CAA records of example.com let letsencrypt.org certify bot.example.com, and not Amazon" in found.says
    batch = json.loads(re.search(r"--change-batch '(.*)'", found.mend)[1])
    values = {record["Value"] for record in batch["Changes"][0]["ResourceRecordSet"]["ResourceRecords"]}
    assert values == {'0 issue "letsencrypt.org"', '0 iodef "mailto:a@example.com"', '0 issue "amazon.com"'}
    world.names["example.com", "CAA"] = [("issue", ";")]
    assert "let nobody certify" in only(look("caa"), "fault").says
    # The nearest name decides.
    world.names["bot.example.com", "CAA"] = [("issue", "amazonaws.com; policy=ev")]
    all_well(look("caa"))
    # Without any for a host, there is no restriction.
    world.names = {("example.com", "CAA"): [("iodef", "mailto:a@example.com")]}
    all_well(look("caa"))
    world.names = {("bot.example.com", "CAA"): 2}
    assert only(look("caa"), "unknown").mend == "dig +short CAA bot.example.com"


def test_a_certificate_of_ones_own(look, account):
    own = {"HostedZoneId": None}
    found = only(look("certificate", CertificateId="01234567-89ab-cdef-0123-456789abcdef", **own), "fault")
    assert "there is no certificate" in found.says and "list-certificates" in found.mend
    soon, later = import_certificate(account, days=5), import_certificate(account, days=90)
    found = only(look("certificate", CertificateId=soon, **own), "warning")
    assert re.search("ends in [45] days", found.says) and "import-certificate" in found.mend
    all_well(look("certificate", CertificateId=later, **own))
    assert "is for bot.example.com, not for other.example.com" in only(
        look("certificate", CertificateId=later, DomainName="other.example.com", **own), "fault").says
    asked = emulators.client(account, "acm").request_certificate(DomainName="bot.example.com", ValidationMethod="DNS")["CertificateArn"]
    found = look("certificate", CertificateId=asked.split("/")[-1], **own)[0]
    assert found.level == "fault" and "PENDING_VALIDATION" in found.says


def test_the_form_of_github_s_tokens(look, world):
    all_well(look("pipeline"))
    world.answers["/repos/someone/polybot"] = GITHUB | {"created_at": "2026-08-01T00:00:00Z"}
    found = only(look("pipeline"), "fault")
    assert "sends repo:someone@123456/polybot@456789:environment:production" in found.says
    assert "the role trusts repo:someone/polybot:environment:production: every workflow is refused" in found.says
    assert found.mend.endswith("--parameter-overrides GitHubOwnerId=123456 GitHubRepositoryId=456789")
    world.answers["/repos/someone/polybot"] = GITHUB | {"full_name": "someone/robot"}
    found = only(look("pipeline"), "fault")
    assert "is someone/robot now" in found.says and "GitHubRepository=someone/robot GitHubOwnerId=123456" in found.mend
    world.answers["/repos/someone/polybot"] = Refused("Not Found", status=404)
    assert "GITHUB_TOKEN" in only(look("pipeline"), "unknown").says
    world.answers["/repos/someone/polybot"] = Refused("rate limit", status=403)
    assert "GitHub answers 403" in only(look("pipeline"), "unknown").says


def test_a_role_that_has_the_numbers(look, account, world):
    emulators.deploy(account, "bootstrap.yaml", "numbered", {
        "Repositories": "numbered", "GitHubRepository": "someone/polybot", "GitHubOwnerId": "123456", "GitHubRepositoryId": "456789"},
        emulators.MOTO_LACKS)

    def found():
        case = Case(Aws(emulators.REGION, in_this_process), "polybot", "numbered", {}, False)
        return program._run("pipeline", case)

    world.answers["/repos/someone/polybot"] = GITHUB | {"created_at": "2026-08-01T00:00:00Z"}
    all_well(found())
    world.answers["/repos/someone/polybot"] = GITHUB
    assert "is older than 2026-07-15" in only(found(), "warning").says
    world.answers["/repos/someone/polybot"] = GITHUB | {"created_at": "2026-08-01T00:00:00Z", "id": 1}
    assert "GitHubRepositoryId=1" in only(found(), "fault").mend


def test_no_bootstrap_and_no_provider(look, account):
    case = Case(Aws(emulators.REGION, in_this_process), "polybot", "none", {}, False)
    found = only(program._run("pipeline", case), "fault")
    assert "there is no stack none" in found.says and found.mend.startswith("aws cloudformation deploy --stack-name none")
    iam = emulators.client(account, "iam")
    arn = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"][0]["Arn"]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    try:
        found = only(look("pipeline"), "fault")
        assert "identity provider is gone" in found.says and "create-open-id-connect-provider" in found.mend
    finally:
        iam.create_open_id_connect_provider(Url="https://token.actions.githubusercontent.com", ClientIDList=["sts.amazonaws.com"])


@pytest.mark.parametrize("status, level, mend", [
    ("ROLLBACK_COMPLETE", "fault", "delete-stack"), ("DELETE_FAILED", "fault", "delete-stack"),
    ("UPDATE_ROLLBACK_FAILED", "fault", "continue-update-rollback"), ("UPDATE_IN_PROGRESS", "fault", "wait stack-update-complete"),
    ("DELETE_IN_PROGRESS", "fault", "wait stack-delete-complete"), ("ROLLBACK_IN_PROGRESS", "fault", "wait stack-create-complete"),
    ("REVIEW_IN_PROGRESS", "warning", "delete-stack"), ("UPDATE_COMPLETE", "fine", ""), ("UPDATE_ROLLBACK_COMPLETE", "fine", "")])
def test_a_stack_that_takes_no_deploy(look, world, status, level, mend):
    described = ('<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member>'
                 f"<StackName>polybot</StackName><StackStatus>{status}</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>"
                 "</member></Stacks></DescribeStacksResult></DescribeStacksResponse>")
    world.answers["DescribeStacks"] = planted.Xml(described)
    found = only(look("stack"), level)
    assert status in found.says and mend in found.mend


def test_names_that_a_failed_try_left(look, account):
    assert look("names") == []
    logs, autoscaling = emulators.client(account, "logs"), emulators.client(account, "autoscaling")
    logs.create_log_group(logGroupName="/polybot/polybot/yolo-worker")
    # Another stack's.
    logs.create_log_group(logGroupName="/polybot/polybot-two/yolo-worker")
    autoscaling.create_launch_configuration(LaunchConfigurationName="one", ImageId="ami-1", InstanceType="t3.small")
    autoscaling.create_auto_scaling_group(AutoScalingGroupName="polybot-workers", LaunchConfigurationName="one", MinSize=0, MaxSize=0,
                                          AvailabilityZones=["us-east-1a"])
    try:
        found = [finding for finding in look("names") if finding.level == "fault"]
        assert [finding.mend for finding in found] == [
            "aws logs delete-log-group --log-group-name /polybot/polybot/yolo-worker",
            "aws autoscaling delete-auto-scaling-group --force-delete --auto-scaling-group-name polybot-workers"]
    finally:
        logs.delete_log_group(logGroupName="/polybot/polybot/yolo-worker")
        autoscaling.delete_auto_scaling_group(AutoScalingGroupName="polybot-workers", ForceDelete=True)


def test_policies_of_logs_are_ten(look, world):
    world.answers["DescribeResourcePolicies"] = {"resourcePolicies": [{"policyName": f"of-{number}"} for number in range(10)]}
    assert "delete-resource-policy" in only(look("names"), "fault").mend
    world.answers["DescribeResourcePolicies"] = {"resourcePolicies": [{"policyName": f"of-{number}"} for number in range(9)]}
    assert look("names") == []


def test_data_that_an_earlier_stack_left(look, account):
    all_well(look("data"))
    s3, dynamodb = emulators.client(account, "s3"), emulators.client(account, "dynamodb")
    s3.create_bucket(Bucket="polybot-imagebucket-old")
    dynamodb.create_table(TableName="polybot-PredictionTable-OLD", BillingMode="PAY_PER_REQUEST",
                          AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}], KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}])
    try:
        bucket, table = look("data")
        assert (bucket.level, table.level) == ("warning", "warning")
        assert "infra/take-over" in bucket.mend and "aws s3 rb --force s3://polybot-imagebucket-old" in bucket.mend
        assert "aws dynamodb delete-table --table-name polybot-PredictionTable-OLD" in table.mend
    finally:
        s3.delete_bucket(Bucket="polybot-imagebucket-old")
        dynamodb.delete_table(TableName="polybot-PredictionTable-OLD")


def topic(address, subscription=None):
    """A topic, with a subscription by its ARN ("PendingConfirmation": nobody said yes)."""
    sns = emulators.client(address, "sns")
    arn = sns.create_topic(Name=f"on-call-{uuid.uuid4()}")["TopicArn"]
    if subscription:
        sns.subscribe(TopicArn=arn, Protocol="email", Endpoint="a@example.com")
    return arn


def test_alarms_that_nobody_hears(look, account, world):
    found = only(look("topic"), "warning")
    assert "alarms tell nobody" in found.says and "aws sns subscribe" in found.mend and "AlarmTopicArn=$topic" in found.mend
    found = only(look("topic", AlarmTopicArn="arn:aws:sns:us-east-1:123456789012:gone"), "fault")
    assert "there is no topic" in found.says
    empty, heard = topic(account), topic(account, "arn")
    found = only(look("topic", AlarmTopicArn=empty), "fault")
    assert "nobody is subscribed" in found.says and empty in found.mend
    all_well(look("topic", AlarmTopicArn=heard))
    world.answers["ListSubscriptionsByTopic"] = planted.Xml(
        '<ListSubscriptionsByTopicResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ListSubscriptionsByTopicResult><Subscriptions><member>'
        "<SubscriptionArn>PendingConfirmation</SubscriptionArn><Endpoint>b@example.com</Endpoint><Protocol>email</Protocol></member></Subscriptions>"
        "</ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>")
    assert "b@example.com did not confirm" in only(look("topic", AlarmTopicArn=heard), "fault").says


def test_the_bot_before_a_deploy(look, world):
    all_well(look("bot"))
    world.answers[f"/bot{TOKEN}/getWebhookInfo"] = {"ok": True, "result": {"url": "https://other.example/webhook"}}
    assert "serves at https://other.example/webhook now" in only(look("bot"), "warning").says
    world.answers[f"/bot{TOKEN}/getMe"] = Refused("Unauthorized", status=401)
    found = only(look("bot"), "fault")
    assert "does not know the token" in found.says and TOKEN not in found.says + found.mend
    world.answers[f"/bot{TOKEN}/getMe"] = Refused("Bad Gateway", status=502)
    assert "Telegram answers 502" in only(look("bot"), "unknown").says
    assert "no token" in only(look("bot", TelegramToken=None), "unknown").says


def test_a_telegram_that_can_not_be_reached_does_not_show_the_token(look, monkeypatch):
    monkeypatch.setenv("TELEGRAM_API_URL", "http://127.0.0.1:9")
    found = only(look("bot"), "unknown")
    assert "can't be asked" in found.says and TOKEN not in found.says + found.mend


# --- after it ---

@pytest.fixture(scope="module")
def deployed(account, zone):
    """A stack in moto, with the alarms and the filters that its CloudFormation can't make put by call."""
    arn = topic(account, "arn")
    stack = emulators.deploy(account, "polybot.yaml", "patient", {
        "TelegramToken": TOKEN, "MachineImageId": "ami-0000000000000bbbb", "ImageTag": "good", "DomainName": "bot.example.com",
        "CertificateId": import_certificate(account, 90), "AlarmTopicArn": arn,
        "WorkerInstanceTypes": "c6i.large,c6id.large,c6in.large,m6i.large,m6id.large,r6i.large"}, emulators.MOTO_LACKS)
    # Which moto does not tell, or tells as it was asked for.
    stack.resolver._attributes |= {("WebhookTargets", "TargetGroupFullName"): "targetgroup/webhook/1",
                                   ("PublicLoadBalancer", "LoadBalancerFullName"): "app/public/1"}
    cloudwatch, logs = stack.client("cloudwatch"), stack.client("logs")
    alarms = {}
    for name, resource in stack.template["Resources"].items():
        if not stack.resolver.exists(name):
            continue
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            properties = numbers(stack.resolver.resource(name))
            cloudwatch.put_metric_alarm(**properties)
            alarms[name] = (resource["Type"], properties["AlarmName"])
        elif resource["Type"] == "AWS::Logs::MetricFilter":
            properties = stack.resolver.resource(name)
            made = [{key[0].lower() + key[1:]: value for key, value in transformation.items()} for transformation in properties["MetricTransformations"]]
            logs.put_metric_filter(logGroupName=properties["LogGroupName"], filterName=name, filterPattern=properties["FilterPattern"],
                                   metricTransformations=made)
    # What runs publishes.
    for alarm in cloudwatch.describe_alarms(AlarmNamePrefix="patient-")["MetricAlarms"]:
        metrics = [alarm] if "MetricName" in alarm else [metric["MetricStat"]["Metric"] for metric in alarm["Metrics"] if "MetricStat" in metric]
        for metric in metrics:
            cloudwatch.put_metric_data(Namespace=metric["Namespace"], MetricData=[
                {"MetricName": metric["MetricName"], "Dimensions": metric.get("Dimensions", []), "Value": 1}])
    return stack, alarms


@pytest.fixture
def after(deployed, surroundings, world):
    """As `look`, for the stack that is there, without a file."""
    stack, alarms = deployed
    world.answers[f"/bot{TOKEN}/getWebhookInfo"] = {"ok": True, "result": {"url": "https://bot.example.com/webhook", "pending_update_count": 3}}
    world.names[stack.outputs["PublicLoadBalancerName"].lower(), "A"] = ["192.0.2.7"]

    def check(name, **given):
        case = Case(Aws(emulators.REGION, in_this_process), "patient", "polybot-bootstrap", given, False)
        # moto's CloudFormation can't make alarms: they were put by call.
        case.resources.update(alarms)
        return program._run(name, case, *([surroundings[1]] if name in program._ASK_DNS else []))

    return check


def test_a_stack_that_is_well(after, surroundings):
    all_well(after("parameters"))
    all_well(after("alarms"))
    all_well(after("address"))
    all_well(after("bot", TelegramToken=TOKEN))
    all_well(after("topic"))
    all_well(after("data"))
    assert "aws cloudwatch set-alarm-state --state-value ALARM" in after("alarms")[0].says


@pytest.fixture
def alarm(deployed):
    """An alarm that a test changes, put back afterwards."""
    stack, alarms = deployed
    cloudwatch, put = stack.client("cloudwatch"), []

    def properties(logical, **changed):
        original = numbers(stack.resolver.resource(logical))
        put.append(original)
        cloudwatch.put_metric_alarm(**(original | changed))
        return original["AlarmName"]

    yield properties
    for original in put:
        cloudwatch.put_metric_alarm(**original)


@pytest.mark.parametrize("logical", [name for name, resource in load("polybot.yaml")["Resources"].items()
                                     if resource["Type"] == "AWS::CloudWatch::Alarm"])
def test_every_alarm_that_tells_nobody_is_found(after, alarm, logical):
    name = alarm(logical, AlarmActions=[])
    found = only(after("alarms"), "fault")
    assert found.says.startswith(f"the alarm {name} does not tell arn:aws:sns:")
    if logical not in ("NoMetricAlarm", "DeadLetterAlarm"):
        return
    # The command, run, wires it again: an alarm on a metric, and one on an expression.
    ran = subprocess.run(["bash", "-c", found.mend], capture_output=True, text=True,
                         env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    assert ran.returncode == 0, ran.stderr
    all_well(after("alarms"))


def test_alarms_that_may_not_act_were_deleted_or_are_raised(after, alarm, deployed):
    cloudwatch = deployed[0].client("cloudwatch")
    name = alarm("NoMetricAlarm")
    cloudwatch.disable_alarm_actions(AlarmNames=[name])
    found = only(after("alarms"), "fault")
    assert "may not act" in found.says and found.mend == f"aws cloudwatch enable-alarm-actions --alarm-names {name}"
    cloudwatch.enable_alarm_actions(AlarmNames=[name])
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="nothing for five minutes")
    found = only(after("alarms"), "fault")
    assert "is raised: nothing for five minutes" in found.says
    shown = subprocess.run(["bash", "-c", found.mend], cwd=INFRA.parent, capture_output=True, text=True).stdout
    assert shown.startswith("### `no-metric`")
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="again")
    cloudwatch.delete_alarms(AlarmNames=[name])
    assert f"the alarm {name} was deleted by hand" in only(after("alarms"), "fault").says


def test_alarms_that_look_at_nothing(after, alarm, deployed):
    logs = deployed[0].client("logs")
    name = alarm("OldestMessageAlarm", Dimensions=[{"Name": "QueueName", "Value": "another-queue"}])
    found = only(after("alarms"), "fault")
    assert f"the alarm {name} looks at QueueName another-queue, which is not the stack's" in found.says
    alarm("OldestMessageAlarm")
    kept = logs.describe_metric_filters(logGroupName="/polybot/patient/yolo-worker", filterNamePrefix="RetriedFilter")["metricFilters"][0]
    logs.delete_metric_filter(logGroupName="/polybot/patient/yolo-worker", filterName="RetriedFilter")
    try:
        found = only(after("alarms"), "fault")
        assert "looks at JobsRetried, and no metric filter makes it" in found.says
    finally:
        logs.put_metric_filter(**{key: kept[key] for key in ("logGroupName", "filterName", "filterPattern", "metricTransformations")})
    # Nothing was ever published.
    alarm("NoMetricAlarm", MetricName="BacklogVisible", Dimensions=[])
    found = only(after("alarms"), "warning")
    assert "looks at Polybot BacklogVisible, of which there is nothing yet" in found.says and "metric-streamer" in found.mend


def test_instances_that_are_missing_or_suspended(after, deployed, world):
    stack = deployed[0]
    autoscaling = stack.client("autoscaling")
    workers = stack.physical_ids["WorkerGroup"]
    well = after("instances")
    assert [finding.level for finding in well] == ["fine", "fine"], well
    autoscaling.suspend_processes(AutoScalingGroupName=workers, ScalingProcesses=["Launch"])
    try:
        found = only(after("instances"), "warning")
        assert "does not do Launch" in found.says and "resume-processes" in found.mend
    finally:
        autoscaling.resume_processes(AutoScalingGroupName=workers)
    # One boots, one is there: moto has no instance that does not work.
    world.answers["DescribeAutoScalingGroups"] = planted.Xml(
        '<DescribeAutoScalingGroupsResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><DescribeAutoScalingGroupsResult>'
        "<AutoScalingGroups><member><AutoScalingGroupName>patient-workers</AutoScalingGroupName><DesiredCapacity>2</DesiredCapacity><Instances>"
        "<member><InstanceId>i-1</InstanceId><LifecycleState>InService</LifecycleState></member>"
        "<member><InstanceId>i-2</InstanceId><LifecycleState>Pending:Wait</LifecycleState></member></Instances></member></AutoScalingGroups>"
        "</DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>")
    found = only(after("instances"), "fault")
    assert found.says == "1 of 2 workers work (patient-workers)"
    assert "describe-scaling-activities --auto-scaling-group-name patient-workers" in found.mend


TARGETS = ('<DescribeTargetHealthResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><DescribeTargetHealthResult>'
           "<TargetHealthDescriptions>{}</TargetHealthDescriptions></DescribeTargetHealthResult></DescribeTargetHealthResponse>")


def health(*states):
    return planted.Xml(TARGETS.format("".join(
        f"<member><Target><Id>i-{number}</Id></Target><TargetHealth><State>{state}</State><Reason>Target.FailedHealthChecks</Reason></TargetHealth></member>"
        for number, state in enumerate(states))))


@pytest.mark.parametrize("states, level, said", [
    (("healthy", "healthy"), "fine", "2 polybots are healthy"), (("healthy", "unhealthy"), "warning", "1 of 2 polybots are healthy"),
    (("unhealthy", "unhealthy"), "fault", "no healthy polybot (Target.FailedHealthChecks)"), ((), "fault", "no healthy polybot (there are none)")])
def test_polybots_that_the_load_balancers_do_not_find(after, world, states, level, said):
    world.answers["DescribeTargetHealth"] = health(*states)
    found = after("targets")
    assert len(found) == 2 and all(finding.level == level and said in finding.says for finding in found)
    assert level == "fine" or "aws logs tail /polybot/patient/polybot" in found[0].mend


def test_a_name_that_points_elsewhere(after, world):
    world.names["bot.example.com", "A"] = ["192.0.2.99"]
    found = only(after("address"), "fault")
    assert "bot.example.com points to 192.0.2.99, not to the load balancer" in found.says and "CNAME record" in found.mend
    world.names["bot.example.com", "A"] = []
    assert "has no address" in only(after("address"), "fault").says


def test_a_webhook_that_is_elsewhere_or_fails(after, world):
    path = f"/bot{TOKEN}/getWebhookInfo"
    world.answers[path] = {"ok": True, "result": {"url": "https://other.example/webhook"}}
    found = only(after("bot", TelegramToken=TOKEN), "fault")
    assert "webhook is at https://other.example/webhook, and the stack serves https://bot.example.com/webhook" in found.says
    assert "start-instance-refresh --auto-scaling-group-name patient-polybot" in found.mend
    failing = {"url": "https://bot.example.com/webhook", "pending_update_count": 7, "last_error_message": "Connection refused",
               "last_error_date": int(time.time()) - 30}
    world.answers[path] = {"ok": True, "result": failing}
    found = only(after("bot", TelegramToken=TOKEN), "fault")
    assert "7 wait: Connection refused" in found.says and "docs/OPERATIONS.md" in found.mend
    # Of yesterday.
    world.answers[path] = {"ok": True, "result": failing | {"last_error_date": int(time.time()) - 90_000}}
    all_well(after("bot", TelegramToken=TOKEN))
    world.answers[path] = {"ok": True, "result": {"url": "https://bot.example.com/webhook", "pending_update_count": 500}}
    assert "500 updates" in only(after("bot", TelegramToken=TOKEN), "warning").says


def test_the_token_is_taken_from_the_stack(after, world, deployed):
    """moto's CloudFormation makes no secret: one is put by call."""
    secret = deployed[0].client("secretsmanager").create_secret(
        Name=f"of-{uuid.uuid4()}", SecretString=json.dumps({"TELEGRAM_TOKEN": TOKEN}))["ARN"]
    deployed[1]["TelegramSecret"] = ("AWS::SecretsManager::Secret", secret)
    try:
        all_well(after("bot"))
        world.answers["GetSecretValue"] = Refused("AccessDeniedException", "no")
        assert "may not be read by you" in only(after("bot"), "unknown").says
    finally:
        del deployed[1]["TelegramSecret"]


# --- a photo ---

@pytest.fixture
def sent(deployed, surroundings, tmp_path):
    """A photo is sent; `worker` plays the fleet: it is given the job, and says what becomes of its record."""
    stack = deployed[0]
    path = tmp_path / "photo.JPG"
    path.write_bytes(b"a photo")

    def send(worker, seconds=20, chat=photo.NOBODY):
        case = Case(Aws(emulators.REGION, in_this_process), "patient", "polybot-bootstrap", {}, False)
        case.aws = Wrapped(case.aws, lambda: received(stack, worker))
        return list(photo.send(case, path, chat, seconds, wait=0.05))

    return send


class Wrapped:
    """`aws`, after which the fleet does its part."""

    def __init__(self, aws, fleet):
        self._aws, self._fleet = aws, fleet
        self.region = aws.region

    def __call__(self, service, operation, *arguments):
        answer = self._aws(service, operation, *arguments)
        if operation == "send-message":
            self._fleet()
        return answer


def received(stack, worker):
    sqs, queue = stack.client("sqs"), f"{stack.endpoint}/{emulators.ACCOUNT}/{stack.outputs['JobQueueUrl'].rsplit('/', 1)[-1]}"
    message, = sqs.receive_message(QueueUrl=queue)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    job = json.loads(message["Body"])
    stored = stack.client("s3").get_object(Bucket=stack.outputs["ImageBucketName"], Key=job["image_key"])["Body"].read()
    assert stored == b"a photo" and job["image_key"] == f"images/original/{job['prediction_id']}.jpg"
    record = worker(job)
    if record:
        stack.client("dynamodb").put_item(TableName=stack.outputs["PredictionTableName"],
                                          Item={"prediction_id": {"S": job["prediction_id"]}, **record})


def test_a_photo_end_to_end(sent):
    jobs = []

    def worker(job):
        jobs.append(job)
        return {"status": {"S": "done"}, "delivered_at": {"N": "1"}, "labels": {"L": [{"M": {}}, {"M": {}}]}}

    found = only(sent(worker), "fine")
    assert "(2 objects)" in found.says and jobs[0]["prediction_id"] in found.says
    # The workers read just this, and tell nobody.
    job = CONTRACT["job"]
    assert set(jobs[0]) == set(job) and all(jobs[0][name] == job[name] for name in ("version", "chat_id"))
    assert uuid.UUID(jobs[0]["prediction_id"]).version == 7


@pytest.mark.parametrize("record, said", [
    (None, "nobody detected the photo within 0.3 s"),
    ({"status": {"S": "done"}}, "polybot did not hear of it"), ({"status": {"S": "done"}, "delivered_at": {"NULL": True}}, "polybot did not hear of it"),
    ({"status": {"S": "failed"}, "failure": {"S": "no photo"}}, "failed: no photo")])
def test_a_photo_that_does_not_come_through(sent, record, said):
    found = only(sent(lambda job: record, seconds=0.3), "fault")
    assert said in found.says and "aws logs tail /polybot/patient/$service" in found.mend


# --- names ---

def test_names_are_asked_for_as_the_system_answers(surroundings, world):
    resolver = surroundings[1]
    world.names[("many.example", "A")] = [f"192.0.2.{number}" for number in range(20)]
    assert dns.ask("many.example", "A", resolver) == world.names["many.example", "A"]
    assert dns.ask("Nobody.example.", "NS", resolver) == []
    with pytest.raises(dns.DnsError, match="names no resolver"):
        dns.ask("a.example", "A", None)
    with pytest.raises(dns.DnsError, match="does not answer for a.example"):
        dns.ask("a.example", "A", "127.0.0.1:9", timeout=0.2)


def test_the_manual_is_the_help():
    """README names each subcommand of polybotctl."""
    helped = subprocess.run([INFRA / "polybotctl"], capture_output=True, text=True).stderr
    for command in re.findall(r"^  polybotctl ([\w-]+)", helped, re.M):
        assert command == "doctor" or (INFRA / command).exists(), command
