//! How jobs come into the fleet.

mod load_test;
mod queue;
mod telegram;

pub use load_test::{LoadTestDoor, TelegramFiles};
pub use queue::QueueDoor;
pub use telegram::TelegramDoor;

use telegram_sandbox::Sandbox;

use crate::Fleet;

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
    pub fn queue(fleet: Fleet) -> Self {
        Self::Queue(QueueDoor { fleet, chat_id: None })
    }

    /// As `people` new people in the sandbox; `fleet` is where backlog and instances are looked up for the report, if
    /// that is wanted. The bot answers one message a second in each chat, and two messages go to each photo, so more
    /// people get more answers.
    #[must_use]
    pub fn telegram(sandbox: &Sandbox, people: usize, fleet: Option<Fleet>) -> Self {
        Self::Telegram(TelegramDoor::new(sandbox, people, fleet))
    }

    pub(crate) fn fleet(&self) -> Option<&Fleet> {
        match self {
            Self::Queue(door) => Some(&door.fleet),
            Self::LoadTest(door) => Some(&door.fleet),
            Self::Telegram(door) => door.fleet.as_ref(),
        }
    }
}
