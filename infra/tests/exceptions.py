"""Scans the templates with checkov: nothing may fail, and every exception in them has to be one.

    python exceptions.py CHECKOV TEMPLATE...

checkov leaves out resources whose condition is not met by the parameters' defaults. So it is given each template twice: as
it is, and with every such parameter chosen the other way.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CHOSEN_OTHERWISE = [
    ('    Default: "false"\n', '    Default: "true"\n'),
    ("    Default: terminate-first\n", "    Default: launch-first\n"),
    ("    Default: beside-polybot\n", "    Default: own-instance\n"),
    ("  BudgetDollars:\n    Type: Number\n    Default: 0\n", "  BudgetDollars:\n    Type: Number\n    Default: 200\n"),
    ("  BudgetEmail:\n    Type: String\n    Default: \"\"\n", "  BudgetEmail:\n    Type: String\n    Default: someone@example.com\n"),
    ("  WorkerMin:\n    Type: Number\n    Default: 1\n", "  WorkerMin:\n    Type: Number\n    Default: 0\n"),
    ('  GitHubRepository:\n    Type: String\n    Default: ""\n',
     '  GitHubRepository:\n    Type: String\n    Default: someone/polybot\n'),
]


def exceptions(text):
    """(check, resource, reason) of each exception in a template."""
    resource = None
    for line in text.splitlines():
        if named := re.match(r"  (\w+):$", line):
            resource = named[1]
        elif exception := re.match(r"\s+# checkov:skip=(\w+):?(.*)", line):
            yield exception[1], resource, exception[2].strip()


def main(checkov, templates):
    written = {}
    with tempfile.TemporaryDirectory() as folder:
        for template in map(Path, templates):
            text = template.read_text()
            for check, resource, reason in exceptions(text):
                written[check, resource] = reason
            (Path(folder) / template.name).write_text(text)
            for default, other in CHOSEN_OTHERWISE:
                text = text.replace(default, other)
            (Path(folder) / f"other-{template.name}").write_text(text)
        scanned = subprocess.run([checkov, "--framework", "cloudformation", "--directory", folder, "--output", "json",
                                  "--skip-download"], capture_output=True, text=True, check=False)
    report = json.loads(scanned.stdout)
    results = report["results"]
    complaints = {f"{check['check_id']} {check['check_name']}: {check['resource']} at {check['file_path']}:"
                  f"{check['file_line_range'][0]}" for check in results["failed_checks"]}
    complaints |= {f"{name} can't be parsed" for name in results["parsing_errors"]}
    complaints |= {f"{check} of {resource}: an exception without a reason"
                   for (check, resource), reason in written.items() if len(reason) < 10}
    used = {(check["check_id"], check["resource"].split(".")[-1]) for check in results["skipped_checks"]}
    complaints |= {f"{check} of {resource}: an exception that excuses nothing; take it out"
                   for check, resource in set(written) - used}
    for complaint in sorted(complaints):
        print(complaint)
    passed = report["summary"]["passed"]
    print(f"{passed} checks passed, {len(results['failed_checks'])} failed, {len(written)} exceptions with their reasons")
    # A scan that scanned nothing is no success.
    sys.exit(1 if complaints or passed < 100 else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
