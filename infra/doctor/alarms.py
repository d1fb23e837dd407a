"""Every alarm's wiring: what it looks at is made, it may act, and somebody hears it."""

from .aws import AwsError
from .finding import fault, fine, warning

# Metrics that are there from the first minutes on. AWS makes the others when there is something to tell of.
ALWAYS = {"WorkerDemand", "InServiceInstances", "BacklogVisible", "ApproximateAgeOfOldestMessage", "GroupDesiredCapacity",
          "GroupInServiceInstances", "HealthyHostCount"}


def topic(case):
    """Somebody who said yes is subscribed to the topic."""
    arn = case.value("AlarmTopicArn")
    if not arn:
        yield warning("alarms tell nobody: they only show (AlarmTopicArn is empty)",
                      "topic=$(aws sns create-topic --name polybot --query TopicArn --output text)\n"
                      "aws sns subscribe --topic-arn $topic --protocol email --notification-endpoint you@example.com   # then click in the mail\n"
                      + case.update("AlarmTopicArn=$topic"))
        return
    subscribe = f"aws sns subscribe --topic-arn {arn} --protocol email --notification-endpoint you@example.com   # then click in the mail"
    try:
        found = case.aws("sns", "list-subscriptions-by-topic", "--topic-arn", arn)["Subscriptions"]
    except AwsError as error:
        if error.code not in ("NotFound", "NotFoundException", "InvalidParameter", "InvalidParameterException"):
            raise
        yield fault(f"there is no topic {arn}: no alarm is heard", "aws sns create-topic --name polybot   # then deploy with AlarmTopicArn=…")
        return
    waiting = [entry["Endpoint"] for entry in found if not entry["SubscriptionArn"].startswith("arn:")]
    if len(found) == len(waiting):
        who = f": {', '.join(waiting)} did not confirm" if waiting else ""
        yield fault(f"nobody is subscribed to {arn}{who}", subscribe)
    else:
        yield fine(f"{len(found) - len(waiting)} subscribed to {arn}")
        if waiting:
            yield warning(f"{', '.join(waiting)} did not confirm the subscription to {arn}", subscribe)


def wiring(case):
    """Each alarm of the stack, as CloudWatch has it."""
    names = [physical for kind, physical in case.resources.values() if kind == "AWS::CloudWatch::Alarm"]
    if not names:
        yield fault(f"the stack {case.stack} has no alarm", case.update("ImageTag=" + (case.value("ImageTag") or "…")))
        return
    alarms = {alarm["AlarmName"]: alarm for alarm in case.aws("cloudwatch", "describe-alarms", "--alarm-names", *names)["MetricAlarms"]}
    filters = _metrics_of_logs(case)
    # A change of a parameter has CloudFormation put the alarm anew; one that was deleted by hand it does not see.
    anew = (f"aws cloudformation detect-stack-drift --stack-name {case.stack}   # shows what else was changed by hand\n"
            + case.update("OldestMessageSeconds=…   # another value; then the old one"))
    wired, topic_arn = 0, case.value("AlarmTopicArn")
    for name in sorted(names):
        alarm = alarms.get(name)
        if alarm is None:
            yield fault(f"the alarm {name} was deleted by hand", anew)
            continue
        faults = list(_of(case, alarm, topic_arn, filters))
        yield from faults
        wired += not [finding for finding in faults if finding.level == "fault"]
    yield fine(f"{wired} of {len(names)} alarms are wired" + (
        f"; to hear one: aws cloudwatch set-alarm-state --state-value ALARM --state-reason test --alarm-name {case.stack}-oldest-message"
        if topic_arn else ""))


