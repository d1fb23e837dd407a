"""A photo, end to end: stored, queued, detected, recorded, and told to polybot. The one thing that writes."""

import datetime
import json
import secrets
import time
import uuid
from pathlib import Path

from .finding import fault, fine

# fleet/src/job.rs: the chat that nobody is in. The result is recorded and marked as told, and nobody hears of it.
NOBODY = 0
VERSION = 1


def send(case, path, chat, seconds, wait=2.0):
    """Does what polybot does with a photo from Telegram, and looks at its record until polybot was told."""
    identity = _uuid7()
    key = f"images/original/{identity}{Path(path).suffix.lower() or '.jpg'}"
    job = {"version": VERSION, "prediction_id": identity, "chat_id": chat, "message_id": 0, "image_key": key,
           "submitted_at": datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")}
    case.aws("s3api", "put-object", "--bucket", case.outputs["ImageBucketName"], "--key", key, "--body", path)
    case.aws("sqs", "send-message", "--queue-url", case.outputs["JobQueueUrl"], "--message-body", json.dumps(job))
    began = time.monotonic()
    done, record = None, {}
    while True:
        answer = case.aws("dynamodb", "get-item", "--table-name", case.outputs["PredictionTableName"], "--consistent-read",
                          "--key", json.dumps({"prediction_id": {"S": identity}}))
        record = answer.get("Item", {})
        status, told = record.get("status", {}).get("S"), "N" in record.get("delivered_at", {})
        passed = time.monotonic() - began
        if status in ("done", "failed") and done is None:
            done = passed
        if status == "failed" or told or passed > seconds:
            break
        time.sleep(wait)
    lines = f"for service in polybot yolo-worker; do aws logs tail /polybot/{case.stack}/$service --since 15m --filter-pattern '\"{identity}\"'; done"
    if status == "failed":
        yield fault(f"the photo {path} failed: {record.get('failure', {}).get('S', 'no reason recorded')}", lines)
    elif done is None:
        yield fault(f"nobody detected the photo within {seconds:g} s ({identity})",
                    f"{lines}\naws sqs get-queue-attributes --queue-url {case.outputs['JobQueueUrl']} --attribute-names All")
    elif not told:
        yield fault(f"the photo was detected after {done:.0f} s, and polybot did not hear of it within {seconds:g} s ({identity})", lines)
    else:
        found = len(record.get("labels", {}).get("L", []))
        yield fine(f"the photo {path} was detected after {done:.0f} s ({found} objects) and told after {passed:.0f} s ({identity})")


def _uuid7():
    """RFC 9562: milliseconds, then chance."""
    value = (int(time.time() * 1000) << 80) | (7 << 76) | (secrets.randbits(12) << 64) | (2 << 62) | secrets.randbits(62)
    return str(uuid.UUID(int=value))
