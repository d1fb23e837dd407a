//! No module of this workspace uses in a circle what uses it; and a planted circle is found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::Context;
use imports::{Program, circles};

fn root() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().context("can't find the project's folder")
}

/// What cargo compiles of the workspace's packages: the first file of each library, program, test, benchmark and example.
fn roots() -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    let cargo = cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1"]).current_dir(root()?);
    let output = cargo.output().context("can't start `cargo metadata`")?;
    let problem = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "`cargo metadata` failed: {problem}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let file = |target: &serde_json::Value| {
        let path = target["src_path"].as_str().context("a target has a file")?;
        // `tests` is a link in one package.
        Ok(Path::new(path).canonicalize()?)
    };
    targets.map(file).collect()
}

static PROGRAMS: LazyLock<Vec<Program>> = LazyLock::new(|| {
    let read = || roots()?.iter().map(|root| Program::read(root)).collect::<anyhow::Result<_>>();
    read().expect("every source file can be read")
});

fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

#[test]
fn no_module_uses_in_a_circle_what_uses_it() -> anyhow::Result<()> {
    let here = format!("{}/", root()?.display());
    let mut found = Vec::new();
    for program in PROGRAMS.iter() {
        found.extend(circles(&program.uses()).iter().map(|circle| circle.to_string().replace(&here, "")));
    }
    let found = found.join("\n");
    assert!(found.is_empty(), "move what both need into a module that uses neither, or into their parent\n{found}");
    Ok(())
}

#[test]
fn every_source_file_is_looked_at() -> anyhow::Result<()> {
    let seen: BTreeSet<PathBuf> = PROGRAMS.iter().flat_map(Program::files).cloned().collect();
    let libraries = roots()?.into_iter().filter(|root| root.ends_with("src/lib.rs"));
    let mut count = 0;
    for library in libraries {
        for file in rust_files(library.parent().context("a file is in a folder")?)? {
            assert!(seen.contains(&file), "no `mod` leads to {}", file.display());
            count += 1;
        }
    }
    assert!(count > 100, "only {count} files were found");
    Ok(())
}

/// The circles of a program of these files, of which the first is its root.
fn circles_of(files: &[(&str, &str)]) -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    for (name, text) in files {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
        std::fs::write(file, text)?;
    }
    let program = Program::read(&folder.path().join(files[0].0))?;
    let here = format!("{}/", folder.path().display());
    let uses = program.uses();
    Ok(circles(&uses).iter().map(|circle| circle.to_string().replace(&here, "")).collect())
}

#[test]
fn a_circle_is_told_with_its_lines() -> anyhow::Result<()> {
    let files = [
        ("lib.rs", "mod queue;\nmod worker;\n"),
        ("queue.rs", "//! Jobs.\n\nuse crate::worker::Worker;\n\npub struct Queue(Worker);\n"),
        ("worker/mod.rs", "mod heart;\n\npub struct Worker;\n"),
        ("worker/heart.rs", "pub fn beat() {\n    let _ = super::super::queue::Queue::new();\n}\n"),
    ];
    let expected = "in crate:\n  queue uses worker, at queue.rs:3 as crate::worker::Worker\n  \
                    worker uses queue, at worker/heart.rs:2 as super::super::queue::Queue::new";
    assert_eq!(circles_of(&files)?, [expected]);
    Ok(())
}

#[test]
fn a_circle_of_three_below_a_module_is_one_circle() -> anyhow::Result<()> {
    let files = [
        ("main.rs", "mod outer;"),
        ("outer.rs", "mod a; mod b; mod c; mod d;"),
        ("outer/a.rs", "use super::{b::B, d::D}; pub struct A;"),
        ("outer/b.rs", "use crate::outer::{self, c::C}; pub struct B;"),
        ("outer/c.rs", "pub struct C(super::a::A);"),
        ("outer/d.rs", "pub struct D;"),
    ];
    let found = circles_of(&files)?;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].lines().count(), 4, "{found:#?}");
    assert!(found[0].starts_with("in crate::outer:"), "{found:#?}");
    Ok(())
}

/// `b` uses `a`; whether `a` uses `b`, too, is seen however it is written.
#[test]
fn a_use_is_seen_however_it_is_written() -> anyhow::Result<()> {
    let found_by = |root: &str, a: &str| {
        let b = "pub mod inner { pub struct Inner; }\npub struct B(crate::a::A);\npub fn b() {}\npub trait Bee {}";
        circles_of(&[("lib.rs", root), ("a.rs", &format!("pub struct A;\n{a}")), ("b.rs", b)])
    };
    let root = "mod a;\nmod b;\nmod c { pub struct C; }\nmod double { pub fn f() {} }\n\
                pub use b::B as Reexported;\npub use b::b as double;\npub use b::*;\npub struct Own;";
    for seen in [
        "use crate::b::B;",
        "use super::b;",
        "use crate::{a::A, b::{inner::Inner}};",
        "pub use super::b::B as Other;",
        "use crate::b::*;",
        "use crate::Reexported;",
        "use crate::Bee;",
        "use super::*;\nfn f(_: impl Bee) {}",
        "use super::*;\nfn f() { inner::Inner; }",
        "fn f() { crate::b::b(); }",
        "fn f() { use crate::b::B; }",
        "struct S { b: Option<crate::b::B> }",
        "impl crate::b::Bee for A {}",
        "fn f() { println!(\"{}\", crate::b::B::NAME); }",
        "macro_rules! m { () => { $crate::b::b() } }",
        "#[derive(crate::b::Made)]\nstruct S;",
        "struct S(#[serde(serialize_with = \"crate::b::b\")] u8);",
        "mod below { mod deeper { use crate::b::B; } }",
        "#[cfg(not(test))]\nuse crate::b::B;",
        "fn f() { crate::double(); }",
    ] {
        let found = found_by(root, seen)?;
        assert_eq!(found.len(), 1, "{seen}: {found:#?}");
    }
    for none in [
        "",
        "use super::Own;",
        "use crate::Own as Other;",
        "use super::*;\nfn f(_: Own) {}",
        "use crate::c::C;",
        "use crate::double;\nfn f() { double::f(); }",
        "use ::b::B;",
        "use b::B;",
        "fn f(b: u8) { println!(\"{}\", b); }",
        "fn f() { let b = 1; b.inner(); }",
        "/// [`crate::b::B`]\nfn f() -> &'static str { \"crate::b::B\" } // crate::b::B",
        "#[cfg(test)]\nmod tests { use crate::b::B; }",
        "#[cfg(test)]\nuse crate::b::B;",
        "#[cfg(all(test, unix))]\nfn f() { crate::b::b(); }",
        "impl A { #[cfg(test)] fn f() { crate::b::b(); } }",
    ] {
        let found = found_by(root, none)?;
        assert!(found.is_empty(), "{none}: {found:#?}");
    }
    Ok(())
}
