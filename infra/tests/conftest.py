"""The emulators and stacks that tests share. Each stack is deployed once; tests only read."""

import base64
import datetime
import os

import emulator
import emulators
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

# So that nothing of this machine's own AWS settings is used, even by mistake.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]

TOKEN = "123456:" + "a" * 35
MACHINE_IMAGE = "ami-0000000000000bbbb"


@pytest.fixture(scope="session")
def ministack():
    with emulator.ministack() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto():
    with emulator.moto() as endpoint:
        yield endpoint


_CHOSEN_OTHERWISE = {
    "ImageTag": "v2", "DomainName": "bot.example.org", "CertificateSelfSigned": "true", "PrivateSubnets": "true",
    "FlowLogs": "true", "Architecture": "arm64", "PolybotInstanceType": "t4g.small", "MetricStreamer": "own-instance",
    "WorkerInstanceTypes": "c7g.large,c6g.large,c8g.large", "WorkerMin": "0", "WorkerScaleInProtection": "true",
    "WorkerPrecision": "bf16", "WorkerRectangular": "true",
    "WorkerOnDemandBase": "1", "WorkerOnDemandPercent": "25", "PolybotUpdate": "launch-first",
    "RollbackAlarms": "false", "Shell": "true", "BacklogTarget": "4", "ScalingPolicy": "both", "DemandTarget": "80", "PromiseSeconds": "8",
    "IdleBeforeZero": "600", "StreamerInterval": "5",
    "BudgetDollars": "200", "BudgetEmail": "someone@example.com", "WorkerImageId": "ami-0123456789abcdef0", "ModelObject": "some-bucket/models/yolo.onnx",
    "AlarmTopicArn": f"arn:aws:sns:{emulators.REGION}:{emulators.ACCOUNT}:on-call",
}


@pytest.fixture(scope="session")
def fleet(ministack):
    """The template with its defaults, under a name in a hosted zone."""
    route53 = emulators.client(ministack, "route53")
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="tests")["HostedZone"]["Id"].split("/")[-1]
    return emulators.deploy(ministack, "polybot.yaml", "fleet", {
        "TelegramToken": TOKEN, "MachineImageId": MACHINE_IMAGE, "ImageTag": "v1", "DomainName": "bot.example.com", "HostedZoneId": zone},
        emulators.MINISTACK_LACKS)


@pytest.fixture(scope="session")
def other_fleet(ministack):
    """Every parameter that chooses something, chosen the other way."""
    return emulators.deploy(ministack, "polybot.yaml", "other", {
        "TelegramToken": TOKEN, "MachineImageId": MACHINE_IMAGE, "CertificateId": "01234567-89ab-cdef-0123-456789abcdef", **_CHOSEN_OTHERWISE},
        emulators.MINISTACK_LACKS)


def import_certificate(endpoint, days=2):
    """A self-signed certificate in an emulator's ACM, which moto's load balancers insist on; its id."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bot.example.com")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=days)).sign(key, hashes.SHA256())
    )
    imported = emulators.client(endpoint, "acm").import_certificate(
        Certificate=certificate.public_bytes(serialization.Encoding.PEM),
        PrivateKey=key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                     serialization.NoEncryption()))
    return imported["CertificateArn"].split("/")[-1]


@pytest.fixture(scope="session")
def imported_certificate(moto):
    return import_certificate(moto)


@pytest.fixture(scope="session")
def moto_fleet(moto, imported_certificate):
    """As `fleet`, in moto."""
    return emulators.deploy(moto, "polybot.yaml", "fleet", {
        "TelegramToken": TOKEN, "MachineImageId": MACHINE_IMAGE, "ImageTag": "v1", "DomainName": "bot.example.com",
        "CertificateId": imported_certificate,
        # moto takes a default for one text, not for a list.
        "WorkerInstanceTypes": "c6i.large,c6id.large,c6in.large,m6i.large,m6id.large,r6i.large"},
        emulators.MOTO_LACKS)


@pytest.fixture(scope="session")
def moto_other_fleet(moto, imported_certificate):
    """As `other_fleet`, in moto."""
    return emulators.deploy(moto, "polybot.yaml", "other", {
        "TelegramToken": TOKEN, "MachineImageId": MACHINE_IMAGE, "CertificateId": imported_certificate, **_CHOSEN_OTHERWISE},
        emulators.MOTO_LACKS)


@pytest.fixture(scope="session")
def mini(ministack):
    """The small template, with its defaults."""
    return emulators.deploy(ministack, "mini.yaml", "mini", {
        "TelegramToken": TOKEN, "MachineImageId": MACHINE_IMAGE, "ImageTag": "v1"}, emulators.MINISTACK_LACKS)


@pytest.fixture(scope="session")
def moto_mini(moto):
    """As `mini`, in moto."""
    return emulators.deploy(moto, "mini.yaml", "mini", {
        "TelegramToken": TOKEN, "MachineImageId": MACHINE_IMAGE, "ImageTag": "v1"}, emulators.MOTO_LACKS)


@pytest.fixture(scope="session")
def bootstrap(moto):
    """What comes before, with the pipeline's role."""
    return emulators.deploy(moto, "bootstrap.yaml", "polybot-bootstrap", {"GitHubRepository": "someone/polybot"},
                            emulators.MOTO_LACKS)


@pytest.fixture(scope="session")
def bootstrap_with_numbers(moto):
    """The same for a repository whose tokens carry numbers, under other names: an account has each name once."""
    return emulators.deploy(moto, "bootstrap.yaml", "numbered-bootstrap", {
        "Repositories": "numbered", "GitHubRepository": "someone/polybot", "GitHubOwnerId": "123456",
        "GitHubRepositoryId": "456789", "PipelineSessionSeconds": "14400"}, emulators.MOTO_LACKS)


@pytest.fixture(scope="session")
def user_data():
    """The script that a launch template's instances begin with."""
    return lambda stack, name: base64.b64decode(emulators.launch_template(stack, name)["UserData"]).decode()
