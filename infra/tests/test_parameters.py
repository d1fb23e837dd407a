"""Parameters take what they should and refuse what is a slip."""

import re

import pytest
from template import Resolver, load

TAKEN = {
    "TelegramToken": ["123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"],
    "Repositories": ["polybot", "team/polybot"],
    "ImageTag": ["v1", "4f0c5d4c1b6b0f6f3a52b8e6f0e0a6f9f8b0c1d2"],
    "ModelObject": ["my-bucket/models/yolo.onnx"],
    "DomainName": ["bot.example.com"],
    "HostedZoneId": ["Z0123456789ABCDEFGHIJ"],
    "CertificateId": ["01234567-89ab-cdef-0123-456789abcdef"],
    "VpcCidr": ["10.0.0.0/16", "192.168.4.0/22"],
    "PolybotInstanceType": ["t4g.small", "c7gn.medium"],
    "BudgetEmail": ["someone@example.com"],
    "WorkerImageId": ["ami-0123456789abcdef0"],
    "AlarmTopicArn": ["arn:aws:sns:us-east-1:123456789012:on-call"],
}
REFUSED = {
    "TelegramToken": ["", "my token", "123456"],
    "Repositories": ["Polybot"],
    "ImageTag": ["", "a b", "-v1"],
    "ModelObject": ["s3://my-bucket/yolo.onnx", "my-bucket/yolo.pt", "b/$(reboot).onnx"],
    "DomainName": ["https://bot.example.com", "bot", "bot.example.com/"],
    "HostedZoneId": ["example.com", "/hostedzone/Z0123456789"],
    "CertificateId": ["arn:aws:acm:us-east-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"],
    "VpcCidr": ["10.0.0.0/24", "10.0.0.0"],
    "PolybotInstanceType": ["small"],
    "BudgetEmail": ["someone", "a b@example.com"],
    "WorkerImageId": ["ami-", "al2023"],
    "AlarmTopicArn": ["on-call"],
}
PARAMETERS = load("polybot.yaml")["Parameters"]


@pytest.mark.parametrize("name", [name for name, declared in PARAMETERS.items() if "AllowedPattern" in declared])
def test_patterns(name):
    pattern = PARAMETERS[name]["AllowedPattern"]
    for value in TAKEN[name] + ([PARAMETERS[name]["Default"]] if "Default" in PARAMETERS[name] else []):
        assert re.fullmatch(pattern, value), value
    for value in REFUSED[name]:
        assert not re.fullmatch(pattern, value), value


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_parameter_says_what_it_is_and_is_bounded(name):
    declared = PARAMETERS[name]
    assert len(declared["Description"]) > 20
    if declared["Type"] == "String":
        assert {"AllowedPattern", "AllowedValues"} & set(declared)
    if declared["Type"] == "Number":
        assert {"MinValue", "AllowedValues"} & set(declared)


def test_only_what_nobody_can_guess_has_to_be_given():
    """And one of HostedZoneId and CertificateId, by a rule."""
    assert {name for name, declared in PARAMETERS.items() if "Default" not in declared} == {
        "TelegramToken", "ImageTag", "DomainName", "MachineImageId"}


def test_a_fleet_without_room_to_replace_a_worker_is_refused():
    template = load("polybot.yaml")
    rule, = template["Rules"]["RoomToReplaceWorkers"]["Assertions"]
    for least, most, taken in (("1", "10", True), ("0", "1", True), ("3", "3", False)):
        resolver = Resolver(template, {"WorkerMin": least, "WorkerMax": most}, {}, {}, {})
        template["Conditions"]["Room"] = rule["Assert"]
        assert resolver.condition("Room") == taken


def test_what_reaches_a_shell_is_free_of_its_signs():
    """User data holds parameters' values; bash reads them."""
    for name in ("Repositories", "ImageTag", "ModelObject", "DomainName", "CertificateId"):
        for sign in "$`\"'; &|<>()\n":
            for value in (f"a{sign}b", f"bucket/{sign}.onnx", f"bot.example{sign}.com"):
                assert not re.fullmatch(PARAMETERS[name]["AllowedPattern"], value), (name, value)


def holds(template, rule, parameters):
    """Whether the first assertion of a rule of the template lets these parameters pass."""
    template["Conditions"]["Rule"] = template["Rules"][rule]["Assertions"][0]["Assert"]
    return Resolver(template, parameters, {}, {}, {}).condition("Rule")


def test_githubs_numbers_go_together():
    for owner, repository, taken in (("", "", True), ("1", "2", True), ("1", "", False), ("", "2", False)):
        assert holds(load("bootstrap.yaml"), "BothNumbersOrNone",
                     {"GitHubOwnerId": owner, "GitHubRepositoryId": repository}) == taken


def test_the_defaults_fit_a_new_accounts_quotas():
    """5 vCPUs on demand and 5 of spot, at rest and during an update."""
    def default(name):
        return PARAMETERS[name]["Default"]

    # Each instance type of the defaults has two vCPUs: t3a.small, and every `large`.
    assert default("PolybotInstanceType") == "t3a.small"
    assert all(name.endswith(".large") for name in default("WorkerInstanceTypes").split(","))
    assert default("PolybotUpdate") == "terminate-first" and default("MetricStreamer") == "beside-polybot"
    assert 2 * (default("PolybotCount") + default("WorkerOnDemandBase")) <= 5
    # The workers' update launches one beside the old one.
    assert default("WorkerOnDemandPercent") == 0 and 2 * (default("WorkerMin") + 1) <= 5
