"""What failed tries left behind: a stack that takes no deploy, names that are taken, data that nobody uses."""

from .case import SERVICES
from .finding import fault, fine, warning


def of_the_stack(case):
    """Whether the stack's state takes a deploy."""
    stack, status = case.stack, case.status
    delete = f"aws cloudformation delete-stack --stack-name {stack} && aws cloudformation wait stack-delete-complete --stack-name {stack}"
    why = (f"aws cloudformation describe-stack-events --stack-name {stack} --output text "
           "--query \"StackEvents[?contains(ResourceStatus, 'FAILED')].[LogicalResourceId, ResourceStatusReason]\"")
    if status is None:
        yield fine(f"there is no stack {stack} yet")
    elif status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "CREATE_FAILED"):
        yield fault(f"the stack {stack} is {status}: it takes no deploy until it is deleted", f"{why}\n{delete}")
    elif status == "UPDATE_ROLLBACK_FAILED":
        yield fault(f"the stack {stack} is {status}: what hinders has to be mended first",
                    f"{why}\naws cloudformation continue-update-rollback --stack-name {stack}")
    elif status == "REVIEW_IN_PROGRESS":
        yield warning(f"the stack {stack} is {status}: a plan that nobody carried out; a deploy carries another one out", delete)
    elif status.endswith("_IN_PROGRESS"):
        yield fault(f"the stack {stack} is {status}: another deploy is at it", f"aws cloudformation wait stack-{_wait(status)}-complete --stack-name {stack}")
    else:
        yield fine(f"the stack {stack} is {status}")


def _wait(status):
    return "delete" if status.startswith("DELETE") else "create" if status.startswith(("CREATE", "ROLLBACK")) else "update"


def names(case):
    """Names that the template gives itself, and that something else has already: making them would fail."""
    if case.status not in (None, "REVIEW_IN_PROGRESS"):
        return
    stack = case.stack
    groups = [group["logGroupName"] for group in case.aws("logs", "describe-log-groups", "--log-group-name-prefix", f"/polybot/{stack}/")["logGroups"]]
    launches = f"/aws/events/polybot/{stack}/launches"
    groups += [group["logGroupName"] for group in case.aws("logs", "describe-log-groups", "--log-group-name-prefix", launches)["logGroups"]]
    own = {f"/polybot/{stack}/{service}" for service in (*SERVICES, "flow")} | {launches}
    for name in sorted(own & set(groups)):
        yield fault(f"the log group {name} is there, of a stack that is not: making it would fail", f"aws logs delete-log-group --log-group-name {name}")
    wanted = [f"{stack}-{kind}" for kind in ("workers", "polybot", "streamer", "machine")]
    for group in case.aws("autoscaling", "describe-auto-scaling-groups", "--auto-scaling-group-names", *wanted)["AutoScalingGroups"]:
        name = group["AutoScalingGroupName"]
        yield fault(f"the Auto Scaling group {name} is there, of a stack that is not, with {len(group.get('Instances', []))} instances",
                    f"aws autoscaling delete-auto-scaling-group --force-delete --auto-scaling-group-name {name}")
    if not case.mini:
        policies = case.aws("logs", "describe-resource-policies")["resourcePolicies"]
        if len(policies) >= 10 and f"{stack}-launches" not in {policy["policyName"] for policy in policies}:
            yield fault(f"the region has {len(policies)} resource policies of CloudWatch Logs, which is all it may; the stack makes one",
                        "aws logs describe-resource-policies --query 'resourcePolicies[].policyName'\naws logs delete-resource-policy --policy-name …")


def data(case):
    """Buckets and tables that an earlier stack of this name left; they cost, and hold people's photos."""
    stack, kept = case.stack, {physical for _, physical in case.resources.values()}
    buckets = [bucket["Name"] for bucket in case.aws("s3api", "list-buckets")["Buckets"]
               if bucket["Name"].startswith(f"{stack}-imagebucket-") and bucket["Name"] not in kept]
    tables = [name for name in case.aws("dynamodb", "list-tables")["TableNames"]
              if name.startswith(f"{stack}-PredictionTable-") and name not in kept]
    for name in buckets:
        yield warning(f"the bucket {name} is of an earlier stack {stack}", f"infra/take-over --stack {stack} {name} TABLE   # to keep its photos; "
                      f"or for good:\naws s3 rb --force s3://{name}")
    for name in tables:
        yield warning(f"the table {name} is of an earlier stack {stack}", f"infra/take-over --stack {stack} BUCKET {name}   # to keep its records; "
                      f"or for good:\naws dynamodb delete-table --table-name {name}")
    if not buckets and not tables:
        yield fine("no earlier stack left data behind")
