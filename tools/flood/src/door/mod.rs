//! How jobs come into the fleet.

mod load_test;
mod queue;
mod telegram;

use std::sync::Arc;
use std::time::Duration;

use telegram_sandbox::Sandbox;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

pub use load_test::{LoadTestDoor, TelegramFiles};
pub use queue::QueueDoor;
pub use telegram::TelegramDoor;

use crate::books::Books;
use crate::{FleetStores, FloodError, Photo};

/// How jobs come into the fleet, and how it is seen that they are answered.
#[derive(Debug)]
pub enum Door {
    /// Straight to SQS.
    Queue(QueueDoor),
    /// Through polybot's `/loadTest`.
    LoadTest(LoadTestDoor),
    /// As people in the Telegram sandbox.
    Telegram(TelegramDoor),
}

impl Door {
    /// Straight to SQS; nobody in Telegram hears of the jobs.
    #[must_use]
    pub fn queue(fleet: FleetStores) -> Self {
        Self::Queue(QueueDoor { fleet, chat_id: None })
    }

    /// As `people` new people in the sandbox; `fleet` is where backlog and instances are looked up for the report, if
    /// that is wanted. The bot sends about one message a second in each chat, and two for each photo, so more people get
    /// more answers.
    #[must_use]
    pub fn telegram(sandbox: &Sandbox, people: usize, fleet: Option<FleetStores>) -> Self {
        Self::Telegram(TelegramDoor::new(sandbox, people, fleet))
    }

    /// Make ready what has to be there before the first job.
    pub(crate) async fn open(self, photos: Vec<Photo>) -> Result<OpenDoor, FloodError> {
        Ok(match self {
            Self::Queue(door) => OpenDoor::Queue(door.open(photos).await?),
            Self::LoadTest(door) => OpenDoor::LoadTest(Box::new(door.open(photos).await?)),
            Self::Telegram(door) => OpenDoor::Telegram(door.open(photos)),
        })
    }
}

/// A door that jobs can come through.
#[derive(Debug)]
pub(crate) enum OpenDoor {
    Queue(queue::Open),
    LoadTest(Box<load_test::Open>),
    Telegram(telegram::Open),
}

/// What a group of jobs takes with it.
pub(crate) struct Group {
    /// When each job was due.
    pub(crate) due: Vec<Duration>,
    /// Given back when the group is in.
    pub(crate) slot: OwnedSemaphorePermit,
    /// The flood's end: nothing goes on after it.
    pub(crate) end: CancellationToken,
}

impl OpenDoor {
    /// Its name, as on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::LoadTest(_) => "load-test",
            Self::Telegram(_) => "telegram",
        }
    }

    /// When a job counts as answered, and how that is seen.
    pub(crate) fn answered_means(&self) -> &'static str {
        match self {
            Self::Queue(_) => "the job's record says done",
            Self::LoadTest(_) => "the job's record says done and that the chat was told",
            Self::Telegram(_) => "the annotated photo is in the person's chat",
        }
    }

    pub(crate) fn fleet(&self) -> Option<&FleetStores> {
        match self {
            Self::Queue(door) => Some(door.fleet()),
            Self::LoadTest(door) => Some(door.fleet()),
            Self::Telegram(door) => door.fleet(),
        }
    }

    /// The most jobs that go in together.
    pub(crate) fn most_together(&self) -> usize {
        match self {
            Self::Queue(_) => queue::BATCH,
            Self::LoadTest(_) | Self::Telegram(_) => 1,
        }
    }

    /// How many groups are on their way in at once where they go as fast as they can.
    pub(crate) fn side_by_side(&self) -> usize {
        match self {
            Self::Queue(_) => 8,
            Self::LoadTest(_) => 32,
            Self::Telegram(_) => 1,
        }
    }

    /// Send jobs; each is in the books before this returns, and on its way.
    pub(crate) fn send(self: &Arc<Self>, books: &Arc<Books>, group: Group) {
        let (door, books) = (Arc::clone(self), Arc::clone(books));
        match self.as_ref() {
            Self::Queue(open) => {
                let jobs = open.begin(&books, &group.due);
                tokio::spawn(async move {
                    let Self::Queue(open) = door.as_ref() else { return };
                    group.end.run_until_cancelled(open.send(&books, jobs)).await;
                    drop(group.slot);
                });
            }
            Self::LoadTest(_) => {
                let jobs: Vec<_> = group.due.iter().map(|due| books.sent(*due)).collect();
                tokio::spawn(async move {
                    let Self::LoadTest(open) = door.as_ref() else { return };
                    for job in jobs {
                        group.end.run_until_cancelled(open.send(&books, job)).await;
                    }
                    drop(group.slot);
                });
            }
            Self::Telegram(open) => group.due.iter().for_each(|due| open.send(&books, *due)),
        }
    }

    /// Sees answers, for as long as this is polled.
    pub(crate) async fn watch(&self, books: &Books) {
        match self {
            Self::Queue(door) => door.records().watch(books).await,
            Self::LoadTest(door) => door.records().watch(books).await,
            Self::Telegram(door) => door.watch(books).await,
        }
    }

    /// Names of jobs that are not answered, the oldest first.
    pub(crate) fn awaited(&self, most: usize) -> Vec<String> {
        match self {
            Self::Queue(door) => door.records().awaited(most),
            Self::LoadTest(door) => door.records().awaited(most),
            Self::Telegram(door) => door.awaited(most),
        }
    }
}
