"""The release workflow and its scripts. GitHub is the one thing in it that is not real: a `gh` that keeps releases in a folder."""

import hashlib
import os
import re
import shutil
import stat
import subprocess
import tarfile
import tempfile
import tomllib
import unittest
from pathlib import Path

import yaml
from repository import ROOT, SERVICES, read

PROGRAMS = ("local", *SERVICES)
ARCHITECTURES = {"x86_64": "ubuntu-24.04", "aarch64": "ubuntu-24.04-arm"}
RELEASE = yaml.safe_load(read(".github/workflows/release.yaml"))
JOBS = RELEASE["jobs"]
VERSION = tomllib.loads(read("Cargo.toml"))["workspace"]["package"]["version"]


def commands(job: str) -> str:
    return "\n".join(step.get("run", "") for step in JOBS[job]["steps"])


def matrix(job: str) -> dict[str, str]:
    """The runner of each architecture."""
    include = JOBS[job]["strategy"]["matrix"]["include"]
    return {entry["target"].removesuffix("-unknown-linux-gnu"): entry["runner"] for entry in include}


class Workflow(unittest.TestCase):
    def test_a_tag_starts_it_and_a_rehearsal_publishes_nothing(self):
        self.assertEqual(RELEASE[True], {"push": {"tags": ["v*"]}, "workflow_dispatch": None})
        self.assertEqual(JOBS["attest"]["if"], "github.event_name == 'push'")
        self.assertIn("attest", JOBS["publish"]["needs"])

    def test_the_tag_is_held_against_the_version_before_all_else(self):
        step = next(step for step in JOBS["version"]["steps"] if step.get("id") == "version")
        self.assertIn("github.ref_name", step["env"]["TAG"])
        self.assertEqual(step["run"], '.github/release/version ${TAG:+"$TAG"}')
        for name, job in JOBS.items():
            if name != "version":
                self.assertIn("version", job["needs"] if isinstance(job["needs"], list) else [job["needs"]])

    def test_the_four_programs_are_built_for_both_architectures_as_operators_get_them(self):
        self.assertEqual(matrix("build"), ARCHITECTURES)
        packages = " ".join(f"-p {program}" for program in PROGRAMS)
        self.assertIn(f"cargo build --profile dist --locked {packages}\n", commands("build"))
        self.assertIs(tomllib.loads(read("Cargo.toml"))["profile"]["dist"]["strip"], True)
        self.assertEqual(JOBS["build"]["env"]["POLYBOT_COMMIT"], "${{ github.sha }}")
        for program in PROGRAMS:
            manifest = "tools/local" if program == "local" else program
            self.assertEqual(tomllib.loads(read(f"{manifest}/Cargo.toml"))["package"]["name"], program)
        self.assertNotIn("cache@", read(".github/workflows/release.yaml"))

    def test_the_compiler_is_the_one_that_the_workspace_asks_for(self):
        wanted = tomllib.loads(read("Cargo.toml"))["workspace"]["package"]["rust-version"]
        self.assertEqual(JOBS["build"]["container"], f"rust:{wanted}-bookworm")

    def test_what_is_published_was_tried_on_both_signed_and_has_a_bill_of_materials(self):
        self.assertEqual(matrix("try"), ARCHITECTURES)
        self.assertLessEqual({"test", "try"}, set(JOBS["attest"]["needs"]))
        for job in ("build", "try"):
            self.assertIn(".github/release/try", commands(job))
        signed = [step["with"] for step in JOBS["attest"]["steps"] if "actions/attest@" in step.get("uses", "")]
        self.assertIn({"subject-checksums": "out/SHA256SUMS"}, signed)
        for architecture in ARCHITECTURES:
            packed = f"out/${{{{ env.PACKED }}}}-{architecture}-unknown-linux-gnu"
            self.assertIn({"subject-path": f"{packed}.tar.gz", "sbom-path": f"{packed}.cdx.json"}, signed)

    def test_tools_are_pinned(self):
        installs = re.findall(r"cargo install .*", read(".github/workflows/release.yaml"))
        self.assertEqual(len(installs), 1)
        for install in installs:
            self.assertRegex(install, r" --version \d+\.\d+\.\d+ --locked")


