//! Every write since the last snapshot, on disk, so that the tables outlive the program.
//!
//! Two files with the same number belong together: `dynamodb-3.json` is the tables when the journal began, and
//! `dynamodb-3.jsonl` is each write since, as it was asked for. A start reads both, writes the next pair and removes the
//! old one; a crash at any moment leaves a pair that is whole.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::saved::Saved;
use serde::{Deserialize, Serialize};

use crate::data_dir::write_atomically;

/// A write that was done.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Write {
    pub(super) operation: String,
    /// The request, as JSON in a text.
    pub(super) body: String,
}

/// What lines are appended to, and can be removed from.
pub(super) trait Truncate: io::Write {
    /// Keep the first `length` bytes; the next are written after them.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

impl Truncate for File {
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        // Written on from where it was, it would get a hole.
        self.seek(SeekFrom::Start(length))?;
        Ok(())
    }
}

/// Where the next write is noted.
#[derive(Debug)]
pub(super) struct Journal<F = File> {
    file: F,
    /// How long it is with the whole lines in it.
    length: u64,
    /// The line of a write that was done and then could not be noted. Later writes may build on it, so it comes first.
    owed: Vec<u8>,
    /// Half a line could not be removed, and whatever came after it could not be read.
    is_torn: bool,
}

impl<F: Truncate> Journal<F> {
    /// On an empty file.
    fn new(file: F) -> Self {
        Self { file, length: 0, owed: Vec::new(), is_torn: false }
    }

    /// Note a write that was done. It is the operating system's when this returns: it outlives the program, not a power
    /// failure.
    pub(super) fn note(&mut self, write: &Write) -> io::Result<()> {
        let line = serde_json::to_string(write)?;
        self.owed.extend_from_slice(line.as_bytes());
        self.owed.push(b'\n');
        self.catch_up()
    }

    /// Note what could not be noted before. As long as this fails, no write may be done: the tables would go on without
    /// the journal.
    pub(super) fn catch_up(&mut self) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other(
                "half of an earlier write could not be removed from the journal: make room on the disk and start again",
            ));
        }
        if let Err(error) = self.file.write_all(&self.owed) {
            // The next line must not be appended to half of this one.
            self.is_torn = self.file.truncate(self.length).is_err();
            return Err(error);
        }
        self.length += self.owed.len() as u64;
        self.owed.clear();
        Ok(())
    }
}

/// What a folder holds: the tables when the journal began, and the writes since.
pub(super) struct Kept {
    folder: PathBuf,
    number: u64,
    pub(super) tables: Saved,
    pub(super) writes: Vec<Write>,
}

fn snapshot(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("dynamodb-{number}.json"))
}

fn journal(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("dynamodb-{number}.jsonl"))
}

