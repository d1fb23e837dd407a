"""Whether the three images are in ECR, not archived, and of the fleet's processor."""

import json
import urllib.request

from .aws import AwsError
from .case import SERVICES
from .finding import fault, fine, unknown

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_CONTAINER = {"x86_64": "amd64", "arm64": "arm64"}


def images(case):
    """One finding for each service."""
    tag, prefix = case.value("ImageTag"), case.value("Repositories") or "polybot"
    if not tag:
        return
    for service in SERVICES:
        yield _image(case, f"{prefix}/{service}", service, tag)


def _image(case, repository, service, tag):
    platform = f"linux/{_CONTAINER[case.architecture]}"
    registry = f"{case.account}.dkr.ecr.{case.aws.region}.amazonaws.com"
    build = (f"aws ecr get-login-password | docker login --username AWS --password-stdin {registry}\n"
             f"docker build --platform {platform} -f Dockerfiles/{service}.Dockerfile -t {registry}/{repository}:{tag} .\n"
             f".github/deploy/push {registry} {repository} {tag}")
    # A tag is written once.
    anew = build.replace(f"{repository}:{tag}", f"{repository}:TAG").replace(f"{repository} {tag}", f"{repository} TAG") + (
        "   # a tag is written once: take another TAG, and deploy with ImageTag=TAG")
    try:
        detail = case.aws("ecr", "describe-images", "--repository-name", repository, "--image-ids", f"imageTag={tag}")["imageDetails"][0]
    except AwsError as error:
        if error.code == "RepositoryNotFoundException":
            bootstrap = (f"aws cloudformation deploy --stack-name {case.bootstrap} --template-file infra/bootstrap.yaml --capabilities CAPABILITY_IAM"
                         f"   # once, for all three\n" if service == SERVICES[0] else "")
            return fault(f"there is no repository {repository}", bootstrap + build)
        if error.code == "ImageNotFoundException":
            return fault(f"{repository} has no image {tag}", build)
        raise
    if detail.get("imageStatus", "ACTIVE") != "ACTIVE":
        return fault(f"{repository}:{tag} is archived: it can't be pulled",
                     f"aws ecr update-image-storage-class --target-storage-class STANDARD --repository-name {repository} --image-id imageTag={tag}")
    built = _processors(case, repository, tag)
    wanted = _CONTAINER[case.architecture]
    if built is None:
        return unknown(f"{repository}:{tag} is there; for which processor, its manifest does not say", "docker manifest inspect --verbose "
                       f"{registry}/{repository}:{tag}")
    if wanted not in built:
        return fault(f"{repository}:{tag} is built for {', '.join(sorted(built))}, and the stack is {case.architecture}: no machine would come up",
                     f"{anew}\n# or deploy with Architecture={'arm64' if wanted == 'amd64' else 'x86_64'} and instance types of it")
    return fine(f"{repository}:{tag} is there, for {', '.join(sorted(built))}")


def _processors(case, repository, tag):
    """The architectures that the image is for."""
    accepted = [*_INDEXES, "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"]
    image = case.aws("ecr", "batch-get-image", "--repository-name", repository, "--image-ids", f"imageTag={tag}",
                     "--accepted-media-types", *accepted)["images"][0]
    manifest = json.loads(image["imageManifest"])
    if "manifests" in manifest:
        # Attestations are listed beside images, for no processor.
        named = {entry.get("platform", {}).get("architecture") for entry in manifest["manifests"]}
        return named - {None, "unknown"} or None
    if "config" not in manifest:
        return None
    address = case.aws("ecr", "get-download-url-for-layer", "--repository-name", repository,
                       "--layer-digest", manifest["config"]["digest"])["downloadUrl"]
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return {json.load(answer)["architecture"]}
    except (OSError, ValueError, KeyError):
        return None
