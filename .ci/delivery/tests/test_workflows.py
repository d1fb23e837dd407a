"""The rules that every workflow keeps, and what the tests' lanes have to have."""

import json
import os
import re
import subprocess
import unittest

import yaml
from repository import ROOT

WORKFLOWS = {path.stem: path.read_text() for path in sorted((ROOT / ".github/workflows").glob("*.yaml"))}

# Who may do more than read, and what. All else is an error, a permission that nobody uses among them.
MORE = {
    ("images", "build"): {"id-token": "write"},
    ("images", "publish"): {"id-token": "write"},
    ("deploy", "plan"): {"id-token": "write"},
    ("deploy", "apply"): {"id-token": "write"},
    ("rollback", "rollback"): {"id-token": "write"},
    ("release", "attest"): {"id-token": "write", "attestations": "write"},
    ("release", "publish"): {"contents": "write"},
}


def jobs(workflow: str) -> dict:
    return yaml.safe_load(WORKFLOWS[workflow])["jobs"]


def uses(job: dict) -> list[str]:
    """The names of the actions that its steps take."""
    return [step["uses"].split("@")[0] for step in job.get("steps", []) if "uses" in step]


class Workflows(unittest.TestCase):
    def test_there_are_the_five(self):
        self.assertEqual(list(WORKFLOWS), ["deploy", "images", "release", "rollback", "test"])

    def test_each_keeps_the_rules(self):
        pins = {}
        for name, text in WORKFLOWS.items():
            workflow = yaml.safe_load(text)
            with self.subTest(name):
                self.assertIn("# Permissions: ", text, "says which it takes")
                self.assertEqual(workflow["permissions"], {}, "nothing but what a job asks for")
                # GitHub's lock drops who waits, and waits for approvals: changes of the stack have one of their own.
                self.assertEqual("concurrency" in workflow, name not in ("deploy", "rollback"))
                for action, commit, release in re.findall(r"uses: ([^.\s@]+)@?(\S*)(.*)", text):
                    self.assertRegex(commit, r"^[0-9a-f]{40}$")
                    self.assertRegex(release, r"^ # v\d+\.\d+\.\d+$")
                    self.assertEqual(pins.setdefault(action, (commit, release)), (commit, release), f"one {action} for all")
                self.assertEqual(text.count("actions/checkout@"), text.count("persist-credentials: false"))
                self.assertNotRegex(text, r"(?i)AWS_SECRET_ACCESS_KEY|aws-secret-access-key", "no long-lived keys")

    def test_each_job_may_do_what_it_has_to(self):
        for workflow in WORKFLOWS:
            for name, job in jobs(workflow).items():
                with self.subTest(f"{workflow}: {name}"):
                    more = MORE.get((workflow, name), {})
                    allowed = {"contents": "read"} | more if job["permissions"] else {}
                    self.assertEqual(job["permissions"], allowed)
                    # Who takes the role runs in the environment that the role trusts. The token of any other job opens no door.
                    takes_the_role = "aws-actions/configure-aws-credentials" in uses(job)
                    self.assertEqual(takes_the_role, job.get("environment") == "production")
                    if "id-token" in more:
                        self.assertNotEqual(takes_the_role, "actions/attest" in uses(job))
                    # A job that may write runs nothing that was fetched or built.
                    if workflow == "release" and more:
                        self.assertNotRegex(str(job), r"cargo|target/|container")
                    if "uses" not in job:
                        minutes = job["timeout-minutes"]
                        if minutes == "${{ matrix.minutes }}":
                            minutes = max(lane["minutes"] for lane in job["strategy"]["matrix"]["include"])
                        self.assertLessEqual(minutes, 120)

    def test_only_the_step_that_changes_the_stack_waits_for_others(self):
        """How it waits is tested in test_deploy.py."""
        for workflow in ("deploy", "rollback"):
            for name, job in jobs(workflow).items():
                with self.subTest(f"{workflow}: {name}"):
                    self.assertNotIn("concurrency", job)
                    # By .github/deploy/apply alone.
                    self.assertFalse([step for step in job["steps"] if "execute-change-set" in step.get("run", "")])


