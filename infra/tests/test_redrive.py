"""`infra/redrive` runs `polybot redrive` with the stack's own queue and table, by the stack's own image."""

import os
import subprocess
import sys
from pathlib import Path

import emulators
import pytest
from template import INFRA

# As docker: it writes down how it was called, and what it was given in its file of settings.
DOCKER = """#!/bin/bash
echo "docker $*" >> "$CALLS"
for argument in "$@"; do [ "${before:-}" != --env-file ] || cat "$argument" >> "$CALLS"; before=$argument; done
[ "$1" != login ] || cat > /dev/null
echo "$SQS_QUEUE_URL $DYNAMODB_TABLE" >> "$CALLS"
"""

# As `aws`; what version 1, which requirements.txt has, does not know is version 2's.
AWS = """#!/bin/bash
if [ "$1 $2" = "configure export-credentials" ]; then
  printf 'AWS_ACCESS_KEY_ID=%s\\nAWS_SECRET_ACCESS_KEY=%s\\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY"
else
  exec {aws} "$@"
fi
"""


@pytest.fixture
def redrive(moto_fleet, tmp_path):
    calls, programs = tmp_path / "calls", tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "aws").write_text(AWS.format(aws=Path(sys.executable).with_name("aws")))
    for program in programs.iterdir():
        program.chmod(0o755)

    def run(*arguments, **more):
        calls.write_text("")
        environment = {"PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "CALLS": str(calls),
                       "AWS_ACCESS_KEY_ID": emulators.ACCOUNT, "AWS_SECRET_ACCESS_KEY": "of-mine", "AWS_REGION": emulators.REGION,
                       "AWS_DEFAULT_REGION": emulators.REGION, "AWS_ENDPOINT_URL": moto_fleet.endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
        ran = subprocess.run([INFRA / "polybotctl", "redrive", *arguments], env=environment | more, capture_output=True, text=True, timeout=120)
        ran.calls = calls.read_text()
        return ran

    return run


def test_the_stack_s_own_image_queue_and_table(redrive, moto_fleet):
    ran = redrive("--stack", "fleet", "--dry-run")
    assert ran.returncode == 0, ran.stderr
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/polybot/polybot:v1"
    assert f"--env AWS_REGION=us-east-1 --env SQS_QUEUE_URL --env DYNAMODB_TABLE {image} redrive --dry-run" in ran.calls
    assert f"{moto_fleet.outputs['JobQueueUrl']} {moto_fleet.outputs['PredictionTableName']}" in ran.calls
    # The credentials come by the file, not by the command line.
    assert "AWS_SECRET_ACCESS_KEY=of-mine" in ran.calls and not [line for line in ran.calls.splitlines()
                                                                 if line.startswith("docker") and "of-mine" in line]


def test_another_program(redrive, moto_fleet):
    ran = redrive("--stack", "fleet", POLYBOT="docker polybot")
    assert ran.returncode == 0 and "docker polybot redrive\n" in ran.calls and "--env-file" not in ran.calls
    assert moto_fleet.outputs["PredictionTableName"] in ran.calls


def test_who_names_no_stack_or_none_that_is_there_is_told(redrive):
    assert redrive().returncode == 2 and redrive("--dry-run", "x").returncode == 2
    ran = redrive("--stack", "nobody")
    assert ran.returncode != 0 and ran.calls == ""
