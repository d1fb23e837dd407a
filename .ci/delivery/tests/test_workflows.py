"""The rules that every workflow keeps."""

import re
import unittest

import yaml
from repository import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))


class Workflows(unittest.TestCase):
    def test_there_are_the_four(self):
        self.assertEqual([path.stem for path in WORKFLOWS], ["deploy", "images", "rollback", "test"])

    def test_each_keeps_the_rules(self):
        for path in WORKFLOWS:
            text = path.read_text()
            workflow = yaml.safe_load(text)
            with self.subTest(path.name):
                self.assertIn("# Permissions: ", text, "says which it takes")
                self.assertEqual(workflow["permissions"], {}, "nothing but what a job asks for")
                self.assertIn("concurrency", workflow)
                for action, release in re.findall(r"uses: ([^.\s]\S*)(.*)", text):
                    self.assertRegex(action, r"@[0-9a-f]{40}$")
                    self.assertRegex(release, r"^ # v\d+\.\d+\.\d+$")
                self.assertNotRegex(text, r"(?i)AWS_SECRET_ACCESS_KEY|aws-secret-access-key", "no long-lived keys")
            for name, job in workflow["jobs"].items():
                with self.subTest(f"{path.name}: {name}"):
                    self.assertIn("permissions", job)
                    # Who takes the role runs in the environment that the role trusts; nobody else gets a token.
                    self.assertEqual(job["permissions"].get("id-token") == "write", job.get("environment") == "production")
                    self.assertEqual(job["permissions"]["contents"], "read")
                    if "uses" not in job:
                        self.assertLessEqual(job["timeout-minutes"], 180)

    def test_changes_of_the_stack_wait_for_each_other(self):
        groups = {
            path.stem: yaml.safe_load(path.read_text())["concurrency"]
            for path in WORKFLOWS
            if path.stem in ("deploy", "rollback")
        }
        self.assertEqual(groups["deploy"], groups["rollback"])
        self.assertFalse(groups["deploy"]["cancel-in-progress"])


if __name__ == "__main__":
    unittest.main()
