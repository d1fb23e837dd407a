//! What the documents name exists, and the figures in them that code decides are the code's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("can't read {path}"))
}

/// Every file and folder of the project, by its path from the root; not what is built or fetched.
fn paths() -> anyhow::Result<Vec<String>> {
    const SKIPPED: [&str; 6] = [".git", "target", "cache", "node_modules", "corpus", "artifacts"];
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root.join(&folder));
        for entry in entries.with_context(|| format!("can't read {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            if SKIPPED.iter().any(|skipped| name == *skipped) {
                continue;
            }
            let path = folder.join(name);
            found.push(path.to_string_lossy().into_owned());
            // Not a link: one leads from tools/local to tests.
            if entry.file_type()?.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(found)
}

/// Each document and its text.
fn documents(paths: &[String]) -> anyhow::Result<Vec<(&str, String)>> {
    let names = paths.iter().filter(|path| path.ends_with(".md"));
    names.map(|path| Ok((path.as_str(), read(path)?))).collect()
}

/// What stands between backticks, outside of blocks of code.
fn spans(text: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut spans = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            spans.extend(line.split('`').skip(1).step_by(2));
        }
    }
    spans
}

/// The document's lines on one, as a sentence may be broken in the middle.
fn joined(path: &str) -> anyhow::Result<String> {
    Ok(read(path)?.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn each_test_that_a_document_names_exists() -> anyhow::Result<()> {
    let paths = paths()?;
    let mut functions = BTreeSet::new();
    for path in paths.iter().filter(|path| path.ends_with(".rs")) {
        let text = read(path)?;
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
        functions.extend(names.map(str::to_owned));
    }
    // Metrics have names of the same kind.
    let contract = read("docs/contract.json")?;
    let mut count = 0;
    for (document, text) in documents(&paths)? {
        let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let names =
            spans(&text).into_iter().filter(|name| name.chars().all(is_of_name) && name.matches('_').count() > 3);
        for name in names.filter(|name| !contract.contains(&format!("\"{name}\""))) {
            assert!(functions.contains(name), "{document} names the test `{name}`, which does not exist");
            count += 1;
        }
    }
    assert!(count > 40, "only {count} tests are named");
    Ok(())
}

#[test]
fn each_file_that_a_document_names_exists() -> anyhow::Result<()> {
    const SOURCES: [&str; 4] = [".rs", ".toml", ".yaml", ".md"];
    /// Folders that are not in a fresh checkout.
    const MADE: [&str; 1] = ["models/cache"];
    let paths = paths()?;
    let roots: BTreeSet<&str> = paths.iter().filter(|path| !path.contains('/')).map(String::as_str).collect();
    let mut count = 0;
    // CHANGELOG tells of files that are gone.
    for (document, text) in documents(&paths)?.into_iter().filter(|(document, _)| *document != "CHANGELOG.md") {
        let is_path = |span: &&str| {
            let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            let in_root = span.split_once('/').is_some_and(|(first, _)| roots.contains(first));
            span.chars().all(is_of_path) && (in_root || SOURCES.iter().any(|ending| span.ends_with(ending)))
        };
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let links = links.filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"));
        for name in spans(&text).into_iter().filter(is_path).chain(links) {
            // As it stands, or by its end: `head.rs` for `detector/src/head.rs`.
            let name = name.trim_start_matches("../").trim_start_matches("./").trim_end_matches('/');
            let ending = format!("/{name}");
            let exists = MADE.contains(&name) || paths.iter().any(|path| path == name || path.ends_with(&ending));
            assert!(exists, "{document} names `{name}`, which does not exist");
            count += 1;
        }
    }
    assert!(count > 200, "only {count} files are named");
    Ok(())
}

/// `NAME` (60 s), or `NAME`, 60 s: the setting's default.
#[test]
fn each_default_that_a_document_tells_is_the_settings_own() -> anyhow::Result<()> {
    let contract: serde_json::Value = serde_json::from_str(&read("docs/contract.json")?)?;
    let default = |name: &str| {
        let settings = contract["services"].as_object().into_iter().flatten().flat_map(|(_, service)| {
            service["settings"].as_array().into_iter().flatten().filter(|setting| setting["name"] == name)
        });
        settings.filter_map(|setting| setting["default"].as_str()?.parse::<f64>().ok()).next()
    };
    let mut count = 0;
    for (document, text) in documents(&paths()?)? {
        let pieces: Vec<&str> = text.split('`').collect();
        for pair in pieces.windows(2).skip(1).step_by(2) {
            let [name, behind] = pair else { continue };
            let told = behind.strip_prefix(" (").or_else(|| behind.strip_prefix(", "));
            let told = told.or_else(|| behind.strip_prefix(": ")).and_then(|told| told.split_once(" s"));
            let Some(told) = told.and_then(|(number, _)| number.parse::<f64>().ok()) else { continue };
            let Some(default) = default(name) else { continue };
            assert_eq!(told, default, "{document} tells another default of {name} than its own");
            count += 1;
        }
    }
    assert!(count > 5, "only {count} defaults are told");
    Ok(())
}

#[test]
fn the_servers_limits_are_as_reliability_tells() -> anyhow::Result<()> {
    let limits = fleet::server::Limits::default();
    let expected = format!(
        "{} s to the first headers, {} s for a body, {} KB of headers, {} MB of body, {} s for an answer, {} connections",
        limits.first_header_time.as_secs(),
        limits.body_time.as_secs(),
        limits.header_bytes >> 10,
        limits.body_bytes >> 20,
        limits.request_time.as_secs(),
        limits.connections,
    );
    let told = joined("docs/RELIABILITY.md")?;
    assert!(told.contains(&expected), "docs/RELIABILITY.md does not say: {expected}");
    Ok(())
}

/// A constant of the code, and the sentence that tells it: `{}` is its number, `{word}` the number in words.
const TOLD: [(&str, &str, &str, &str); 15] = [
    ("detector/src/model.rs", "MOST_PLANS", "docs/PERFORMANCE.md", "a plan for each of the last {} sizes"),
    ("detector/src/bounded.rs", "MOST_BYTES", "docs/PERFORMANCE.md", "It allows {} MB for one tensor"),
    ("detector/src/bounded.rs", "MOST_CONSTANT_BYTES", "docs/PERFORMANCE.md", "and {} MB for all constants"),
    ("detector/src/engine/kernels/winograd.rs", "BATCH", "docs/PERFORMANCE.md", "so a batch is {} KB"),
    ("detector/src/engine/lower.rs", "MOST_GROUPS", "docs/PERFORMANCE.md", "one of more than {} groups is several"),
    ("polybot/src/albums.rs", "MOST_TRIES", "docs/RELIABILITY.md", "after {word} deaths polybot gives it up"),
    ("polybot/src/inbox.rs", "MOST_DEATHS", "docs/RELIABILITY.md", "after {word} deaths polybot gives it up"),
    (
        "polybot/src/answers/retry_policy.rs",
        "LOOKS_FOR_A_FILE",
        "docs/RELIABILITY.md",
        "during {word} looks of the sweep",
    ),
    ("polybot/src/answers/lost_jobs.rs", "MOST_REQUEUES", "docs/RELIABILITY.md", "sweep sends it again, {word} times"),
    ("polybot/src/sending/lane.rs", "GROUP_MINUTE", "docs/RELIABILITY.md", "a group's {} messages a minute"),
    ("polybot/src/sending/gate.rs", "CUT", "docs/RELIABILITY.md", "(by a factor of {})"),
    ("polybot/src/service.rs", "LONGEST_WAIT", "docs/RELIABILITY.md", "would wait longer than {} s"),
    ("tools/flood/src/records.rs", "RECORDS_A_SECOND", "tools/flood/README.md", "it reads at most {} a second"),
    ("tools/flood/src/records.rs", "LOOK_EVERY", "tools/flood/README.md", "strongly consistent, every {} ms"),
    ("tools/local/src/resources.rs", "MAX_RECEIVES", "README.md", "needs a dead-letter queue ({} receives)"),
];

#[test]
fn each_constant_that_a_document_tells_is_the_codes() -> anyhow::Result<()> {
    const WORDS: [&str; 11] = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    for (source, name, document, sentence) in TOLD {
        let text = read(source)?;
        let declared = text.split(&format!("const {name}: ")).nth(1).and_then(|rest| rest.split(" = ").nth(1));
        // The first number: 768 of `768 << 20`, 10 of `Duration::from_secs(10)`.
        let number: String = declared
            .with_context(|| format!("{source} has no constant {name}"))?
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        let word = number.parse::<usize>().ok().and_then(|number| WORDS.get(number).copied()).unwrap_or_default();
        let sentence = sentence.replace("{}", &number).replace("{word}", word);
        assert!(
            joined(document)?.contains(&sentence),
            "{document} does not say {sentence:?}, as {name} of {source} has it"
        );
    }
    Ok(())
}
