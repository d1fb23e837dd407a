"""The emulators and stacks that tests share. Each stack is deployed once; tests only read."""

import os

import emulators
import pytest

# So that nothing of this machine's own AWS settings is used, even by mistake.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]

TOKEN = "123456:" + "a" * 35


@pytest.fixture(scope="session")
def ministack():
    with emulators.ministack() as endpoint:
        # As AWS publishes them in every account.
        ssm = emulators.client(endpoint, "ssm")
        for architecture, image in (("arm64", "ami-0000000000000aaaa"), ("x86_64", "ami-0000000000000bbbb")):
            ssm.put_parameter(Name=f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}",
                              Value=image, Type="String")
        yield endpoint


@pytest.fixture(scope="session")
def moto():
    with emulators.moto() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def fleet(ministack):
    """The template with its defaults, under a name in a hosted zone."""
    route53 = emulators.client(ministack, "route53")
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="tests")["HostedZone"]["Id"].split("/")[-1]
    return emulators.deploy(ministack, "polybot.yaml", "fleet", {
        "TelegramToken": TOKEN, "ImageTag": "v1", "DomainName": "bot.example.com", "HostedZoneId": zone})


@pytest.fixture(scope="session")
def other_fleet(ministack):
    """Every parameter that chooses something, chosen the other way."""
    return emulators.deploy(ministack, "polybot.yaml", "other", {
        "TelegramToken": TOKEN, "ImageTag": "v2", "DomainName": "bot.example.org",
        "CertificateId": "01234567-89ab-cdef-0123-456789abcdef", "CertificateSelfSigned": "true",
        "PrivateSubnets": "true", "FlowLogs": "true", "Architecture": "x86_64", "PolybotInstanceType": "t3.small",
        "MetricStreamer": "own-instance", "WorkerInstanceTypes": "c7i.large,c6i.large,c7a.large", "WorkerMin": "0",
        "WorkerScaleInProtection": "true", "BacklogTarget": "4", "ModelObject": "some-bucket/models/yolo.onnx",
        "AlarmTopicArn": f"arn:aws:sns:{emulators.REGION}:{emulators.ACCOUNT}:on-call"})


@pytest.fixture(scope="session")
def bootstrap(ministack):
    """What comes before, with the pipeline's role."""
    return emulators.deploy(ministack, "bootstrap.yaml", "polybot", {"GitHubRepository": "someone/polybot"})
