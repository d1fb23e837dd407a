"""What CloudFormation made of the template, read back through each service's own API."""

import ipaddress
import json
import re

import emulators
import pytest
from emulators import ACCOUNT, REGION


@pytest.fixture(scope="session")
def queue():
    def attributes(stack, name):
        sqs = stack.client("sqs")
        return sqs.get_queue_attributes(QueueUrl=stack.outputs[name], AttributeNames=["All"])["Attributes"]

    return attributes


def test_a_job_received_five_times_goes_to_the_dead_letter_queue(moto_fleet, queue):
    redrive = json.loads(queue(moto_fleet, "JobQueueUrl")["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == queue(moto_fleet, "DeadLetterQueueUrl")["QueueArn"]
    assert int(redrive["maxReceiveCount"]) == 5


def test_a_message_received_too_often_is_moved(moto_fleet):
    """Done, not only described: the emulator moves it."""
    sqs = moto_fleet.client("sqs")
    jobs, dead_letters = moto_fleet.outputs["JobQueueUrl"], moto_fleet.outputs["DeadLetterQueueUrl"]
    sqs.send_message(QueueUrl=jobs, MessageBody="a job")
    for receive in range(5):
        message, = sqs.receive_message(QueueUrl=jobs, WaitTimeSeconds=0)["Messages"]
        sqs.change_message_visibility(QueueUrl=jobs, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert "Messages" not in sqs.receive_message(QueueUrl=jobs, WaitTimeSeconds=0)
    message, = sqs.receive_message(QueueUrl=dead_letters, WaitTimeSeconds=0)["Messages"]
    assert message["Body"] == "a job"


def test_queues_poll_long_encrypt_and_keep_dead_letters_longer(moto_fleet, queue):
    jobs, dead_letters = queue(moto_fleet, "JobQueueUrl"), queue(moto_fleet, "DeadLetterQueueUrl")
    assert jobs["SqsManagedSseEnabled"] == dead_letters["SqsManagedSseEnabled"] == "true"
    assert jobs["VisibilityTimeout"] == "60"
    assert jobs["ReceiveMessageWaitTimeSeconds"] == dead_letters["ReceiveMessageWaitTimeSeconds"] == "20"
    assert int(dead_letters["MessageRetentionPeriod"]) > int(jobs["MessageRetentionPeriod"])


@pytest.mark.parametrize("name", ["JobQueueUrl", "DeadLetterQueueUrl"])
def test_queues_refuse_what_is_not_tls(fleet, queue, name):
    attributes = queue(fleet, name)
    statement, = json.loads(attributes["Policy"])["Statement"]
    assert statement["Effect"] == "Deny" and statement["Resource"] == attributes["QueueArn"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_table_has_its_sparse_index(moto_fleet):
    table = moto_fleet.client("dynamodb").describe_table(TableName=moto_fleet.outputs["PredictionTableName"])["Table"]
    assert table["KeySchema"] == [{"AttributeName": "prediction_id", "KeyType": "HASH"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    index, = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "undelivered-index"
    assert index["KeySchema"] == [{"AttributeName": "undelivered", "KeyType": "HASH"},
                                  {"AttributeName": "time", "KeyType": "RANGE"}]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_the_table_takes_what_the_services_write(fleet):
    """The index finds what has its key, and only that."""
    dynamodb = fleet.client("dynamodb")
    table = fleet.outputs["PredictionTableName"]
    for prediction, extra in (("waits", {"undelivered": {"S": "done"}}), ("told", {})):
        dynamodb.put_item(TableName=table, Item={"prediction_id": {"S": prediction}, "time": {"N": "7"}, **extra})
    found = dynamodb.query(TableName=table, IndexName="undelivered-index",
                           KeyConditionExpression="undelivered = :status AND #time <= :until",
                           ExpressionAttributeNames={"#time": "time"},
                           ExpressionAttributeValues={":status": {"S": "done"}, ":until": {"N": "9"}})
    assert [item["prediction_id"]["S"] for item in found["Items"]] == ["waits"]


def test_the_bucket_encrypts_and_refuses_what_is_not_tls(fleet, moto_fleet):
    encryption = moto_fleet.client("s3").get_bucket_encryption(Bucket=moto_fleet.outputs["ImageBucketName"])
    rule, = encryption["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    policy = fleet.client("s3").get_bucket_policy(Bucket=fleet.outputs["ImageBucketName"])["Policy"]
    statement, = json.loads(policy)["Statement"]
    assert statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_secrets_hold_the_token_and_a_made_up_one(fleet):
    secrets = fleet.client("secretsmanager")

    def value(name):
        return secrets.get_secret_value(SecretId=fleet.physical_ids[name])["SecretString"]

    assert json.loads(value("TelegramSecret")) == {"TELEGRAM_TOKEN": "123456:" + "a" * 35}
    assert len(value("ResultsSecret")) == 48


def test_the_token_is_in_no_user_data(fleet, other_fleet, user_data):
    for stack in (fleet, other_fleet):
        for template in ("PolybotTemplate", "WorkerTemplate", "StreamerTemplate"):
            if template in stack.physical_ids:
                assert "123456:" not in user_data(stack, template)


@pytest.fixture(scope="session")
def listeners(fleet):
    """By (scheme of the load balancer, port): the listener, and its rules but the default one."""
    elb = fleet.client("elbv2")
    found = {}
    for name in ("PublicLoadBalancer", "InternalLoadBalancer"):
        arn = fleet.physical_ids[name]
        scheme = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["Scheme"]
        for listener in elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]:
            rules = elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
            found[scheme, listener["Port"]] = listener, [rule for rule in rules if rule["Priority"] != "default"]
    return found


def test_there_are_three_listeners(listeners):
    assert set(listeners) == {("internet-facing", 443), ("internet-facing", 80), ("internal", 80)}


def test_the_internet_reaches_the_webhook_and_nothing_else(fleet, listeners):
    listener, rules = listeners["internet-facing", 443]
    assert listener["Protocol"] == "HTTPS"
    default, = listener["DefaultActions"]
    assert (default["Type"], default["FixedResponseConfig"]["StatusCode"]) == ("fixed-response", "404")
    rule, = rules
    assert {condition["Field"]: condition["Values"] for condition in rule["Conditions"]} == {
        "path-pattern": ["/webhook"], "http-request-method": ["POST"]}
    action, = rule["Actions"]
    assert (action["Type"], action["TargetGroupArn"]) == ("forward", fleet.physical_ids["WebhookTargets"])


def test_port_80_redirects(listeners):
    listener, rules = listeners["internet-facing", 80]
    action, = listener["DefaultActions"]
    assert action["Type"] == "redirect" and action["RedirectConfig"]["Protocol"] == "HTTPS"
    assert action["RedirectConfig"]["StatusCode"] == "HTTP_301" and rules == []


def test_results_come_from_inside(fleet, listeners):
    listener, rules = listeners["internal", 80]
    default, = listener["DefaultActions"]
    assert default["FixedResponseConfig"]["StatusCode"] == "404"
    rule, = rules
    condition, = rule["Conditions"]
    assert condition["Values"] == ["/results"]
    action, = rule["Actions"]
    assert action["TargetGroupArn"] == fleet.physical_ids["ResultsTargets"]


@pytest.mark.parametrize("name", ["WebhookTargets", "ResultsTargets"])
def test_polybot_is_asked_at_its_port_whether_it_is_healthy(fleet, name):
    group, = fleet.client("elbv2").describe_target_groups(TargetGroupArns=[fleet.physical_ids[name]])["TargetGroups"]
    assert (group["Port"], group["Protocol"], group["HealthCheckPath"]) == (8443, "HTTP", "/")


@pytest.fixture(scope="session")
def ingress(moto_fleet):
    """Who may connect: of a security group, its rules as (port, from)."""
    ec2 = moto_fleet.client("ec2")

    def rules(name):
        group, = ec2.describe_security_groups(GroupIds=[moto_fleet.physical_ids[name]])["SecurityGroups"]
        found = set()
        for permission in group["IpPermissions"]:
            sources = [source["CidrIp"] for source in permission.get("IpRanges", [])]
            sources += [source["GroupId"] for source in permission.get("UserIdGroupPairs", [])]
            found |= {(permission["FromPort"], source) for source in sources}
        return found

    return rules


def test_only_telegram_reaches_the_public_load_balancer(ingress):
    telegram = {"149.154.160.0/20", "91.108.4.0/22"}
    assert ingress("PublicLoadBalancerGroup") == {(port, source) for port in (80, 443) for source in telegram}


def test_only_workers_reach_the_internal_load_balancer(moto_fleet, ingress):
    assert ingress("InternalLoadBalancerGroup") == {(80, moto_fleet.physical_ids["WorkerSecurityGroup"])}


def test_only_load_balancers_reach_polybot_and_nobody_reaches_workers(moto_fleet, ingress):
    ids = moto_fleet.physical_ids
    assert ingress("PolybotSecurityGroup") == {(8443, ids["PublicLoadBalancerGroup"]),
                                               (8443, ids["InternalLoadBalancerGroup"])}
    assert ingress("WorkerSecurityGroup") == set()


def test_the_certificate_is_validated_in_the_zone_and_the_name_points_to_the_load_balancer(fleet):
    acm = fleet.client("acm")
    certificate = acm.describe_certificate(CertificateArn=fleet.physical_ids["Certificate"])["Certificate"]
    assert certificate["DomainName"] == "bot.example.com"
    route53 = fleet.client("route53")
    zone = fleet.resolver.resolve({"Ref": "HostedZoneId"})
    records = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    alias, = [record for record in records if record["Type"] == "A"]
    assert alias["Name"].rstrip(".") == "bot.example.com"
    assert alias["AliasTarget"]["DNSName"].rstrip(".") == fleet.outputs["PublicLoadBalancerName"]


def test_a_certificate_of_ones_own_makes_neither_certificate_nor_record(other_fleet):
    assert not {"Certificate", "Record"} & set(other_fleet.physical_ids)
    elb = other_fleet.client("elbv2")
    arn = other_fleet.resolver.resource("HttpsListener")["Certificates"][0]["CertificateArn"]
    assert arn == f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/01234567-89ab-cdef-0123-456789abcdef"
    listeners = elb.describe_listeners(LoadBalancerArn=other_fleet.physical_ids["PublicLoadBalancer"])["Listeners"]
    assert {listener["Port"] for listener in listeners} == {80, 443}


@pytest.fixture(scope="session")
def group():
    def described(stack, name):
        autoscaling = stack.client("autoscaling")
        names = [stack.physical_ids[name]]
        found, = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
        return found

    return described


def test_polybot_runs_twice_over_two_zones(fleet, group):
    polybot = group(fleet, "PolybotGroup")
    assert (polybot["MinSize"], polybot["DesiredCapacity"]) == (2, 2) and polybot["MaxSize"] > 2
    assert polybot["HealthCheckType"] == "ELB"
    subnets = fleet.client("ec2").describe_subnets(SubnetIds=polybot["VPCZoneIdentifier"].split(","))["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 2


def test_instances_are_in_private_subnets_where_asked_for(other_fleet, group):
    private = {other_fleet.physical_ids["PrivateSubnetA"], other_fleet.physical_ids["PrivateSubnetB"]}
    for name in ("PolybotGroup", "WorkerGroup", "StreamerGroup"):
        assert set(group(other_fleet, name)["VPCZoneIdentifier"].split(",")) == private


def test_subnets_do_not_overlap(moto_other_fleet):
    names = ["PublicSubnetA", "PublicSubnetB", "PrivateSubnetA", "PrivateSubnetB"]
    ids = [moto_other_fleet.physical_ids[name] for name in names]
    subnets = moto_other_fleet.client("ec2").describe_subnets(SubnetIds=ids)["Subnets"]
    networks = [ipaddress.ip_network(subnet["CidrBlock"]) for subnet in subnets]
    assert len(networks) == 4 and all(network.subnet_of(ipaddress.ip_network("10.20.0.0/16")) for network in networks)
    assert not any(one.overlaps(other) for one in networks for other in networks if one is not other)


def test_workers_go_down_to_their_least_number(fleet, other_fleet, group):
    workers = group(fleet, "WorkerGroup")
    assert workers["AutoScalingGroupName"] == "fleet-workers"
    assert (workers["MinSize"], workers["MaxSize"]) == (1, 10)
    assert group(other_fleet, "WorkerGroup")["MinSize"] == 0


def test_no_instance_counts_before_it_says_so(moto_fleet, moto_other_fleet):
    """From the groups' own properties: neither emulator's CloudFormation makes these hooks, so moto's API is given them."""
    for stack, name in ((moto_fleet, "PolybotGroup"), (moto_fleet, "WorkerGroup"), (moto_other_fleet, "StreamerGroup")):
        hook, = stack.resolver.resource(name)["LifecycleHookSpecificationList"]
        autoscaling, group = stack.client("autoscaling"), stack.physical_ids[name]
        autoscaling.put_lifecycle_hook(AutoScalingGroupName=group, **hook | {"HeartbeatTimeout": int(hook["HeartbeatTimeout"])})
        kept, = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=group, LifecycleHookNames=["boot"])["LifecycleHooks"]
        assert kept["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_LAUNCHING" and kept["DefaultResult"] == "ABANDON"
        # Longer than the user data waits for a name and for Telegram.
        assert kept["HeartbeatTimeout"] >= 1200 + 600 + 300


def test_a_worker_is_given_time_to_drain(fleet):
    hook, = [hook for hook in fleet.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName="fleet-workers")["LifecycleHooks"]
             if hook["LifecycleHookName"] != "boot"]
    assert hook["LifecycleHookName"] == "drain"
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    drain = int(fleet.resolver.resolve({"Ref": "WorkerDrainSeconds"}))
    # The worker looks at its instance's metadata every few seconds and has a call to make at the end.
    assert hook["HeartbeatTimeout"] >= drain + 30 and hook["DefaultResult"] == "CONTINUE"


def test_workers_are_spot_above_a_base_on_demand(moto_fleet, moto_other_fleet, group):
    def mix(stack):
        policy = group(stack, "WorkerGroup")["MixedInstancesPolicy"]
        override, = policy["LaunchTemplate"]["Overrides"]
        # Two vCPUs each: backlog per instance takes them as equal.
        assert {key: int(value) for key, value in override["InstanceRequirements"]["VCpuCount"].items()} == {"Min": 2, "Max": 2}
        return override["InstanceRequirements"]["AllowedInstanceTypes"], policy["InstancesDistribution"]

    types, distribution = mix(moto_fleet)
    # At least six, and of one processor: Intel's third generation, whatever is around it.
    assert len(types) >= 6 and all(re.fullmatch(r"[cmr]6i[dn]?\.large", name) for name in types)
    # "This ... cannot be used for groups that" specify requirements, says the API of `prioritized`.
    assert distribution["OnDemandAllocationStrategy"] == "lowest-price"
    assert distribution["OnDemandBaseCapacity"] == 0 and distribution["OnDemandPercentageAboveBaseCapacity"] == 0
    assert distribution["SpotAllocationStrategy"] == "price-capacity-optimized"
    types, distribution = mix(moto_other_fleet)
    assert types == ["c7g.large", "c6g.large", "c8g.large"]
    assert distribution["OnDemandBaseCapacity"] == 1 and distribution["OnDemandPercentageAboveBaseCapacity"] == 25


def test_polybot_is_behind_both_load_balancers(moto_fleet, group):
    polybot = group(moto_fleet, "PolybotGroup")
    assert set(polybot["TargetGroupARNs"]) == {moto_fleet.physical_ids["WebhookTargets"],
                                               moto_fleet.physical_ids["ResultsTargets"]}


def test_each_zone_has_a_gateway_out(moto_other_fleet):
    ec2, ids = moto_other_fleet.client("ec2"), moto_other_fleet.physical_ids
    gateways = ec2.describe_nat_gateways(NatGatewayIds=[ids["NatGatewayA"], ids["NatGatewayB"]])["NatGateways"]
    assert {gateway["SubnetId"] for gateway in gateways} == {ids["PublicSubnetA"], ids["PublicSubnetB"]}
    for zone in "AB":
        table, = ec2.describe_route_tables(RouteTableIds=[ids[f"PrivateRoutes{zone}"]])["RouteTables"]
        out, = [route for route in table["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
        assert out["NatGatewayId"] == ids[f"NatGateway{zone}"]


def test_private_subnets_have_the_routes_of_their_zone(other_fleet):
    ec2, ids = other_fleet.client("ec2"), other_fleet.physical_ids
    for zone in "AB":
        table, = ec2.describe_route_tables(RouteTableIds=[ids[f"PrivateRoutes{zone}"]])["RouteTables"]
        associated = [association["SubnetId"] for association in table["Associations"] if "SubnetId" in association]
        assert associated == [ids[f"PrivateSubnet{zone}"]]


def test_refused_connections_are_logged_where_asked_for(moto_fleet, moto_other_fleet):
    logs = moto_fleet.client("ec2").describe_flow_logs()["FlowLogs"]
    assert [(log["ResourceId"], log["TrafficType"], log["LogGroupName"]) for log in logs] == [
        (moto_other_fleet.physical_ids["Vpc"], "REJECT", "/polybot/other/flow")]


def test_endpoints_keep_photos_and_records_off_the_internet(other_fleet):
    ids = [other_fleet.physical_ids[name] for name in ("S3Endpoint", "DynamoDbEndpoint")]
    endpoints = other_fleet.client("ec2").describe_vpc_endpoints(VpcEndpointIds=ids)["VpcEndpoints"]
    assert {endpoint["ServiceName"].rsplit(".", 1)[-1] for endpoint in endpoints} == {"s3", "dynamodb"}
    tables = {other_fleet.physical_ids[name] for name in ("PublicRoutes", "PrivateRoutesA", "PrivateRoutesB")}
    assert all(set(endpoint["RouteTableIds"]) == tables for endpoint in endpoints)


def test_instances_are_launched_safely(moto_fleet, moto_other_fleet):
    for stack in (moto_fleet, moto_other_fleet):
        for name in ("PolybotTemplate", "WorkerTemplate", "StreamerTemplate"):
            if name in stack.physical_ids:
                data = emulators.launch_template(stack, name)
                assert data["MetadataOptions"]["HttpTokens"] == "required"
                assert int(data["MetadataOptions"]["HttpPutResponseHopLimit"]) == 1
                assert str(data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]).lower() == "true"


def test_the_machine_image_stays_until_another_one_is_named(fleet, other_fleet):
    """No parameter that CloudFormation reads anew at each update: a rollback would bring another system along."""
    assert not [name for name, declared in fleet.template["Parameters"].items() if declared["Type"].startswith("AWS::SSM")]
    for stack, template in ((fleet, "PolybotTemplate"), (fleet, "WorkerTemplate"), (other_fleet, "StreamerTemplate")):
        assert emulators.launch_template(stack, template)["ImageId"] == "ami-0000000000000bbbb"


# By CloudFormation's schema, which cfn-lint holds the template against; no emulator carries an update policy out.
@pytest.mark.parametrize("name, healthy, otherwise, alarms", [
    ("PolybotGroup", (50, 100), (100, 150), {"polybot-boots", "5xx"}),
    ("WorkerGroup", (100, 150), (100, 150), {"worker-boots", "failing-jobs"}),
    ("StreamerGroup", (100, 200), (100, 200), {"no-metric"})])
def test_an_update_replaces_instances_as_far_as_others_work(fleet, other_fleet, name, healthy, otherwise, alarms):
    for stack, (least, most) in ((fleet, healthy), (other_fleet, otherwise)):
        policy = stack.resolver.resolve(stack.template["Resources"][name]["UpdatePolicy"])
        assert set(policy) == {"AutoScalingInstanceRefresh"}
        preferences = policy["AutoScalingInstanceRefresh"]["Preferences"]
        assert (preferences["MinHealthyPercentage"], preferences["MaxHealthyPercentage"]) == (least, most)
        # Neither waits for somebody who does not come.
        assert preferences["ScaleInProtectedInstances"] == "Refresh" and preferences["StandbyInstances"] == "Terminate"
        # A machine that fails is replaced in the same way.
        group = stack.resolver.resolve(stack.template["Resources"][name]["Properties"]["InstanceMaintenancePolicy"])
        assert group == {"MinHealthyPercentage": least, "MaxHealthyPercentage": most}
        # Auto Scaling takes no wider span.
        assert most - least <= 100
        if stack is fleet:
            known = {resource["Properties"]["AlarmName"]["Fn::Sub"].replace("${AWS::StackName}", "fleet"): resource
                     for resource in stack.template["Resources"].values() if "AlarmName" in resource.get("Properties", {})}
            named = preferences["AlarmSpecification"]["Alarms"]
            assert set(named) == {f"fleet-{alarm}" for alarm in alarms} <= set(known) and preferences["BakeTime"] == 300
        else:
            assert "AlarmSpecification" not in preferences and preferences["BakeTime"] == 0


def test_workers_boot_from_their_baked_image_where_there_is_one(other_fleet):
    assert emulators.launch_template(other_fleet, "WorkerTemplate")["ImageId"] == "ami-0123456789abcdef0"


def test_user_data_is_within_what_ec2_takes(fleet, other_fleet, user_data):
    for stack in (fleet, other_fleet):
        for name in ("PolybotTemplate", "WorkerTemplate", "StreamerTemplate"):
            if name in stack.physical_ids:
                assert len(user_data(stack, name).encode()) < 16384


def test_logs_are_kept_for_a_while(fleet):
    groups = fleet.client("logs").describe_log_groups(logGroupNamePrefix="/polybot/fleet/")["logGroups"]
    assert {group["logGroupName"].rsplit("/", 1)[-1]: group["retentionInDays"] for group in groups} == {
        "polybot": 30, "yolo-worker": 30, "metric-streamer": 30}


def test_the_dashboard_shows_what_it_should(fleet):
    body = json.loads(fleet.client("cloudwatch").get_dashboard(DashboardName="fleet")["DashboardBody"])
    shown = json.dumps(body)
    for metric in ("WorkerDemand", "WorkersNeeded", "ArrivalRate", "SecondsPerPhoto", "BacklogPerInstance", "InServiceInstances", "ApproximateAgeOfOldestMessage", "PhotoMilliseconds",
                   "DetectMilliseconds", "ApproximateNumberOfMessagesVisible", "HTTPCode_Target_5XX_Count"):
        assert f'"{metric}"' in shown
    assert "${" not in shown
    dollars, = [metric[0]["expression"] for widget in body["widgets"] for metric in widget["properties"].get("metrics", [])
                if isinstance(metric[0], dict) and metric[0]["id"] == "dollars"]
    # Instances x price / photos.
    assert dollars == "IF(photos > 0, 1000 * 0 * workers * (PERIOD(workers) / 3600) / photos)"
    target = body["widgets"][0]["properties"]["annotations"]["horizontal"][0]
    assert target == {"label": "target", "value": 100}
    # Each change of capacity, with its reason.
    why, = [widget["properties"]["query"] for widget in body["widgets"] if widget["type"] == "log"]
    assert why.startswith("SOURCE '/polybot/fleet/metric-streamer' |") and "fields @timestamp, why" in why


def test_bootstrap_makes_repositories_and_a_bucket_for_templates(bootstrap):
    repositories = bootstrap.client("ecr").describe_repositories()["repositories"]
    own = {repository["repositoryName"] for repository in repositories if repository["repositoryName"].startswith("polybot/")}
    assert own == {"polybot/polybot", "polybot/yolo-worker", "polybot/metric-streamer"}
    assert all(repository["imageTagMutability"] == "IMMUTABLE" for repository in repositories)
    assert bootstrap.outputs["ArtifactBucketName"] == f"polybot-bootstrap-{ACCOUNT}-{REGION}"


# Both forms that GitHub signs: by names, and with the numbers that repositories have had in it since July 2026.
@pytest.mark.parametrize("deployed, subject", [
    ("bootstrap", "repo:someone/polybot:environment:production"),
    ("bootstrap_with_numbers", "repo:someone@123456/polybot@456789:environment:production")])
def test_only_the_named_repository_takes_the_pipelines_role(request, deployed, subject):
    stack = request.getfixturevalue(deployed)
    role = stack.client("iam").get_role(RoleName=stack.physical_ids["PipelineRole"])["Role"]
    statement, = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    # Compared as it is, with no wildcard, and no second form beside it.
    assert statement["Condition"] == {"StringEquals": {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": subject}}
