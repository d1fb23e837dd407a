"""Whether GitHub's workflows get the role: the form of their tokens, and the account's identity provider."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request

from .finding import fault, fine, unknown, warning

ISSUER = "token.actions.githubusercontent.com"
# https://github.blog/changelog/2026-04-23-immutable-subject-claims-for-github-actions-oidc-tokens/
NUMBERED_SINCE = "2026-07-15"


def subject(case):
    """What the role trusts is what the repository's tokens say."""
    found = case.bootstrap_description
    if found is None:
        yield fault(f"there is no stack {case.bootstrap}, which has the repositories and the bucket",
                    f"aws cloudformation deploy --stack-name {case.bootstrap} --template-file infra/bootstrap.yaml --capabilities CAPABILITY_IAM")
        return
    chosen = {parameter["ParameterKey"]: parameter.get("ParameterValue", "") for parameter in found.get("Parameters", [])}
    repository = chosen.get("GitHubRepository")
    if not repository:
        yield fine(f"{case.bootstrap} lets no pipeline in: images and deploys are by hand")
        return
    listed = case.aws("cloudformation", "list-stack-resources", "--stack-name", case.bootstrap)["StackResourceSummaries"]
    role = next((resource["PhysicalResourceId"] for resource in listed if resource["LogicalResourceId"] == "PipelineRole"), None)
    if role is None:
        yield fault(f"{case.bootstrap} has no PipelineRole, though GitHubRepository is {repository}", _bootstrap(case, ""))
        return
    statements = _statements(case.aws("iam", "get-role", "--role-name", role)["Role"]["AssumeRolePolicyDocument"])
    trusted = {value for statement in statements for value in _values(statement, f"{ISSUER}:sub")}
    providers = case.aws("iam", "list-open-id-connect-providers")["OpenIDConnectProviderList"]
    if not any(provider["Arn"].endswith(f"/{ISSUER}") for provider in providers):
        yield fault("the account does not know GitHub's tokens: the identity provider is gone",
                    _bootstrap(case, f"GitHubProviderArn=$(aws iam create-open-id-connect-provider --url https://{ISSUER} "
                                     "--client-id-list sts.amazonaws.com --query OpenIDConnectProviderArn --output text)"))
    try:
        known = _ask(repository)
    except urllib.error.HTTPError as error:
        look = f"gh api repos/{repository} --jq '[.full_name, .owner.id, .id, .created_at]'"
        if error.code == 404:
            yield unknown(f"GitHub shows no repository {repository} (private, or gone); GITHUB_TOKEN in the environment lets me see it", look)
        else:
            yield unknown(f"GitHub answers {error.code} for {repository}", look)
        return
    except (OSError, ValueError) as error:
        yield unknown(f"GitHub can't be asked about {repository}: {error}", f"gh api repos/{repository}")
        return
    owner, _, name = known["full_name"].partition("/")
    environment = chosen.get("GitHubEnvironment") or "production"
    numbered = f"repo:{owner}@{known['owner']['id']}/{name}@{known['id']}:environment:{environment}"
    named = f"repo:{owner}/{name}:environment:{environment}"
    numbers = f"GitHubOwnerId={known['owner']['id']} GitHubRepositoryId={known['id']}"
    moved = known["full_name"].lower() != repository.lower()
    if numbered in trusted:
        yield fine(f"the pipeline's role trusts {numbered}")
        if known["created_at"] < NUMBERED_SINCE and not moved:
            yield warning(f"{repository} is older than {NUMBERED_SINCE}: its tokens have numbers only if it was renamed, transferred or switched "
                          "since", f"gh api repos/{repository}/actions/oidc/customization/sub")
    elif moved:
        yield fault(f"{repository} is {known['full_name']} now, and sends {numbered}; the role trusts {', '.join(trusted) or 'nobody'}",
                    _bootstrap(case, f"GitHubRepository={known['full_name']} {numbers}"))
    elif known["created_at"] >= NUMBERED_SINCE:
        yield fault(f"{repository} was made on {known['created_at'][:10]} and sends {numbered}; the role trusts {', '.join(trusted) or 'nobody'}: "
                    "every workflow is refused", _bootstrap(case, numbers))
    elif named in trusted:
        yield fine(f"the pipeline's role trusts {named}, as a repository of {known['created_at'][:10]} sends it")
    else:
        yield fault(f"{repository} sends {named}; the role trusts {', '.join(trusted) or 'nobody'}", _bootstrap(case, "GitHubOwnerId= GitHubRepositoryId="))


def _bootstrap(case, change):
    return (f"aws cloudformation deploy --stack-name {case.bootstrap} --template-file infra/bootstrap.yaml --capabilities CAPABILITY_IAM "
            f"--parameter-overrides {change}").removesuffix(" --parameter-overrides ")


def _statements(document):
    document = json.loads(urllib.parse.unquote(document)) if isinstance(document, str) else document
    return document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]


def _values(statement, key):
    found = statement.get("Condition", {}).get("StringEquals", {}).get(key, [])
    return [found] if isinstance(found, str) else found


def _ask(repository):
    # The variable is GitHub's own, for its programs.
    base = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    request = urllib.request.Request(f"{base}/repos/{repository}", headers={"Accept": "application/vnd.github+json"})
    if token := os.environ.get("GITHUB_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)
