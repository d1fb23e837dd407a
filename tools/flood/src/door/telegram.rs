//! As people in the Telegram sandbox.

use telegram_sandbox::{Sandbox, Subscription, User};

use crate::Fleet;

/// As people in the Telegram sandbox, one after another. A job is answered when its person has the annotated photo.
#[derive(Debug)]
pub struct TelegramDoor {
    pub(crate) people: Vec<User>,
    pub(crate) events: Subscription,
    pub(crate) fleet: Option<Fleet>,
}

impl TelegramDoor {
    pub(crate) fn new(sandbox: &Sandbox, people: usize, fleet: Option<Fleet>) -> Self {
        let people = (1..=people.max(1)).map(|number| sandbox.user(&format!("Flood {number}"))).collect();
        Self { people, events: sandbox.subscribe(), fleet }
    }
}