def _of(case, alarm, topic_arn, filters):
    name = alarm["AlarmName"]
    if not alarm["ActionsEnabled"]:
        yield fault(f"the alarm {name} may not act", f"aws cloudwatch enable-alarm-actions --alarm-names {name}")
    if topic_arn and topic_arn not in alarm["AlarmActions"]:
        # Put as it is, with the topic.
        put = (f"aws cloudwatch put-metric-alarm --cli-input-json \"$(aws cloudwatch describe-alarms --alarm-names {name} --query 'MetricAlarms[0]' "
               "--output json | jq '{AlarmName, AlarmDescription, MetricName, Namespace, Statistic, Dimensions, Period, EvaluationPeriods, "
               "DatapointsToAlarm, Threshold, ComparisonOperator, TreatMissingData, Metrics} | with_entries(select(.value != null and .value != [])) "
               f"+ {{AlarmActions: [\"{topic_arn}\"], OKActions: [\"{topic_arn}\"]}}')\"")
        yield fault(f"the alarm {name} does not tell {topic_arn}", put)
    for metric in _metrics(alarm):
        yield from _metric(case, name, metric, filters)
    if alarm["StateValue"] == "ALARM":
        kind = name.removeprefix(f"{case.stack}-")
        yield fault(f"the alarm {name} is raised: {alarm.get('StateReason', '')[:200]}",
                    f"grep -A 30 '^### `{kind}`' docs/OPERATIONS.md   # what to do at it")


def _metrics(alarm):
    if "MetricName" in alarm:
        return [{"Namespace": alarm["Namespace"], "MetricName": alarm["MetricName"], "Dimensions": alarm.get("Dimensions", [])}]
    return [metric["MetricStat"]["Metric"] for metric in alarm.get("Metrics", []) if "MetricStat" in metric]


def _metric(case, alarm, metric, filters):
    name, space = metric["MetricName"], metric["Namespace"]
    if space == f"Polybot/{case.stack}":
        if name not in filters:
            yield fault(f"the alarm {alarm} looks at {name}, and no metric filter makes it of the logs",
                        f"aws logs describe-metric-filters --metric-namespace {space} --metric-name {name}\n" + case.update("LogDays=…   # another value; then the old one"))
        return
    own = {physical for _, physical in case.resources.values()}
    for dimension in metric.get("Dimensions", []):
        group = dimension["Name"] == "AutoScalingGroupName"
        queue = dimension["Name"] == "QueueName"
        if group and dimension["Value"] not in own or queue and not any(physical.endswith(f"/{dimension['Value']}") for physical in own):
            yield fault(f"the alarm {alarm} looks at {dimension['Name']} {dimension['Value']}, which is not the stack's",
                        f"aws cloudwatch delete-alarms --alarm-names {alarm}\n" + case.update("OldestMessageSeconds=…   # another value; then the old one"))
            return
    if name in ALWAYS:
        dimensions = [f"Name={dimension['Name']},Value={dimension['Value']}" for dimension in metric.get("Dimensions", [])]
        found = case.aws("cloudwatch", "list-metrics", "--namespace", space, "--metric-name", name, "--dimensions", *dimensions)["Metrics"]
        if not found:
            mend = {"Polybot": f"aws logs tail /polybot/{case.stack}/metric-streamer --since 15m   # why it publishes nothing",
                    "AWS/AutoScaling": "aws autoscaling enable-metrics-collection --granularity 1Minute --metrics GroupDesiredCapacity "
                                       "GroupInServiceInstances --auto-scaling-group-name "
                                       + next((d["Value"] for d in metric.get("Dimensions", []) if d["Name"] == "AutoScalingGroupName"), "…")}
            yield warning(f"the alarm {alarm} looks at {space} {name}, of which there is nothing yet",
                          mend.get(space, "# a new stack: wait for a quarter of an hour, then look again"))


def _metrics_of_logs(case):
    found = case.aws("logs", "describe-metric-filters", "--log-group-name", f"/polybot/{case.stack}/polybot")["metricFilters"]
    found += case.aws("logs", "describe-metric-filters", "--log-group-name", f"/polybot/{case.stack}/yolo-worker")["metricFilters"]
    if "LaunchLogs" in case.resources:
        found += case.aws("logs", "describe-metric-filters", "--log-group-name", f"/aws/events/polybot/{case.stack}/launches")["metricFilters"]
    return {made["metricName"] for entry in found for made in entry["metricTransformations"]}
