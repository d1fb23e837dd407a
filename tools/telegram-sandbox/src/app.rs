//! Telegram as its users see it.

use std::sync::Arc;

use bytes::Bytes;

use crate::shared::Shared;
use crate::subscription::Subscription;
use crate::user::User;

/// What people can do and see in a running [`crate::Sandbox`]: for a page, or whatever else lives beside its owner.
/// Cheap to clone; it does not keep the sandbox running.
#[derive(Clone, Debug)]
pub struct App {
    shared: Arc<Shared>,
}

impl App {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Adds a person who has started the bot, so that the bot may write to them.
    pub fn user(&self, name: &str) -> User {
        let id = self.shared.change(|world| world.add_user(name));
        User::new(self.shared.clone(), id)
    }

    /// How many events there were so far.
    pub fn events_length(&self) -> usize {
        self.shared.world().events_length()
    }

    /// Reads all from the event with this number on, and then what happens.
    pub fn subscribe_from(&self, seq: usize) -> Subscription {
        Subscription::new(self.shared.clone(), seq)
    }

    /// The content of a file and its media type, as its sender gave it.
    pub fn file(&self, file_id: &str) -> Option<(Bytes, String)> {
        let world = self.shared.world();
        world.files.get(file_id).map(|file| (file.bytes.clone(), file.mime.clone()))
    }
}
