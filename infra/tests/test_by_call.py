"""What neither emulator's CloudFormation keeps: put to moto's APIs as CloudFormation would, and read back.

So the APIs' own models accept the template's properties, and what they name are the things that the stack made.
"""

import json

import pytest
from emulators import client


@pytest.fixture(scope="session")
def cloud(moto):
    """A client of moto."""
    return lambda service: client(moto, service)


def named(dimensions):
    return {dimension["Name"]: dimension["Value"] for dimension in dimensions}


@pytest.fixture(scope="session")
def policies(cloud, moto_fleet, moto_other_fleet):
    """By stack and name, the scaling policies of the workers' group."""
    autoscaling = cloud("autoscaling")
    found = {}
    for stack in (moto_fleet, moto_other_fleet):
        for name in ("DemandPolicy", "BacklogPolicy"):
            if stack.resolver.exists(name):
                properties = known_to_botocore(numbers(stack.resolver.resource(name)))
                autoscaling.put_scaling_policy(PolicyName=name, **properties)
                found[stack.name, name], = autoscaling.describe_policies(
                    AutoScalingGroupName=stack.outputs["WorkerGroupName"], PolicyNames=[name])["ScalingPolicies"]
    return found


def known_to_botocore(policy):
    """Of a metric of target tracking the pinned botocore knows no Period; CloudFormation's schema does (cfn-lint), and a test below looks at it."""
    policy = json.loads(json.dumps(policy))
    for query in policy["TargetTrackingConfiguration"]["CustomizedMetricSpecification"]["Metrics"]:
        del query["MetricStat"]["Period"]
    return policy


def numbers(value):
    """CloudFormation takes numbers as text; the API does not. What a number is called says so here."""
    if isinstance(value, dict):
        return {key: number(inner) if key in NUMBERS else numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [numbers(inner) for inner in value]
    return value


NUMBERS = {"EstimatedInstanceWarmup", "Period", "TargetValue", "Threshold", "ExpirationInDays", "ScalingAdjustment"}


def number(text):
    value = float(text)
    return int(value) if value.is_integer() else value


def followed(policy):
    query, = policy["TargetTrackingConfiguration"]["CustomizedMetricSpecification"]["Metrics"]
    return query["MetricStat"]


def test_scaling_follows_what_is_needed(policies, moto_fleet):
    policy = policies["fleet", "DemandPolicy"]
    assert policy["PolicyType"] == "TargetTrackingScaling"
    stat = followed(policy)
    # metric-streamer/src/streamer.rs
    assert (stat["Metric"]["Namespace"], stat["Metric"]["MetricName"]) == ("Polybot", "WorkerDemand")
    queue = moto_fleet.outputs["JobQueueUrl"].rsplit("/", 1)[-1]
    assert named(stat["Metric"]["Dimensions"]) == {"QueueName": queue, "AutoScalingGroupName": "fleet-workers"}
    # Two metric-streamers publish the same value twice.
    assert stat["Stat"] == "Average"
    assert policy["TargetTrackingConfiguration"]["TargetValue"] == 100
    assert ("fleet", "BacklogPolicy") not in policies


def test_the_backlog_can_be_followed_too(policies):
    assert followed(policies["other", "BacklogPolicy"])["Metric"]["MetricName"] == "BacklogPerInstance"
    targets = {name: policy["TargetTrackingConfiguration"]["TargetValue"] for (stack, name), policy in policies.items() if stack == "other"}
    assert targets == {"BacklogPolicy": 4, "DemandPolicy": 80}


@pytest.mark.parametrize("name", ["DemandPolicy", "BacklogPolicy"])
def test_the_alarms_of_scaling_have_the_least_period_that_target_tracking_takes(other_fleet, name):
    query, = other_fleet.resolver.resource(name)["TargetTrackingConfiguration"]["CustomizedMetricSpecification"]["Metrics"]
    assert number(query["MetricStat"]["Period"]) == 10


@pytest.fixture(scope="session")
def alarms(cloud, fleet, other_fleet):
    """By stack and logical name, all alarms, with what ministack made in their dimensions."""
    cloudwatch = cloud("cloudwatch")
    found = {}
    for stack in (fleet, other_fleet):
        for name, resource in stack.template["Resources"].items():
            if resource["Type"] == "AWS::CloudWatch::Alarm" and stack.resolver.exists(name):
                properties = numbers(stack.resolver.resource(name))
                properties.setdefault("AlarmName", f"{stack.name}-{name}")
                cloudwatch.put_metric_alarm(**properties)
                found[stack.name, name], = cloudwatch.describe_alarms(
                    AlarmNames=[properties["AlarmName"]])["MetricAlarms"]
    return found


def test_each_thing_to_wake_up_for_has_an_alarm(alarms):
    names = {alarm["AlarmName"] for (stack, _), alarm in alarms.items() if stack == "fleet"}
    assert names == {"fleet-oldest-message", "fleet-dead-letters", "fleet-undeliverable", "fleet-no-metric", "fleet-unhealthy-hosts",
                     "fleet-5xx", "fleet-failing-jobs", "fleet-workers-missing", "fleet-polybots-missing", "fleet-worker-boots",
                     "fleet-polybot-boots", "fleet-at-maximum", "fleet-launches", "fleet-certificate",
                     "fleet-webhook"}


def test_alarms_are_sent_where_asked_for(alarms):
    for (stack, name), alarm in alarms.items():
        expected = [] if stack == "fleet" else ["arn:aws:sns:us-east-1:123456789012:on-call"]
        assert alarm["AlarmActions"] == alarm["OKActions"] == expected, name


def test_five_minutes_without_metric_raise_an_alarm(alarms, fleet):
    alarm = alarms["fleet", "NoMetricAlarm"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == (
        "Polybot", "WorkerDemand", "SampleCount")
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 300 and alarm["TreatMissingData"] == "breaching"
    assert named(alarm["Dimensions"]) == {"QueueName": fleet.outputs["JobQueueUrl"].rsplit("/", 1)[-1],
                                          "AutoScalingGroupName": "fleet-workers"}


def test_the_oldest_message_and_dead_letters_are_watched(alarms, fleet):
    oldest, dead = alarms["fleet", "OldestMessageAlarm"], alarms["fleet", "DeadLetterAlarm"]
    assert (oldest["MetricName"], oldest["Threshold"]) == ("ApproximateAgeOfOldestMessage", 300)
    assert named(oldest["Dimensions"])["QueueName"] == fleet.outputs["JobQueueUrl"].rsplit("/", 1)[-1]
    stats = [metric["MetricStat"]["Metric"] for metric in dead["Metrics"] if "MetricStat" in metric]
    assert {metric["MetricName"] for metric in stats} == {"ApproximateNumberOfMessagesVisible", "NumberOfMessagesReceived"}
    dead_letters = fleet.outputs["DeadLetterQueueUrl"].rsplit("/", 1)[-1]
    assert all(named(metric["Dimensions"]) == {"QueueName": dead_letters} for metric in stats)


def test_fewer_healthy_instances_than_there_should_be_raise_an_alarm(alarms):
    alarm = alarms["fleet", "UnhealthyHostsAlarm"]
    assert (alarm["MetricName"], alarm["Threshold"], alarm["ComparisonOperator"]) == (
        "HealthyHostCount", 2, "LessThanThreshold")
    assert set(named(alarm["Dimensions"])) == {"LoadBalancer", "TargetGroup"}


def test_errors_of_polybot_and_of_its_load_balancer_count(alarms):
    metrics = alarms["fleet", "ServerErrorsAlarm"]["Metrics"]
    names = {metric["MetricStat"]["Metric"]["MetricName"] for metric in metrics if "MetricStat" in metric}
    assert names == {"HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"}


def test_records_expire_and_can_be_restored(cloud, moto_fleet):
    dynamodb, name = cloud("dynamodb"), moto_fleet.outputs["PredictionTableName"]
    table = moto_fleet.resolver.resource("PredictionTable")
    dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=table["TimeToLiveSpecification"])
    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    dynamodb.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification=table["PointInTimeRecoverySpecification"])
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


