"""Each alarm is fed its failure, and an ordinary hour. The alarms are the template's; what judges them is alarm_state.py."""

import pytest
from alarm_state import states
from test_by_call import numbers

HOUR = 90


# From long before, for the alarms that look back.
BEFORE = -60


def each(value, begins=BEFORE, ends=HOUR):
    return {minute: [value] for minute in range(begins, ends)}


# An hour in which all is well: some photos a minute, and twice a passing failure.
WELL = {
    "ApproximateAgeOfOldestMessage": each(2), "WorkerDemand": {minute: [0, 0] for minute in range(BEFORE, HOUR)},
    "ApproximateNumberOfMessagesVisible": each(0), "NumberOfMessagesReceived": {},
    "JobsFinished": {minute: [1] * 20 for minute in range(BEFORE, HOUR)}, "JobsRetried": each(0) | {20: [1, 0], 41: [1, 1]},
    "HealthyHostCount": each(2), "HTTPCode_Target_5XX_Count": {12: [1]}, "InServiceInstances": each(1), "BacklogVisible": each(0),
    "GroupDesiredCapacity": each(2), "GroupInServiceInstances": each(2), "DaysToExpiry": {0: [300], 700: [300]},
    "WorkerBootsFailed": {30: [1]}, "PolybotBootsFailed": {31: [1]}, "LaunchesFailed": {32: [1]},
}
# By alarm: what is otherwise from minute 20 on, and the minutes until it has to be known.
FAILURES = {
    "OldestMessageAlarm": ({"ApproximateAgeOfOldestMessage": each(2, BEFORE, 20) | each(400, 20)}, 5),
    # Every try fails: nothing is finished, but each line that is no end counts as 0 of them.
    "FailingJobsAlarm": ({"JobsFinished": WELL["JobsFinished"] | each(0, 20), "JobsRetried": each(0, BEFORE, 20) | each(1, 20)}, 5),
    # One photo, once: polybot takes it in seconds, so only that it was received is seen.
    "DeadLetterAlarm": ({"NumberOfMessagesReceived": {20: [1]}}, 5),
    "UndeliverableAlarm": ({"Undeliverable": {20: [1]}}, 10),
    # polybot looks every few minutes, and says it each time.
    "WebhookAlarm": ({"WebhookFailing": each(1, 20)}, 20),
    "NoMetricAlarm": ({"WorkerDemand": {minute: [0, 0] for minute in range(BEFORE, 20)}}, 12),
    "UnhealthyHostsAlarm": ({"HealthyHostCount": each(2, BEFORE, 20) | each(1, 20)}, 8),
    "ServerErrorsAlarm": ({"HTTPCode_Target_5XX_Count": each(3, 20)}, 15),
    "WorkersMissingAlarm": ({"GroupDesiredCapacity": each(2, BEFORE, 20) | each(4, 20)}, 18),
    "PolybotsMissingAlarm": ({"GroupInServiceInstances": each(2, BEFORE, 20) | each(1, 20)}, 18),
    "AtMaximumAlarm": ({"GroupDesiredCapacity": each(2, BEFORE, 20) | each(10, 20)}, 13),
    "WorkerBootsAlarm": ({"WorkerBootsFailed": {20: [1], 26: [1]}}, 10),
    "PolybotBootsAlarm": ({"PolybotBootsFailed": {20: [1, 1], 30: [1]}}, 15),
    "LaunchesAlarm": ({"LaunchesFailed": {20: [1], 22: [1], 25: [1, 1]}}, 5),
}
# What else an alarm has to notice, or must not.
MORE = [
    ("DeadLetterAlarm", {"ApproximateNumberOfMessagesVisible": each(0, BEFORE, 20) | each(3, 20)}, True),
    # Half of the tries, with others going well.
    ("FailingJobsAlarm", {"JobsRetried": each(0, BEFORE, 20) | {minute: [1] * 20 for minute in range(20, HOUR)}}, True),
    ("ServerErrorsAlarm", {"HTTPCode_ELB_5XX_Count": each(3, 20)}, True),
    # A worker's boot.
    ("OldestMessageAlarm", {"ApproximateAgeOfOldestMessage": each(2, BEFORE, 20) | each(150, 20, 23) | each(2, 23)}, False),
    ("UnhealthyHostsAlarm", {"HealthyHostCount": each(2, BEFORE, 20)}, True),
    # A rise, with a boot of ten minutes.
    ("WorkersMissingAlarm", {"GroupDesiredCapacity": each(2, BEFORE, 20) | each(8, 20),
                             "GroupInServiceInstances": each(2, BEFORE, 30) | each(8, 30)}, False),
    ("AtMaximumAlarm", {"GroupDesiredCapacity": each(2, BEFORE, 20) | each(10, 20, 28) | each(6, 28)}, False),
    # One failure, which Telegram reports for five minutes.
    ("WebhookAlarm", {"WebhookFailing": each(1, 20, 25)}, False),
]


@pytest.fixture(scope="session")
def alarm(fleet, other_fleet):
    def properties(name):
        stack = fleet if fleet.resolver.exists(name) else other_fleet
        return numbers(stack.resolver.resource(name))

    return properties


def test_every_alarm_is_tried(fleet):
    alarms = {name for name, resource in fleet.template["Resources"].items() if resource["Type"] == "AWS::CloudWatch::Alarm"}
    assert alarms == set(FAILURES) | {"CertificateAlarm"}


def test_a_certificate_that_is_not_renewed_is_told_three_weeks_before_its_end(alarm):
    day = 24 * 60
    data = {"DaysToExpiry": {number * 720: [24 - number // 2] for number in range(12)}}
    found = states(alarm("CertificateAlarm"), data, 6 * day)
    # 20 days are left on the fifth day.
    assert "ALARM" not in found[:4 * day] and found[5 * day] == "ALARM"


# Metrics of other services, and those made of logs, are there some minutes after what they tell of.
@pytest.mark.parametrize("name, late", [(name, late) for name in FAILURES for late in (0, 3)])
def test_an_alarm_is_raised_by_its_failure_in_time(alarm, name, late):
    failure, minutes = FAILURES[name]
    found = states(alarm(name), WELL | failure, HOUR, late)
    assert "ALARM" not in found[:19], found
    assert "ALARM" in found[19:20 + minutes + late], found


@pytest.mark.parametrize("name", FAILURES)
def test_an_ordinary_hour_raises_none(alarm, name):
    assert "ALARM" not in states(alarm(name), WELL, HOUR)


@pytest.mark.parametrize("number", range(len(MORE)))
def test_what_else_it_notices_and_what_not(alarm, number):
    name, otherwise, noticed = MORE[number]
    assert ("ALARM" in states(alarm(name), WELL | otherwise, HOUR)) == noticed


def test_an_alarm_of_one_minute_in_one_would_miss_what_comes_late(alarm):
    """Why the dead letters' looks at ten: the judge here does as CloudWatch does."""
    found = states(alarm("DeadLetterAlarm") | {"EvaluationPeriods": 1, "DatapointsToAlarm": 1}, WELL | FAILURES["DeadLetterAlarm"][0],
                   HOUR, late=3)
    assert "ALARM" not in found