class Scripts(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def run_script(self, script: Path | str, *arguments: Path | str, **environment: str) -> subprocess.CompletedProcess:
        command = [ROOT / ".github/release" / script, *arguments]
        environment = {key: value for key, value in os.environ.items() if key != "GITHUB_OUTPUT"} | environment
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    def assert_refused(self, result: subprocess.CompletedProcess, why: str):
        self.assertNotEqual(result.returncode, 0, result.stdout)
        self.assertIn(why, result.stderr)


class Versions(Scripts):
    def repository(self, changelog: str) -> Path:
        """A repository of version 1.2.3 with this changelog; its script."""
        shutil.copytree(ROOT / ".github/release", self.folder / ".github/release", dirs_exist_ok=True)
        (self.folder / "Cargo.toml").write_text(
            '[workspace]\nmembers = []\n\n[workspace.package]\nversion = "1.2.3"\n\n[workspace.dependencies]\nversion = "9"\n'
        )
        (self.folder / "CHANGELOG.md").write_text(changelog)
        git = ["git", "-C", self.folder, "-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run([*git, "init", "--quiet"], check=True)
        subprocess.run([*git, "add", "."], check=True)
        date = {"GIT_COMMITTER_DATE": "1700000000 +0000"}
        subprocess.run([*git, "commit", "--quiet", "--message", "m"], check=True, env={**os.environ, **date})
        return self.folder / ".github/release/version"

    READY = "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-01-02\n\n### Added\n\n- Much.\n\n## [1.2.2] - 2026-01-01\n\n- Old.\n"

    def test_the_tag_that_is_the_version_passes(self):
        output = self.folder / "output"
        result = self.run_script(self.repository(self.READY), "v1.2.3", GITHUB_OUTPUT=str(output))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, "version=1.2.3\ncommit-time=1700000000\n")
        self.assertEqual(output.read_text(), result.stdout)

    def test_any_other_tag_is_refused(self):
        script = self.repository(self.READY)
        for tag in ("v1.2.4", "1.2.3", "v1.2.3-rc.1", "v9"):
            self.assert_refused(self.run_script(script, tag), f"the tag is {tag}, and Cargo.toml says 1.2.3")

    def test_a_version_that_the_changelog_does_not_tell_of_is_refused(self):
        for changelog in (self.READY.replace("[1.2.3]", "[1.2.30]"), self.READY.replace("### Added\n\n- Much.\n", "")):
            self.assert_refused(self.run_script(self.repository(changelog), "v1.2.3"), "no section [1.2.3]")

    def test_changes_that_no_version_tells_of_are_refused(self):
        changelog = self.READY.replace("[Unreleased]\n", "[Unreleased]\n\n- Something.\n")
        self.assert_refused(self.run_script(self.repository(changelog), "v1.2.3"), "move them to [1.2.3]")

    def test_a_rehearsal_needs_none_of_it(self):
        result = self.run_script(self.repository("# Changelog\n"))
        self.assertEqual(result.stdout, "version=1.2.3\ncommit-time=1700000000\n")

    def test_the_notes_are_the_versions_section_alone(self):
        self.repository(self.READY)
        notes = self.run_script(self.folder / ".github/release/notes", "1.2.3")
        self.assertEqual(notes.stdout, "### Added\n\n- Much.\n")

    def test_this_repository_tells_of_its_versions(self):
        self.assertIn(f"version={VERSION}\n", self.run_script("version").stdout)
        titles = re.findall(r"^## (.*)", read("CHANGELOG.md"), flags=re.MULTILINE)
        self.assertEqual(titles[0], "[Unreleased]")
        for title in titles[1:]:
            self.assertRegex(title, r"^\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}$")
        self.assertIn(f"[{VERSION}]", "".join(titles))
        self.assertNotIn("## [", self.run_script("notes", VERSION).stdout)


class Packing(Scripts):
    # Stands for a program: something that somebody else has compiled, for old systems.
    COMPILED = Path(yaml._yaml.__file__)

    def programs(self, strip: bool = True, changes: dict[bytes, bytes] | None = None) -> Path:
        """The folder with the four programs; with these bytes of theirs changed."""
        folder = self.folder / "programs"
        folder.mkdir()
        program = folder / PROGRAMS[0]
        shutil.copy(self.COMPILED, program)
        if strip:
            subprocess.run(["strip", program], check=True)
        for old, new in (changes or {}).items():
            self.assertIn(old, program.read_bytes())
            program.write_bytes(program.read_bytes().replace(old, new))
        for other in PROGRAMS[1:]:
            shutil.copy(program, folder / other)
        return folder

    def pack(self, programs: Path, out: str = "out") -> subprocess.CompletedProcess:
        others = self.folder / "others"
        others.write_text("who else's work it is\n")
        packed = ("1.2.3", "x86_64-unknown-linux-gnu", others, self.folder / out)
        return self.run_script("pack", programs, *packed, SOURCE_DATE_EPOCH="1700000000")

    def test_an_archive_has_the_programs_and_all_licences(self):
        result = self.pack(self.programs())
        self.assertEqual(result.returncode, 0, result.stderr)
        name = "polybot-1.2.3-x86_64-unknown-linux-gnu"
        with tarfile.open(self.folder / f"out/{name}.tar.gz") as archive:
            members = {member.name.removeprefix(f"{name}/"): member for member in archive.getmembers() if member.isfile()}
            texts = {"README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "DejaVuSans-Bold.LICENSE", "THIRD-PARTY.txt"}
            self.assertEqual(members.keys(), {*PROGRAMS, *texts})
            for path, member in members.items():
                self.assertEqual(member.mode, 0o755 if path in PROGRAMS else 0o644, path)
                self.assertEqual((member.uid, member.gid, member.mtime), (0, 0, 1700000000), path)
            self.assertEqual(archive.extractfile(members["THIRD-PARTY.txt"]).read(), b"who else's work it is\n")

    def test_the_same_files_make_the_same_archive(self):
        programs = self.programs()
        sums = set()
        for out in ("one", "two"):
            self.pack(programs, out)
            [archive] = (self.folder / out).iterdir()
            sums.add(hashlib.sha256(archive.read_bytes()).hexdigest())
            for program in programs.iterdir():
                os.utime(program, (0, 0))
        self.assertEqual(len(sums), 1)

    def test_a_program_that_is_not_stripped_is_refused(self):
        self.assert_refused(self.pack(self.programs(strip=False)), "is not stripped")

    def test_a_program_for_newer_systems_only_is_refused(self):
        asked = re.search(rb"\0GLIBC_2\.\d\d\0", self.COMPILED.read_bytes())[0]
        programs = self.programs(changes={asked: b"\0GLIBC_2.99\0"})
        self.assert_refused(self.pack(programs), "needs GLIBC_2.99; 2.35 is promised")

    def test_a_program_that_is_not_there_is_an_error(self):
        programs = self.programs()
        (programs / "yolo-worker").unlink()
        self.assertNotEqual(self.pack(programs).returncode, 0)


class Licences(Scripts):
    def test_what_is_in_the_programs_is_named_with_its_terms(self):
        printed = {}
        for architecture in ARCHITECTURES:
            result = self.run_script("third-party", f"{architecture}-unknown-linux-gnu")
            self.assertEqual(result.returncode, 0, result.stderr)
            printed[architecture] = result.stdout
        locked = {package["name"]: package for package in tomllib.loads(read("Cargo.lock"))["package"]}
        for text in printed.values():
            for name in ("tokio", "tract-onnx", "teloxide", "colored"):
                self.assertIn(f"\n{name} {locked[name]['version']} (", text)
            self.assertIn("Mozilla Public License Version 2.0", text)
            self.assertIn("Permission is hereby granted, free of charge", text)
            # Of nobody's programs: a tool of the tests, and our own.
            self.assertNotRegex(text, r"\n(fantoccini|proptest|polybot|fleet) \d")


# What `try` starts. The real ones take half an hour to build; the workflow tries those.
PROGRAM = """#!/bin/sh
case $1 in
  --version) echo "$(basename "$0") 1.2.3 (commit {commit})" ;;
  detect) [ -e "$2" ] && echo "I see 1 cat." && echo photo > "$4" ;;
esac
"""


class Trying(Scripts):
    COMMIT = "0123456789" * 4

    def archive(self, **files: str | None) -> Path:
        """A packed release; with these files other than usual, or not there."""
        root = self.folder / "polybot-1.2.3-x"
        root.mkdir()
        program = PROGRAM.replace("{commit}", self.COMMIT)
        texts = ("README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "DejaVuSans-Bold.LICENSE", "THIRD-PARTY.txt")
        for name, text in {**dict.fromkeys(PROGRAMS, program), **dict.fromkeys(texts, "text"), **files}.items():
            if text is not None:
                (root / name).write_text(text)
                (root / name).chmod(0o755)
        packed = self.folder / "packed.tar.gz"
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(root, root.name)
        return packed

    def attempt(self, archive: Path) -> subprocess.CompletedProcess:
        return self.run_script("try", archive, "1.2.3", self.COMMIT, ROOT / "tests/photos/chelsea.png")

    def test_what_works_passes(self):
        result = self.attempt(self.archive())
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.count(f" 1.2.3 (commit {self.COMMIT})\n"), 4)
        self.assertTrue(result.stdout.endswith("\nI see 1 cat.\n"))

    def test_a_program_of_another_version_or_commit_is_refused(self):
        for said in (f"polybot 1.2.4 (commit {self.COMMIT})", "polybot 1.2.3 (commit unknown)", "polybot 1.2.3"):
            with self.subTest(said):
                archive = self.archive(polybot=f"#!/bin/sh\necho '{said}'\n")
                self.assert_refused(self.attempt(archive), "polybot does not say that it is 1.2.3")
                shutil.rmtree(self.folder / "polybot-1.2.3-x")

    def test_a_program_that_does_not_start_is_refused(self):
        self.assertNotEqual(self.attempt(self.archive(local="#!/bin/sh\nexit 127\n")).returncode, 0)

    def test_no_answer_is_refused(self):
        silent = PROGRAM.replace("I see 1 cat.", "Something went wrong.").replace("{commit}", self.COMMIT)
        self.assert_refused(self.attempt(self.archive(local=silent)), "that is no answer")

    def test_an_archive_without_the_licences_is_refused(self):
        self.assert_refused(self.attempt(self.archive(**{"THIRD-PARTY.txt": None})), "has no THIRD-PARTY.txt")


# As much of `gh release` as the script uses. A release is a folder: `draft` is there as long as it is one, its files in `assets`.
GH = """#!/bin/bash
echo "$*" >> "$GITHUB/calls"
verb=$2 tag=$3
release=$GITHUB/releases/$tag
case $verb in
  view)
    [ -d "$release" ] || { echo "release not found" >&2; exit 1; }
    case $5 in
      isDraft) [ -e "$release/draft" ] && echo true || echo false ;;
      assets) ls "$release/assets" ;;
    esac
    ;;
  create)
    mkdir -p "$release/assets"
    shift 3
    while [ $# -gt 0 ]; do
      case $1 in
        --draft) touch "$release/draft" ;;
        --title) echo "$2" > "$release/title"; shift ;;
        --notes-file) cp "$2" "$release/notes"; shift ;;
        --*) ;;
        *) [ "${1##*/}" = "$LOSE" ] || cp "$1" "$release/assets" ;;
      esac
      shift
    done
    ;;
  edit) rm "$release/draft" ;;
  delete) rm -r "$release" ;;
esac
"""


class Publishing(Scripts):
    def setUp(self):
        super().setUp()
        gh = self.folder / "bin/gh"
        gh.parent.mkdir()
        gh.write_text(GH)
        gh.chmod(gh.stat().st_mode | stat.S_IXUSR)
        self.files = [self.folder / name for name in ("polybot-1.2.3-x.tar.gz", "SHA256SUMS")]
        for path in [*self.files, self.folder / "notes.md"]:
            path.write_text(path.name)
        self.releases = self.folder / "releases"

    def publish(self, tag: str = "v1.2.3", **environment: str) -> subprocess.CompletedProcess:
        environment |= {"GITHUB": str(self.folder), "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        return self.run_script("publish", tag, self.folder / "notes.md", *self.files, **environment)

    def calls(self) -> list[str]:
        """What was asked for, in order, without what was only looked at."""
        calls = [line.split() for line in (self.folder / "calls").read_text().splitlines()]
        return [call[1] for call in calls if call[1] != "view"]

    def test_a_release_is_a_draft_until_all_is_there(self):
        result = self.publish()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.calls(), ["create", "edit"])
        [create] = [line for line in (self.folder / "calls").read_text().splitlines() if " create " in line]
        self.assertIn(" --verify-tag --draft --title Polybot 1.2.3 ", create)
        release = self.releases / "v1.2.3"
        self.assertFalse((release / "draft").exists())
        self.assertEqual((release / "notes").read_text(), "notes.md")
        self.assertEqual({path.name for path in (release / "assets").iterdir()}, {path.name for path in self.files})

    def test_what_has_not_all_files_stays_a_draft(self):
        self.assert_refused(self.publish(LOSE="SHA256SUMS"), "has not all files")
        self.assertTrue((self.releases / "v1.2.3/draft").exists())
        # And the next try is not stopped by what this one left.
        self.assertEqual(self.publish().returncode, 0)
        self.assertEqual(self.calls(), ["create", "delete", "create", "edit"])

    def test_what_people_have_is_not_touched(self):
        self.assertEqual(self.publish().returncode, 0)
        self.assert_refused(self.publish(), "v1.2.3 is released already")
        self.assertEqual(self.calls(), ["create", "edit"])

    def test_a_version_with_a_hyphen_is_not_for_everybody_yet(self):
        self.assertEqual(self.publish("v1.2.3-rc.1").returncode, 0)
        self.assertIn(" --prerelease ", (self.folder / "calls").read_text())