/// The writes that are noted in a journal.
fn read_writes(path: &Path) -> io::Result<Vec<Write>> {
    let file = match File::open(path) {
        Ok(file) => file,
        // It ended before the first write.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut writes = Vec::new();
    // Bytes, not text: a torn line may end within a letter.
    let mut lines = BufReader::new(file).split(b'\n').zip(1_u64..).peekable();
    while let Some((line, number)) = lines.next() {
        match serde_json::from_slice(&line?) {
            Ok(write) => writes.push(write),
            // The last line can be torn, and that write was never confirmed. The next journal goes on without it.
            Err(_) if lines.peek().is_none() => {}
            Err(error) => {
                let path = path.display();
                let why =
                    format!("line {number} of {path} is damaged ({error}): restore the file, or remove that line");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        }
    }
    Ok(writes)
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
            return Ok(Self { folder: folder.to_owned(), number, tables: Saved::default(), writes: vec![] });
        }
        let tables = serde_json::from_slice(&std::fs::read(snapshot(folder, number))?)?;
        let writes = read_writes(&journal(folder, number))?;
        Ok(Self { folder: folder.to_owned(), number, tables, writes })
    }

    /// Begin a new journal on these tables.
    pub(super) fn begin(self, tables: &Saved) -> io::Result<Journal> {
        let next = self.number + 1;
        // The journal first: it counts only once its snapshot is there.
        let file = File::create(journal(&self.folder, next))?;
        write_atomically(&snapshot(&self.folder, next), &serde_json::to_vec(tables)?)?;
        if self.number > 0 {
            std::fs::remove_file(snapshot(&self.folder, self.number))?;
            // It may never have been begun.
            let _ = std::fs::remove_file(journal(&self.folder, self.number));
        }
        Ok(Journal::new(file))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn write(operation: &str) -> Write {
        Write { operation: operation.to_owned(), body: "{\"name\":\"Zoë\"}".to_owned() }
    }

    fn operations(bytes: &[u8]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        std::fs::write(&path, bytes).expect("written");
        read_writes(&path).expect("whole").into_iter().map(|write| write.operation).collect()
    }

    /// A disk with room for this many bytes.
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
        is_truncatable: bool,
    }

    impl Disk {
        fn new(room: usize) -> Self {
            Self { bytes: vec![], room, is_truncatable: true }
        }
    }

    impl io::Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room - self.bytes.len());
            if fits == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.extend_from_slice(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Truncate for Disk {
        fn truncate(&mut self, length: u64) -> io::Result<()> {
            if !self.is_truncatable {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            self.bytes.truncate(length as usize);
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_keeps_what_was_confirmed_and_goes_on_when_there_is_room() {
        let mut journal = Journal::new(Disk::new(80));
        journal.note(&write("First")).expect("room");
        let error = journal.note(&write("Second")).expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(operations(&journal.file.bytes), ["First"]);
        assert_eq!(journal.file.bytes.last(), Some(&b'\n'), "half a line is left");
        journal.catch_up().expect_err("still no room");

        journal.file.room = 1000;
        journal.catch_up().expect("room");
        journal.note(&write("Third")).expect("room");
        assert_eq!(operations(&journal.file.bytes), ["First", "Second", "Third"]);
    }

    #[test]
    fn after_half_a_line_that_stays_nothing_is_confirmed() {
        let mut journal = Journal::new(Disk::new(80));
        journal.file.is_truncatable = false;
        journal.note(&write("First")).expect("room");
        journal.note(&write("Second")).expect_err("no room");
        journal.file.room = 1000;
        journal.catch_up().expect_err("torn");
        journal.note(&write("Third")).expect_err("torn");
        assert_eq!(operations(&journal.file.bytes), ["First"]);
    }

    #[test]
    fn half_a_line_is_removed_from_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Kept::read(folder.path()).expect("empty");
        let mut journal = kept.begin(&Saved::default()).expect("begun");
        journal.note(&write("First")).expect("noted");
        journal.file.write_all(b"{\"operation\":").expect("written");
        journal.file.truncate(journal.length).expect("truncated");
        journal.note(&write("Second")).expect("noted");
        let kept = Kept::read(folder.path()).expect("whole");
        assert_eq!(kept.writes.iter().map(|write| &write.operation).collect::<Vec<_>>(), ["First", "Second"]);
    }

    #[test]
    fn a_torn_last_line_is_left_out() {
        let line = serde_json::to_vec(&write("Put")).expect("JSON");
        let whole = [&line[..], b"\n"].concat();
        for length in 0..line.len() {
            assert_eq!(operations(&[&whole[..], &line[..length]].concat()), ["Put"], "{length} bytes");
        }
    }

    #[test]
    fn a_damaged_line_before_the_last_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dynamodb-1.jsonl");
        let line = serde_json::to_string(&write("Put")).expect("JSON");
        std::fs::write(&path, format!("{line}\n{{\"operation\":{line}\n{line}\n")).expect("written");
        let error = read_writes(&path).expect_err("damaged").to_string();
        assert!(error.contains("line 2 of ") && error.contains("dynamodb-1.jsonl"), "{error}");
    }
}
