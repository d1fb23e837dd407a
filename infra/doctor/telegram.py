"""What Telegram says of the bot: whether the token is one, and whether its webhook works."""

import json
import os
import time
import urllib.error
import urllib.request

from .aws import AwsError, denied
from .finding import fault, fine, unknown, warning

_PUT = ("aws secretsmanager put-secret-value --secret-string file:///dev/stdin --secret-id {}   # type the token of @BotFather, then ctrl-d\n"
        "# then replace polybot's instances: docs/OPERATIONS.md, \"Change the bot's token\"")


def bot(case):
    """The token is a bot's, and serves where this stack has it serve."""
    try:
        token = _token(case)
    except AwsError as error:
        if not denied(error):
            raise
        yield unknown("the bot's token may not be read by you, so Telegram was not asked", "read -rs TELEGRAM_TOKEN; export TELEGRAM_TOKEN   # then again")
        return
    if not token:
        yield unknown("no token in the file, in TELEGRAM_TOKEN or in a stack, so Telegram was not asked",
                      "read -rs TELEGRAM_TOKEN; export TELEGRAM_TOKEN   # then again")
        return
    secret = case.physical("TelegramSecret")
    anew = _PUT.format(secret) if secret else "read -rs TELEGRAM_TOKEN; export TELEGRAM_TOKEN   # the token as @BotFather gives it; then again"
    try:
        me = _ask(token, "getMe")
        webhook = _ask(token, "getWebhookInfo")
    except urllib.error.HTTPError as error:
        if error.code in (401, 404):
            yield fault("Telegram does not know the token: it was revoked, or is mistyped", anew)
        else:
            yield unknown(f"Telegram answers {error.code}", "curl -s https://api.telegram.org/   # from here; then again")
        return
    except (OSError, ValueError) as error:
        # Never the address, which has the token in it.
        yield unknown(f"Telegram can't be asked: {getattr(error, 'reason', None) or type(error).__name__}", "curl -s https://api.telegram.org/")
        return
    name, address = f"@{me.get('username')}", webhook.get("url", "")
    expected = case.outputs.get("WebhookUrl")
    if not case.deployed:
        if address:
            yield warning(f"{name} serves at {address} now: the deploy takes it away from there" if not case.mini else
                          f"{name} has a webhook at {address}, and this stack asks: the other one has to go first",
                          f"# if that is a stack of yours: aws cloudformation delete-stack --stack-name …   # else another bot's token, of @BotFather")
        else:
            yield fine(f"the token is {name}'s, who serves nowhere else")
        return
    if expected is None:
        # mini.yaml asks Telegram.
        if address:
            yield fault(f"{name} has a webhook at {address}, and the stack {case.stack} asks for updates: it gets none",
                        "aws cloudformation delete-stack --stack-name …   # the other stack with this token")
        else:
            yield fine(f"{name} is asked for updates, and no webhook is in the way")
        return
    pending, told = webhook.get("pending_update_count", 0), webhook.get("last_error_message")
    recent = told and time.time() - webhook.get("last_error_date", 0) < 900
    logs = f"aws logs tail /polybot/{case.stack}/polybot --since 15m --filter-pattern '\"webhook\"'"
    replace = (f"aws autoscaling start-instance-refresh --auto-scaling-group-name {case.physical('PolybotGroup')}   # polybot sets it at its start")
    if address != expected:
        yield fault(f"{name}'s webhook is at {address or 'no address'}, and the stack serves {expected}", f"{logs}\n{replace}")
    elif recent:
        yield fault(f"Telegram can't deliver {name}'s updates to {expected}, {pending} wait: {told}",
                    "grep -A 20 '^### `webhook`' docs/OPERATIONS.md   # what each message means\n" + logs)
    elif pending > 100:
        yield warning(f"{pending} updates of {name} wait at Telegram", logs)
    else:
        yield fine(f"{name}'s webhook is {expected}; {pending} updates wait")


def _token(case):
    given = os.environ.get("TELEGRAM_TOKEN") or case.given.get("TelegramToken")
    if given or not case.deployed or not case.physical("TelegramSecret"):
        return given
    secret = case.aws("secretsmanager", "get-secret-value", "--secret-id", case.physical("TelegramSecret"))["SecretString"]
    try:
        return json.loads(secret)["TELEGRAM_TOKEN"]
    except (ValueError, TypeError, KeyError):
        # polybot takes a plain one, too.
        return secret.strip()


def _ask(token, method):
    base = os.environ.get("TELEGRAM_API_URL", "https://api.telegram.org").rstrip("/")
    with urllib.request.urlopen(f"{base}/bot{token}/{method}", timeout=20) as answer:
        return json.load(answer)["result"]
