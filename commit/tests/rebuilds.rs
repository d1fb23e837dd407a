//! A small project that uses the macro, compiled by the real cargo in real git checkouts: what it says, and what a commit
//! compiles again.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A package with a library and a program that prints its commit.
struct Project {
    root: PathBuf,
    target: PathBuf,
}

/// What compiling it came to.
#[derive(Debug, PartialEq, Eq)]
struct Built {
    /// What the program says.
    says: String,
    /// What was compiled and not found compiled, sorted.
    compiled: Vec<String>,
}

impl Project {
    fn new(root: PathBuf) -> Self {
        let project = Self { target: root.with_extension("target"), root };
        std::fs::create_dir_all(project.root.join("src")).expect("made");
        let manifest = format!(
            "[package]\nname = 'probe'\nedition = '2024'\n[dependencies]\ncommit = {{ path = '{}' }}\n[workspace]\n",
            env!("CARGO_MANIFEST_DIR")
        );
        for (path, text) in [
            ("Cargo.toml", manifest.as_str()),
            ("src/lib.rs", "pub const NAME: &str = \"probe\";\n"),
            ("src/main.rs", "fn main() {\n    println!(\"{} {}\", probe::NAME, commit::of_sources!());\n}\n"),
        ] {
            std::fs::write(project.root.join(path), text).expect("written");
        }
        project
    }

    /// A checkout with one commit.
    fn in_git(root: PathBuf) -> Self {
        let project = Self::new(root);
        project.git(&["init", "--quiet", "--initial-branch=main"]);
        project.git(&["add", "."]);
        project.commit();
        project
    }

    fn build(&self) -> Built {
        self.build_with(None)
    }

    fn build_with(&self, given: Option<&str>) -> Built {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "--quiet", "--message-format=json"]).current_dir(&self.root);
        cargo.env("CARGO_TARGET_DIR", &self.target).env_remove("POLYBOT_COMMIT");
        cargo.envs(given.map(|commit| ("POLYBOT_COMMIT", commit)));
        let output = cargo.output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let messages = output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let messages = messages.map(|line| serde_json::from_slice::<Value>(line).expect("JSON"));
        let artifacts =
            messages.filter(|message| message["reason"] == "compiler-artifact" && message["fresh"] == false);
        let name = |artifact: Value| format!("{} {}", artifact["target"]["kind"][0], artifact["target"]["name"]);
        let mut compiled: Vec<String> = artifacts.map(|artifact| name(artifact).replace('"', "")).collect();
        compiled.sort();
        let said = Command::new(self.target.join("debug/probe")).output().expect("it runs").stdout;
        let said = String::from_utf8(said).expect("text");
        let says = said.trim_end().strip_prefix("probe ").expect("its name").to_owned();
        Built { says, compiled }
    }

    fn git(&self, args: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.invalid"]).args(args).current_dir(&self.root);
        // Without the user's own configuration and that of a hook that runs this.
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for name in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_COMMON_DIR"] {
            git.env_remove(name);
        }
        let output = git.output().expect("git runs");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    fn commit(&self) {
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "A commit"]);
    }

    fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }
}

/// Compiled again: the program alone.
fn the_program_says(commit: String) -> Built {
    Built { says: commit, compiled: vec!["bin probe".into()] }
}

#[test]
fn a_commit_compiles_the_program_again_and_nothing_else() {
    let folder = tempfile::tempdir().expect("tempdir");
    let project = Project::in_git(folder.path().join("project"));
    let first = project.head();
    let everything = ["bin probe", "lib probe", "proc-macro commit"].map(str::to_owned).to_vec();
    assert_eq!(project.build(), Built { says: first.clone(), compiled: everything });
    assert_eq!(project.build(), Built { says: first.clone(), compiled: vec![] }, "nothing has changed");
    // What git does for itself may compile the program once more, and changes nothing that it says.
    project.git(&["status"]);
    project.git(&["gc", "--quiet"]);
    assert_eq!(project.build().says, first);
    assert_eq!(project.build().compiled, [""; 0]);

    // Its branch is packed now, and the commit makes it a file again; then one that changes the file.
    for _ in 0..2 {
        project.commit();
        assert_eq!(project.build(), the_program_says(project.head()));
    }
    let second = project.head();
    project.git(&["checkout", "--quiet", "--detach", &first]);
    assert_eq!(project.build(), the_program_says(first));
    project.git(&["checkout", "--quiet", "main"]);
    assert_eq!(project.build(), the_program_says(second));
}

#[test]
fn a_worktree_says_what_it_has_checked_out() {
    let folder = tempfile::tempdir().expect("tempdir");
    let project = Project::in_git(folder.path().join("project"));
    let root = folder.path().join("tree");
    project.git(&["worktree", "add", "--quiet", "-b", "side", root.to_str().expect("a path")]);
    let tree = Project { target: root.with_extension("target"), root };
    assert_eq!(tree.build().says, project.head());
    tree.commit();
    assert_eq!(tree.build(), the_program_says(tree.head()));
    // The other's commits are not its own.
    project.commit();
    assert_eq!(tree.build().compiled, [""; 0]);
}

#[test]
fn without_git_it_is_what_the_build_is_told_or_unknown() {
    let folder = tempfile::tempdir().expect("tempdir");
    let project = Project::new(folder.path().join("project"));
    assert_eq!(project.build().says, "unknown");
    assert_eq!(project.build_with(Some("1234")), the_program_says("1234".into()));
    assert_eq!(project.build_with(Some("")), the_program_says("unknown".into()));
    assert_eq!(project.build().says, "unknown");

    // In a checkout, too, the builder's own word counts.
    let checkout = Project::in_git(folder.path().join("checkout"));
    assert_eq!(checkout.build_with(Some("5678")).says, "5678");
    assert_eq!(checkout.build(), the_program_says(checkout.head()));
}

/// The project's own programs ask where a commit compiles least.
#[test]
fn only_the_programs_main_files_ask() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut asking = Vec::new();
    for folder in ["fleet", "metric-streamer", "polybot", "yolo-worker", "tools/flood", "tools/local"] {
        let mut folders = vec![root.join(folder).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs")
                    && std::fs::read_to_string(&path).expect("text").contains("commit::of_sources!")
                {
                    let path = path.strip_prefix(&root).expect("below").to_owned();
                    asking.push(path.to_string_lossy().into_owned());
                }
            }
        }
    }
    asking.sort();
    let programs = ["metric-streamer", "polybot", "tools/flood", "tools/local", "yolo-worker"];
    assert_eq!(asking, programs.map(|program| format!("{program}/src/main.rs")));
}