class Lanes(unittest.TestCase):
    LANES = jobs("test")["lane"]["strategy"]["matrix"]["include"]

    def steps(self, **wanted) -> list[str]:
        """What the lanes with these properties run."""
        return [
            step for lane in self.LANES if wanted.items() <= lane.items() for step in lane["steps"].split()
        ]

    def test_they_run_every_step_of_ci_run(self):
        listed = subprocess.run([ROOT / ".ci/run", "--list"], check=True, capture_output=True, text=True, timeout=60)
        steps = listed.stdout.split()
        self.assertGreater(len(steps), 5)
        self.assertEqual(set(self.steps()), set(steps))
        run = [step["run"] for step in jobs("test")["lane"]["steps"] if "run" in step]
        self.assertEqual(run, [".ci/run ${{ matrix.steps }}"])

    def test_the_unit_tests_run_where_the_images_are_built(self):
        runners = {build["runner"] for build in jobs("images")["build"]["strategy"]["matrix"]["include"]}
        self.assertEqual({lane.get("runner", "ubuntu-24.04") for lane in self.LANES if lane["steps"] == "unit"}, runners)
        self.assertEqual(self.steps(runner="ubuntu-24.04-arm"), ["unit"])

    def test_a_name_says_what_broke_and_a_cache_is_one_lanes_own(self):
        names = [lane["name"] for lane in self.LANES]
        self.assertEqual(len(names), len(set(names)))
        self.assertFalse(jobs("test")["lane"]["strategy"]["fail-fast"], "one red lane does not hide another")
        caches = [(lane["key"], lane.get("runner")) for lane in self.LANES]
        self.assertEqual(len(caches), len(set(caches)))
        cache = next(step for step in jobs("test")["lane"]["steps"] if "cache" in step.get("uses", ""))
        self.assertRegex(cache["with"]["key"], r"matrix\.key.*runner\.arch.*hashFiles\('Cargo\.\*'")

    def test_everything_asks_for_each_job_and_runs_in_any_case(self):
        everything = jobs("test")["everything"]
        self.assertEqual(set(everything["needs"]), jobs("test").keys() - {"everything"})
        self.assertEqual(everything["if"], "always()")

    def test_everything_passes_only_if_all_have_passed(self):
        [step] = jobs("test")["everything"]["steps"]
        self.assertEqual(step["env"], {"NEEDS": "${{ toJSON(needs) }}"})

        def passes(**results: str) -> bool:
            needs = json.dumps({job: {"result": result, "outputs": {}} for job, result in results.items()})
            command = ["bash", "-e", "-c", step["run"]]
            return subprocess.run(command, env={"NEEDS": needs, "PATH": os.environ["PATH"]}, capture_output=True).returncode == 0

        self.assertTrue(passes(lane="success", advisories="success"))
        for other in ("failure", "cancelled", "skipped"):
            self.assertFalse(passes(lane=other, advisories="success"), other)
            self.assertFalse(passes(lane="success", advisories=other), other)
        self.assertFalse(passes())

    def test_nothing_is_made_of_what_fails(self):
        for workflow, made in (("images", "build"), ("release", "attest")):
            self.assertEqual(jobs(workflow)["test"]["uses"], "./.github/workflows/test.yaml")
            self.assertIn("test", jobs(workflow)[made]["needs"])

    def test_cargo_deny_is_the_same_everywhere(self):
        versions = set(re.findall(r"cargo-deny --version ([\d.]+)", WORKFLOWS["test"]))
        versions |= set(re.findall(r"\bdeny=([\d.]+)", (ROOT / ".ci/run").read_text()))
        self.assertEqual(len(versions), 1, versions)