def test_the_bucket_is_private_and_forgets_photos(cloud, moto_fleet):
    s3, name = cloud("s3"), moto_fleet.outputs["ImageBucketName"]
    bucket = moto_fleet.resolver.resource("ImageBucket")
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=bucket["PublicAccessBlockConfiguration"])
    assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    # The API's names of the same things.
    rules = [{"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")},
              **({"Expiration": {"Days": int(rule["ExpirationInDays"])}} if "ExpirationInDays" in rule else {}),
              **{key: rule[key] for key in ("AbortIncompleteMultipartUpload",) if key in rule}}
             for rule in bucket["LifecycleConfiguration"]["Rules"]]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    kept = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]}
    assert kept["images"]["Filter"]["Prefix"] == "images/" and kept["images"]["Expiration"]["Days"] == 30
    assert kept["unfinished-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


@pytest.fixture(scope="session")
def filters(cloud, moto_fleet):
    """By metric name, the metric filters of the workers' log."""
    logs = cloud("logs")
    for name, resource in moto_fleet.template["Resources"].items():
        if resource["Type"] == "AWS::Logs::MetricFilter":
            properties = moto_fleet.resolver.resource(name)
            logs.put_metric_filter(
                logGroupName=properties["LogGroupName"], filterName=name, filterPattern=properties["FilterPattern"],
                metricTransformations=[{key[0].lower() + key[1:]: value for key, value in transformation.items()}
                                       for transformation in properties["MetricTransformations"]])
    found = logs.describe_metric_filters(logGroupName="/polybot/fleet/yolo-worker")["metricFilters"]
    return {kept["metricTransformations"][0]["metricName"]: kept for kept in found}


def test_the_dashboards_photo_metrics_are_made_of_the_workers_log(filters):
    assert set(filters) == {"PhotoMilliseconds", "FetchMilliseconds", "WaitMilliseconds", "DetectMilliseconds",
                            "StoreMilliseconds", "CallBackMilliseconds", "JobsFinished", "JobsRetried", "WorkerBootsFailed",
                            "BootMilliseconds", "InstallMilliseconds", "PullMilliseconds", "LoadMilliseconds", "ReadyMilliseconds"}
    for kept in filters.values():
        assert kept["metricTransformations"][0]["metricNamespace"] == "Polybot/fleet"


def test_images_are_scanned(cloud, bootstrap):
    ecr = cloud("ecr")
    for name, resource in bootstrap.template["Resources"].items():
        if resource["Type"] == "AWS::ECR::Repository":
            properties = bootstrap.resolver.resource(name)
            scanning = {"scanOnPush": properties["ImageScanningConfiguration"]["ScanOnPush"]}
            ecr.put_image_scanning_configuration(repositoryName=properties["RepositoryName"],
                                                 imageScanningConfiguration=scanning)
    repositories = [repository for repository in ecr.describe_repositories()["repositories"]
                    if repository["repositoryName"].startswith("polybot/")]
    assert len(repositories) == 3
    assert all(repository["imageScanningConfiguration"]["scanOnPush"] for repository in repositories)


def test_what_runs_is_never_deleted(bootstrap, fleet, other_fleet):
    """By the rules that AWS documents: neither emulator knows this kind of rule."""
    longest = {int(resource["Properties"]["MaxInstanceLifetime"]) for resource in fleet.template["Resources"].values()
               if resource["Type"] == "AWS::AutoScaling::AutoScalingGroup"}
    assert longest == {30 * 86400}
    for name, resource in bootstrap.template["Resources"].items():
        if resource["Type"] == "AWS::ECR::Repository":
            policy = bootstrap.resolver.resource(name)["LifecyclePolicy"]["LifecyclePolicyText"]
            archive, delete = json.loads(policy)["rules"]
            assert archive["rulePriority"] < delete["rulePriority"]
            assert archive["selection"] == {"tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 180}
            assert archive["action"] == {"type": "transition", "targetStorageClass": "archive"}
            assert delete["selection"] == {"tagStatus": "any", "storageClass": "archive", "countType": "sinceImageTransitioned",
                                           "countUnit": "days", "countNumber": 365}
            assert delete["action"] == {"type": "expire"}
            # Several times over, so that a month's delay costs nothing.
            assert archive["selection"]["countNumber"] * 86400 >= 6 * max(longest)


def test_somebody_is_told_when_a_month_gets_too_dear(cloud, moto_other_fleet):
    assert not moto_other_fleet.physical_ids.get("Budget")
    budget = moto_other_fleet.resolver.resource("Budget")
    amount = budget["Budget"]["BudgetLimit"]
    budgets = cloud("budgets")
    budgets.create_budget(AccountId="123456789012", Budget=budget["Budget"] | {"BudgetLimit": amount | {"Amount": str(amount["Amount"])}},
                          NotificationsWithSubscribers=budget["NotificationsWithSubscribers"])
    kept = budgets.describe_budget(AccountId="123456789012", BudgetName="other")["Budget"]
    assert (kept["BudgetLimit"], kept["TimeUnit"]) == ({"Amount": "200", "Unit": "USD"}, "MONTHLY")
    told = budgets.describe_notifications_for_budget(AccountId="123456789012", BudgetName="other")["Notifications"]
    assert {notification["NotificationType"] for notification in told} == {"ACTUAL", "FORECASTED"}


def test_launches_that_fail_are_logged_and_counted(cloud, moto_fleet):
    events, name = cloud("events"), moto_fleet.physical_ids["LaunchFailures"].rsplit("/", 1)[-1]
    rule = events.describe_rule(Name=name)
    target, = events.list_targets_by_rule(Rule=name)["Targets"]
    log = moto_fleet.physical_ids["LaunchLogs"]
    assert rule["Name"] == "fleet-launches" and target["Arn"].endswith(f":log-group:{log}")
    # An event as Auto Scaling sends it matches; one of another stack, or a launch that went well, does not.
    sample = {"version": "0", "id": "1", "detail-type": "EC2 Instance Launch Unsuccessful", "source": "aws.autoscaling",
              "account": "123456789012", "time": "2026-11-25T00:00:00Z", "region": "us-east-1", "resources": [],
              "detail": {"AutoScalingGroupName": "fleet-workers", "StatusMessage": "There is no Spot capacity available"}}
    for change, matches in (({}, True), ({"detail-type": "EC2 Instance Launch Successful"}, False),
                            ({"detail": {"AutoScalingGroupName": "other-workers"}}, False)):
        pattern = json.loads(rule["EventPattern"])
        event = sample | change
        found = {**event, **event["detail"]}
        assert all(found[key] in values for key, values in {**pattern, **pattern["detail"]}.items() if key != "detail") == matches
    allowed = json.loads(moto_fleet.resolver.resource("LaunchLogsPolicy")["PolicyDocument"])["Statement"]
    assert [statement["Action"] for statement in allowed] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert allowed[1]["Condition"] == {"ArnEquals": {"aws:SourceArn": "arn:aws:events:us-east-1:123456789012:rule/fleet-launches"}}
    assert all(statement["Resource"] == moto_fleet.attributes["LaunchLogs", "Arn"] for statement in allowed)
