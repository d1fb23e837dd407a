"""What hadolint can't know about the Dockerfiles: that they agree with each other and with the workspace."""

import re
import tomllib
import unittest

import yaml
from repository import ROOT, SERVICES, read, settings

SHARED_FROM = "# ---- The same in all three files"
SHARED_TO = "# ---- From here on this image's own."


class Images(unittest.TestCase):
    def test_the_shared_stages_are_the_same(self):
        shared = set()
        for service in SERVICES:
            text = read(f"Dockerfiles/{service}.Dockerfile")
            shared.add(text[text.index(SHARED_FROM) : text.index(SHARED_TO)])
        self.assertEqual(len(shared), 1, "the stages up to `build` differ, so each image would compile everything again")

    def test_all_services_and_the_profile_are_built(self):
        text = read("Dockerfiles/polybot.Dockerfile")
        packages = " ".join(f"-p {service}" for service in SERVICES)
        self.assertIn(f"cargo chef cook --profile dist --locked {packages}\n", text)
        self.assertIn(f"cargo build --profile dist --locked {packages}\n", text)
        self.assertIn("dist", tomllib.loads(read("Cargo.toml"))["profile"])

    def test_the_compiler_is_the_one_that_the_workspace_asks_for(self):
        version = tomllib.loads(read("Cargo.toml"))["workspace"]["package"]["rust-version"]
        for path in [f"Dockerfiles/{service}.Dockerfile" for service in SERVICES] + [".github/workflows/test.yaml"]:
            for found in re.findall(r"rust:([0-9.]+)-", read(path)):
                self.assertEqual(found, version, path)

    def test_the_context_has_every_member_of_the_workspace(self):
        allowed = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
        members = tomllib.loads(read("Cargo.toml"))["workspace"]["members"]
        self.assertLessEqual({member.split("/")[0] for member in members} | {"Cargo.toml", "Cargo.lock"}, allowed)

    def test_each_program_knows_its_commit_and_dependencies_are_kept_over_commits(self):
        builds = [
            step
            for step in yaml.safe_load(read(".github/workflows/images.yaml"))["jobs"]["build"]["steps"]
            if step.get("uses", "").startswith("docker/build-push-action@")
        ]
        self.assertEqual(len(builds), len(SERVICES))
        for step in builds:
            # The same for all: else the stages that they share are built for each.
            self.assertIn("POLYBOT_COMMIT=${{ github.sha }}", step["with"]["build-args"].splitlines())
        text = read("Dockerfiles/polybot.Dockerfile")
        cook, argument, build = (text.index(part) for part in ("RUN cargo chef cook", "ARG POLYBOT_COMMIT", "RUN cargo build"))
        self.assertTrue(cook < argument < build)

    def test_each_final_image_is_fit_for_production(self):
        for service in SERVICES:
            with self.subTest(service):
                stages = re.split(r"^FROM ", read(f"Dockerfiles/{service}.Dockerfile"), flags=re.MULTILINE)
                final = stages[-1]
                self.assertTrue(final.startswith("scratch\n"))
                self.assertIn("\nUSER 65532:65532\n", final)
                self.assertIn(f'\nENTRYPOINT ["/{service}"]\n', final)
                self.assertRegex(final, rf'\nHEALTHCHECK .*CMD \["/{service}", "healthcheck"\]\n')
                self.assertNotRegex(final, r"(?i)TOKEN|SECRET|PASSWORD")
                port = settings(service)["LISTEN_ADDR"]["default"].removeprefix("0.0.0.0:")
                self.assertIn(f"\nEXPOSE {port}\n", final)

    def test_the_baked_model_is_known(self):
        models = tomllib.loads(read("models/models.toml"))
        for model in re.findall(r"^ARG MODEL=(\S+)$", read("Dockerfiles/yolo-worker.Dockerfile"), flags=re.MULTILINE):
            self.assertIn(model, models)
        self.assertTrue((ROOT / "models/src/fetch.rs").is_file())
