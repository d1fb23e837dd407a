//! The cargo of this machine, which brings published crates from wherever it is set up to.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::progress::Progress;

/// A program and the folder that it keeps crates in.
#[derive(Debug)]
pub(crate) struct Cargo {
    program: OsString,
    home: Option<PathBuf>,
}

impl Cargo {
    /// As cargo itself finds them: `CARGO` or the one on `PATH`, and `CARGO_HOME` or `~/.cargo`.
    pub(crate) fn from_environment() -> Self {
        let home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
        Self { program: std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), home }
    }

    /// cargo's copy of `package` (`name@version`), which `cargo info` fetches if it is not there yet; or why there is none.
    pub(crate) fn crate_file(&self, package: &str, progress: Progress<'_>) -> Result<PathBuf, String> {
        let file_name = format!("{}.crate", package.replacen('@', "-", 1));
        if let Some(found) = self.cached(&file_name) {
            return Ok(found);
        }
        progress(&format!("asking cargo for {package}"));
        // From outside the checkout: a workspace in the current folder would have a say in what cargo resolves.
        let output = Command::new(&self.program)
            .args(["info", "--color=never", package])
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => "there is no cargo on this machine".to_owned(),
                _ => format!("can't run cargo: {error}"),
            })?;
        self.cached(&file_name).ok_or_else(|| {
            let said = String::from_utf8_lossy(&output.stderr);
            let reason = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
            format!("`cargo info {package}` did not bring it ({}): {reason}", output.status)
        })
    }

    fn cached(&self, file_name: &str) -> Option<PathBuf> {
        let registries = std::fs::read_dir(self.home.as_ref()?.join("registry/cache")).ok()?;
        registries.flatten().map(|registry| registry.path().join(file_name)).find(|path| path.is_file())
    }
}

#[cfg(test)]
impl Cargo {
    /// One that is not installed and keeps its crates in `home`.
    pub(crate) fn missing(home: &std::path::Path) -> Self {
        Self { program: home.join("no-such-program").into(), home: Some(home.to_owned()) }
    }
}
