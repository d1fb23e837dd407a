"""Whether the zones have the instance types, and the machine images fit them."""

import datetime

from .aws import AwsError
from .finding import fault, fine, warning

NEWEST = ("aws ssm get-parameter --name /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{} "
          "--query Parameter.Value --output text   # then deploy with MachineImageId=…")


def instance_types(case):
    """Each type exists, is of the processor, and is offered in the zones that the template takes."""
    zones = case.aws("ec2", "describe-availability-zones", "--filters", "Name=zone-type,Values=availability-zone",
                     "Name=state,Values=available")["AvailabilityZones"]
    # As Fn::GetAZs gives them, where no default subnets say otherwise.
    zones = sorted(zone["ZoneName"] for zone in zones)[:2]
    if len(zones) < 2:
        yield fault(f"{case.aws.region} gives this account {len(zones)} zone; the stack wants two", "export AWS_REGION=…   # another region")
        return
    names = sorted({*case.first_types, *case.worker_types})
    known = case.types(names)
    offers = case.aws("ec2", "describe-instance-type-offerings", "--location-type", "availability-zone",
                      "--filters", f"Name=instance-type,Values={','.join(names)}")["InstanceTypeOfferings"]
    offered = {zone: {offer["InstanceType"] for offer in offers if offer["Location"] == zone} for zone in zones}

    first, parameter = case.first_types[0], "InstanceType" if case.mini else "PolybotInstanceType"
    if first not in known:
        yield fault(f"{parameter} {first} is not in {case.aws.region}", _candidates(case))
    elif wrong := _processor(case, known[first]):
        yield fault(f"{parameter} {first} is {wrong}, and the stack is {case.architecture}", _candidates(case))
    else:
        lacking = [zone for zone in zones if first not in offered[zone]]
        if len(lacking) == 2:
            yield fault(f"neither {zones[0]} nor {zones[1]} has {first} ({parameter})", _candidates(case))
        elif lacking:
            yield warning(f"{lacking[0]} has no {first} ({parameter}): all polybots are in one zone", _candidates(case))
        else:
            yield fine(f"{' and '.join(zones)} have {first} ({parameter})")
    if case.mini:
        return
    usable = []
    for name in case.worker_types:
        if name not in known:
            yield warning(f"{case.aws.region} has no {name}: workers are of the other types")
        elif wrong := _processor(case, known[name]):
            yield warning(f"{name} in WorkerInstanceTypes is {wrong}, and the stack is {case.architecture}: it would be refused at the boot",
                          case.update("WorkerInstanceTypes=…"))
        elif (cores := known[name]["VCpuInfo"]["DefaultVCpus"]) != 2:
            yield warning(f"{name} in WorkerInstanceTypes has {cores} vCPUs: workers have two, so it is never taken",
                          case.update("WorkerInstanceTypes=…"))
        else:
            usable.append(name)
    by_zone = {zone: [name for name in usable if name in offered[zone]] for zone in zones}
    if not any(by_zone.values()):
        yield fault(f"neither {zones[0]} nor {zones[1]} has any of the workers' types ({', '.join(case.worker_types)})", _candidates(case))
        return
    for zone, there in by_zone.items():
        if len(there) < 3:
            yield warning(f"{zone} has {len(there)} of the workers' types: spot is short of all at once more often", _candidates(case))
        else:
            yield fine(f"{zone} has {len(there)} of the workers' types")


def _processor(case, kind):
    found = kind["ProcessorInfo"]["SupportedArchitectures"]
    return None if case.architecture in found else "/".join(found)


def _candidates(case):
    return (f"aws ec2 describe-instance-types --filters Name=processor-info.supported-architecture,Values={case.architecture} "
            "Name=vcpu-info.default-vcpus,Values=2 Name=burstable-performance-supported,Values=false "
            "--query 'InstanceTypes[].InstanceType' --output text")


def images(case):
    """The machine images exist, are of the processor, and boot from the disk that the template makes larger."""
    for parameter in ("MachineImageId", "WorkerImageId"):
        name = case.value(parameter)
        if not name:
            continue
        newest = NEWEST.format(case.architecture)
        if parameter == "WorkerImageId":
            newest = f"infra/bake --stack {case.stack}   # or deploy with WorkerImageId= (none)"
        try:
            found = case.aws("ec2", "describe-images", "--image-ids", name, "--include-deprecated")["Images"]
        except AwsError as error:
            if not error.code.startswith("InvalidAMIID"):
                raise
            found = []
        if not found or found[0].get("State", "available") != "available":
            yield fault(f"{parameter} {name} is not (or no more) in {case.aws.region}: images are of one region", newest)
            continue
        image, = found
        if image["Architecture"] != case.architecture:
            yield fault(f"{parameter} {name} is for {image['Architecture']}, and the stack is {case.architecture}", newest)
        elif image.get("RootDeviceName") != "/dev/xvda":
            yield fault(f"{parameter} {name} boots from {image.get('RootDeviceName')}; the template, as Amazon Linux, from /dev/xvda", newest)
        elif "al2023" not in image.get("Name", "") and parameter == "MachineImageId":
            yield warning(f"{parameter} {name} is {image.get('Name') or 'nameless'}, not an Amazon Linux 2023: the user data may not run there", newest)
        elif _past(image.get("DeprecationTime")):
            yield warning(f"{parameter} {name} ({image.get('Name')}) is deprecated since {image['DeprecationTime'][:10]}: it gets no more of "
                          "Amazon's updates, and may go", newest)
        else:
            yield fine(f"{parameter} {name} is {image.get('Name')}, {image['Architecture']}")


def _past(time):
    if not time:
        return False
    return datetime.datetime.fromisoformat(time.replace("Z", "+00:00")) < datetime.datetime.now(datetime.timezone.utc)
