//! As people in the Telegram sandbox.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use polybot::reply;
use telegram_sandbox::{Event, Sandbox, Subscription, User};

use crate::accounts::JobNumber;
use crate::books::Books;
use crate::{FleetStores, Photo};

/// As people in the Telegram sandbox, one after another. A job is answered when its person has the annotated photo.
#[derive(Debug)]
pub struct TelegramDoor {
    people: Vec<User>,
    events: Subscription,
    fleet: Option<FleetStores>,
}

impl TelegramDoor {
    pub(crate) fn new(sandbox: &Sandbox, people: usize, fleet: Option<FleetStores>) -> Self {
        let people = (1..=people.max(1)).map(|number| sandbox.user(&format!("Flood {number}"))).collect();
        Self { people, events: sandbox.subscribe(), fleet }
    }

    pub(crate) fn open(self, photos: Vec<Photo>) -> Open {
        let Self { people, events, fleet } = self;
        Open { people, photos, fleet, events: events.into(), posts: Mutex::default() }
    }
}

/// Where a post is: chat and message.
type Place = (i64, i32);

/// The people are there.
#[derive(Debug)]
pub(crate) struct Open {
    people: Vec<User>,
    photos: Vec<Photo>,
    fleet: Option<FleetStores>,
    events: tokio::sync::Mutex<Subscription>,
    /// The posts that are not answered.
    posts: Mutex<BTreeMap<Place, JobNumber>>,
}

impl Open {
    pub(crate) fn fleet(&self) -> Option<&FleetStores> {
        self.fleet.as_ref()
    }

    fn posts(&self) -> MutexGuard<'_, BTreeMap<Place, JobNumber>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next person posts the next photo.
    pub(crate) fn send(&self, books: &Books, due: Duration) {
        let job = books.sent(due);
        let number = job as usize;
        let person = &self.people[number % self.people.len()];
        let photo = &self.photos[number % self.photos.len()];
        // Held while posting: the answer must not be looked up before the post is known.
        let mut posts = self.posts();
        let message_id = person.post_photo(photo.bytes.clone(), None);
        posts.insert((person.chat_id(), message_id), job);
    }

    /// Sees answers, for as long as this is polled.
    pub(crate) async fn watch(&self, books: &Books) {
        let mut events = self.events.lock().await;
        while let Some(event) = events.next().await {
            self.see(books, &event);
        }
        books.note("the sandbox has stopped");
        std::future::pending().await
    }

    fn see(&self, books: &Books, event: &Event) {
        let Some(message) = event.sent() else { return };
        let Some(answered) = message.reply_to else { return };
        if message.words() == reply::BEING_PROCESSED {
            return;
        }
        let Some(job) = self.posts().remove(&(message.chat_id, answered)) else { return };
        if message.photo().is_some() {
            books.answered(job, books.now(), None);
        } else {
            books.failed(job, &format!("the bot says: {}", message.words()));
        }
    }

    /// The posts that are not answered, the oldest first.
    pub(crate) fn awaited(&self, most: usize) -> Vec<String> {
        let mut posts: Vec<_> = self.posts().iter().map(|(&place, &job)| (job, place)).collect();
        posts.sort_unstable();
        let name = |(_, (chat_id, message_id)): &(JobNumber, Place)| format!("message {message_id} in chat {chat_id}");
        posts.iter().take(most).map(name).collect()
    }
}
