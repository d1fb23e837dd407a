"""AWS, by the command line that who deploys has anyway: its credentials, its profile, its endpoints."""

import json
import re
import shlex
import subprocess


class AwsError(Exception):
    """A call that AWS refused, or that could not be made."""

    def __init__(self, command, code, message):
        super().__init__(f"`{command}` failed: {message}")
        self.command, self.code = command, code


def _process(command):
    """(exit code, standard output, standard error) of a command."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return ran.returncode, ran.stdout, ran.stderr


class Aws:
    """`aws` for one region."""

    def __init__(self, region, run=_process):
        self.region = region
        self._run = run

    def __call__(self, service, operation, *arguments, region=None):
        """What the operation answers, as JSON. Reads alone: every operation that is named in this folder describes, gets or lists
        (infra/tests/test_doctor.py sees to it), but for what `--photo` sends."""
        given = [service, operation, *map(str, arguments)]
        shown = shlex.join(["aws", *given])
        # Version 1 has no --no-cli-pager, and version 2 pages where nobody reads without AWS_PAGER= (set by __main__).
        try:
            code, out, error = self._run(["aws", *given, "--region", region or self.region, "--output", "json"])
        except FileNotFoundError:
            raise AwsError(shown, "NoAws", "there is no `aws` on the PATH: install AWS's command line") from None
        except subprocess.TimeoutExpired:
            raise AwsError(shown, "Timeout", "no answer within two minutes") from None
        if code == 0:
            return json.loads(out or "{}")
        said = " ".join(error.split())
        refused = re.search(r"An error occurred \((\w+(?:\.\w+)*)\) when calling the \w+ operation[^:]*: (.*)", said)
        if refused:
            raise AwsError(shown, refused[1], f"{refused[1]}: {refused[2]}")
        if "Invalid choice" in said or "invalid choice" in said:
            raise AwsError(shown, "TooOld", "this version of the AWS command line does not know the call: install a newer one")
        raise AwsError(shown, "Failed", said[-300:] or f"it ended with {code}")


def denied(error):
    """Whether the caller may not look."""
    return "AccessDenied" in error.code or "Unauthorized" in error.code or "Forbidden" in error.code
