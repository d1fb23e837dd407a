//! Every write since the last snapshot, on disk, so that the tables outlive the program.
//!
//! Two files with the same number belong together: `dynamodb-3.json` is the tables when the journal began, and
//! `dynamodb-3.jsonl` is each write since, as it was asked for. A start reads both, writes the next pair and removes the
//! old one; a crash at any moment leaves a pair that is whole.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use winterbaume_dynamodb::DynamodbStateView;

use crate::data_dir::write_atomically;

/// A write that was done.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Write {
    pub(super) operation: String,
    /// The request, as JSON in a text.
    pub(super) body: String,
}

/// Where the next write is noted.
#[derive(Debug)]
pub(super) struct Journal(File);

impl Journal {
    /// Note a write. It is the operating system's when this returns: it outlives the program, not a power failure.
    pub(super) fn note(&mut self, write: &Write) -> io::Result<()> {
        let mut line = serde_json::to_string(write)?;
        line.push('\n');
        self.0.write_all(line.as_bytes())
    }
}

/// What a folder holds: the tables when the journal began, and the writes since.
pub(super) struct Kept {
    folder: PathBuf,
    number: u64,
    pub(super) tables: DynamodbStateView,
    pub(super) writes: Vec<Write>,
}

fn snapshot(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("dynamodb-{number}.json"))
}

fn journal(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("dynamodb-{number}.jsonl"))
}

impl Kept {
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let mut number = 0;
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            let found =
                name.to_str().and_then(|name| name.strip_prefix("dynamodb-")?.strip_suffix(".json")?.parse().ok());
            number = number.max(found.unwrap_or(0));
        }
        if number == 0 {
            return Ok(Self {
                folder: folder.to_owned(),
                number,
                tables: DynamodbStateView::default(),
                writes: vec![],
            });
        }
        let tables = serde_json::from_slice(&std::fs::read(snapshot(folder, number))?)?;
        let mut writes = Vec::new();
        match File::open(journal(folder, number)) {
            Ok(file) => {
                for line in BufReader::new(file).lines() {
                    // Only the last line can be torn, and that write was never confirmed.
                    let Ok(write) = serde_json::from_str(&line?) else { break };
                    writes.push(write);
                }
            }
            // It ended before the first write.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self { folder: folder.to_owned(), number, tables, writes })
    }

    /// Begin a new journal on these tables.
    pub(super) fn begin(self, tables: &DynamodbStateView) -> io::Result<Journal> {
        let next = self.number + 1;
        // The journal first: it counts only once its snapshot is there.
        let file = File::create(journal(&self.folder, next))?;
        write_atomically(&snapshot(&self.folder, next), &serde_json::to_vec(tables)?)?;
        if self.number > 0 {
            std::fs::remove_file(snapshot(&self.folder, self.number))?;
            // It may never have been begun.
            let _ = std::fs::remove_file(journal(&self.folder, self.number));
        }
        Ok(Journal(file))
    }
}
