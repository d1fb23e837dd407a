"""After a deploy: the instances that should work do, and the load balancers find them."""

from .finding import fault, fine, warning

_GROUPS = {"PolybotGroup": "polybots", "WorkerGroup": "workers", "StreamerGroup": "metric-streamers", "Group": "machines"}


def instances(case):
    """As many in service as are wanted."""
    named = {case.physical(logical): what for logical, what in _GROUPS.items() if logical in case.resources}
    for group in case.aws("autoscaling", "describe-auto-scaling-groups", "--auto-scaling-group-names", *named)["AutoScalingGroups"]:
        name, wanted = group["AutoScalingGroupName"], group["DesiredCapacity"]
        working = [instance for instance in group.get("Instances", []) if instance["LifecycleState"] == "InService"]
        if len(working) < wanted:
            why = (f"aws autoscaling describe-scaling-activities --auto-scaling-group-name {name} --max-items 5 "
                   "--query 'Activities[].[StartTime, StatusCode, StatusMessage]' --output text")
            yield fault(f"{len(working)} of {wanted} {named[name]} work ({name})", why)
        else:
            yield fine(f"{len(working)} {named[name]} work ({name})")
        if suspended := [process["ProcessName"] for process in group.get("SuspendedProcesses", [])]:
            yield warning(f"{name} does not do {', '.join(suspended)}: somebody suspended it",
                          f"aws autoscaling resume-processes --auto-scaling-group-name {name}")


def targets(case):
    """Healthy for both load balancers."""
    for logical, who in (("WebhookTargets", "Telegram's"), ("ResultsTargets", "the workers'")):
        if logical not in case.resources:
            continue
        health = case.aws("elbv2", "describe-target-health", "--target-group-arn", case.physical(logical))["TargetHealthDescriptions"]
        healthy = [target for target in health if target["TargetHealth"]["State"] == "healthy"]
        if not healthy:
            states = ", ".join(sorted({target["TargetHealth"].get("Reason", target["TargetHealth"]["State"]) for target in health})) or "there are none"
            yield fault(f"{who} load balancer has no healthy polybot ({states})",
                        f"aws logs tail /polybot/{case.stack}/polybot --since 15m --filter-pattern '{{ ($.level = \"ERROR\") || ($.level = \"WARN\") }}'")
        elif len(healthy) < len(health):
            yield warning(f"{len(healthy)} of {len(health)} polybots are healthy for {who} load balancer",
                          f"aws logs tail /polybot/{case.stack}/polybot --since 15m")
        else:
            yield fine(f"{len(healthy)} polybots are healthy for {who} load balancer")
