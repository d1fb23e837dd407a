//! Those whose chats the page shows. A flood's people are none of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use telegram_sandbox::{App, User};
use tokio::sync::watch;

use super::problem::Problem;

/// The people who are there from the start.
const FIRST: [&str; 3] = ["Ada", "Ben", "Chen"];
/// As many as fit into the page.
const MOST: usize = 12;
/// The longest name, in characters.
const LONGEST_NAME: usize = 24;

/// A person, as the browser is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Person {
    pub(super) id: i64,
    pub(super) name: String,
}

/// The people, and Telegram in their hands.
#[derive(Debug)]
pub(super) struct People {
    app: App,
    known: Mutex<Vec<(Person, User)>>,
    /// How many people there are, for tasks that wait for more.
    count: watch::Sender<usize>,
}

impl People {
    pub(super) fn new(app: App) -> Self {
        let known: Vec<_> = FIRST.iter().map(|name| person(&app, name)).collect();
        let count = watch::Sender::new(known.len());
        Self { app, known: Mutex::new(known), count }
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// All of them, in the order in which they came.
    pub(super) fn all(&self) -> Vec<Person> {
        self.lock().iter().map(|(person, _)| person.clone()).collect()
    }

    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    pub(super) fn get(&self, id: i64) -> Result<User, Problem> {
        let known = self.lock();
        let found = known.iter().find(|(person, _)| person.id == id).map(|(_, user)| user.clone());
        found.ok_or_else(|| Problem::not_found("There is no such person on this page."))
    }

    /// One more.
    pub(super) fn add(&self, name: &str) -> Result<Person, Problem> {
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Problem::bad("A person needs a name."));
        }
        if name.chars().count() > LONGEST_NAME {
            return Err(Problem::bad(format!("A name can have at most {LONGEST_NAME} letters here.")));
        }
        let mut known = self.lock();
        if known.iter().any(|(person, _)| person.name == name) {
            return Err(Problem::conflict(format!("{name} is here already.")));
        }
        if known.len() >= MOST {
            return Err(Problem::conflict(format!("The page has room for {MOST} people.")));
        }
        let added = person(&self.app, &name);
        known.push(added.clone());
        self.count.send_replace(known.len());
        Ok(added.0)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Person, User)>> {
        // No code in here can leave it half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn person(app: &App, name: &str) -> (Person, User) {
    let user = app.user(name);
    (Person { id: user.id(), name: name.to_owned() }, user)
}
