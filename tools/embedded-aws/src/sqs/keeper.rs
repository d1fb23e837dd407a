//! Keeps the queues on disk: a snapshot after each change, one for all that came while the last one was written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Sqs;
use crate::data_dir::write_atomically;
use crate::failure::Failure;

const FILE: &str = "sqs.json";

/// Tells the writer of changes, and tells those who made them when they are on disk.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Counts changes.
    changes: watch::Sender<u64>,
    /// Up to which change all is on disk, and whether the last try worked.
    kept: watch::Sender<(u64, Result<(), String>)>,
    file: PathBuf,
}

impl Keeper {
    /// Fills the queues with what the folder keeps.
    pub(crate) fn open(folder: &Path, sqs: &Sqs) -> io::Result<Self> {
        let file = folder.join(FILE);
        match std::fs::read(&file) {
            Ok(bytes) => sqs.restore(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self { changes: watch::Sender::new(0), kept: watch::Sender::new((0, Ok(()))), file })
    }

    /// Something changed; nobody waits until that is kept. After a crash it has not happened, and all that may lead to
    /// is that a message is received once more.
    pub(crate) fn changed(&self) -> u64 {
        let mut change = 0;
        self.changes.send_modify(|changes| {
            *changes += 1;
            change = *changes;
        });
        change
    }

    /// Something changed that must not be lost: wait until it is kept.
    pub(crate) async fn keep(&self) -> Result<(), Failure> {
        let change = self.changed();
        let mut kept = self.kept.subscribe();
        let known = kept.wait_for(|(up_to, _)| *up_to >= change).await;
        let error = match known.as_deref() {
            Ok((_, Ok(()))) => return Ok(()),
            Ok((_, Err(error))) => error.clone(),
            Err(_) => "the endpoint stopped".to_owned(),
        };
        Err(Failure::new(500, "InternalFailure", format!("The message can't be kept on disk: {error}")))
    }

    /// Writes until `stopping`, and once more after that.
    pub(crate) async fn run(self: Arc<Self>, sqs: Arc<Sqs>, stopping: CancellationToken) {
        let mut changes = self.changes.subscribe();
        let mut written = Vec::new();
        loop {
            let stop = tokio::select! {
                changed = changes.changed() => changed.is_err(),
                () = stopping.cancelled() => true,
            };
            let up_to = *changes.borrow_and_update();
            let (file, queues) = (self.file.clone(), sqs.clone());
            let before = std::mem::take(&mut written);
            let done = tokio::task::spawn_blocking(move || write(&file, &queues, before)).await;
            let outcome = match done {
                Ok((bytes, outcome)) => {
                    written = bytes;
                    outcome.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = &outcome {
                tracing::error!(error, file = %self.file.display(), "the queues can't be kept");
            }
            drop(self.kept.send_replace((up_to, outcome)));
            if stop {
                return;
            }
        }
    }
}

/// Writes the queues, unless they equal what was written `before`. Returns what is on disk now; `None` if that is not known.
fn write(file: &Path, sqs: &Sqs, before: Vec<u8>) -> (Vec<u8>, io::Result<()>) {
    let bytes = match serde_json::to_vec(&sqs.snapshot()) {
        Ok(bytes) => bytes,
        Err(error) => return (before, Err(error.into())),
    };
    if bytes == before {
        return (before, Ok(()));
    }
    match write_atomically(file, &bytes) {
        Ok(()) => (bytes, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    }
}
