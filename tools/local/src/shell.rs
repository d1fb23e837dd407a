//! What a shell is told so that the programs started there use a fleet: the `export` lines, as text or as a file.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// How long a line gets before the next begins.
const WIDTH: usize = 110;
/// What each file begins with, so that nothing else is ever replaced or removed.
const MARK: &str = "# A polybot fleet for a shell; written by `up --env`";

/// Lines that set these variables in a shell, and unset what is empty.
pub(crate) fn exports(variables: &[(String, String)]) -> String {
    let mut text = String::new();
    let mut line = String::new();
    let (unset, set): (Vec<_>, Vec<_>) = variables.iter().partition(|(_, value)| value.is_empty());
    let words = unset.iter().map(|(name, _)| ("unset", name.clone()));
    let words = words.chain(set.iter().map(|(name, value)| ("export", format!("{name}={}", quoted(value)))));
    let mut command = "";
    for (wanted, word) in words {
        if wanted != command || line.len() + word.len() >= WIDTH {
            if !line.is_empty() {
                text.push_str(&line);
                text.push('\n');
            }
            command = wanted;
            line = wanted.into();
        }
        // Into a String: never an error.
        let _ = write!(line, " {word}");
    }
    text + &line + "\n"
}

/// As one word of a shell.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:,@%+=".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

/// A file for `source`, there for as long as this value is. Only its owner can read it.
#[derive(Debug)]
pub(crate) struct EnvFile {
    path: PathBuf,
    text: String,
}

impl EnvFile {
    /// Whether a file can be written there.
    ///
    /// # Errors
    /// If there is something else already, or no folder that can be written.
    pub(crate) fn check(path: &Path) -> anyhow::Result<()> {
        is_free(path)?;
        new_file(path).map(drop)
    }

    /// Writes the file at once, so that readers see all of it. Replaces one that a program left behind because it was killed.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) fn write(path: &Path, exports: &str) -> anyhow::Result<Self> {
        let text = format!("{MARK}, process {}, which removes it when it ends.\n{exports}", std::process::id());
        let is_left_behind = is_free(path)?;
        let mut file = new_file(path)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| {
            let placed = if is_left_behind { file.persist(path) } else { file.persist_noclobber(path) };
            placed.map_err(|error| error.error)
        });
        written.with_context(|| format!("can't write {} (--env)", path.display()))?;
        Ok(Self { path: path.to_owned(), text })
    }
}

impl Drop for EnvFile {
    fn drop(&mut self) {
        // Unless another program has put its own there. If it can't be removed, the folder is gone, and the file with it.
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether there is a file that was left behind; an error if there is something that must not be lost.
fn is_free(path: &Path) -> anyhow::Result<bool> {
    match std::fs::read(path) {
        Ok(bytes) if bytes.starts_with(MARK.as_bytes()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        _ => bail!("{} is there already and was not written by `up --env`; name another file (--env)", path.display()),
    }
}

/// A file beside the one that it is to become.
fn new_file(path: &Path) -> anyhow::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made for its owner alone.
    let file = tempfile::Builder::new().prefix(".polybot-env-").tempfile_in(folder);
    file.with_context(|| format!("can't write into the folder {} (--env)", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_shell_understands_it() {
        let strange = "it's $HOME, \"quoted\" `and` *\\ \n two lines";
        let long = "x".repeat(200);
        let text = exports(&variables(&[
            ("STRANGE", strange),
            ("LONG", &long),
            ("PLAIN", "http://127.0.0.1:80/a"),
            ("OLD", ""),
        ]));
        let script = format!(r#"{text}printf '%s|' "$STRANGE" "$LONG" "$PLAIN" "${{OLD-none}}""#);
        let output = Command::new("sh").args(["-c", &script]).env("OLD", "a profile").output().expect("a shell");
        let said = String::from_utf8(output.stdout).expect("text");
        assert_eq!(said, format!("{strange}|{long}|http://127.0.0.1:80/a|none|"), "{text}");
    }

    #[test]
    fn what_fits_stands_on_one_line() {
        let text = exports(&variables(&[("A", "1"), ("B", ""), ("C", "2"), ("D", &"x".repeat(WIDTH))]));
        assert_eq!(text, format!("unset B\nexport A=1 C=2\nexport D={}\n", "x".repeat(WIDTH)));
    }

    #[test]
    fn nothing_but_its_own_file_is_replaced_or_removed() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "dear diary\n").expect("written");
        for error in [EnvFile::check(&path), EnvFile::write(&path, "").map(drop)] {
            let said = error.expect_err("not free").to_string();
            assert!(said.contains("notes.txt is there already"), "{said}");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("kept"), "dear diary\n");
        EnvFile::check(folder.path()).expect_err("a folder");
        let nowhere = folder.path().join("missing/fleet.env");
        let said = format!("{:#}", EnvFile::check(&nowhere).expect_err("no folder"));
        assert!(said.contains("can't write into the folder") && said.contains("missing"), "{said}");

        let path = folder.path().join("fleet.env");
        EnvFile::check(&path).expect("free");
        let killed = EnvFile::write(&path, "export A=1\n").expect("written");
        EnvFile::check(&path).expect("what was left behind is in nobody's way");
        let next = EnvFile::write(&path, "export A=2\n").expect("replaced");
        drop(killed);
        assert!(std::fs::read_to_string(&path).expect("the next one's").ends_with("\nexport A=2\n"));
        drop(next);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "the notes alone");
    }
}
