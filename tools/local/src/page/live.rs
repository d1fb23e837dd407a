//! What a browser is told, as server-sent events over one connection (a browser opens only six to one address, so the
//! chats and the fleet share it):
//!
//! - `hello` once: which run this is, the people, the captions
//! - `people` whenever there are more
//! - `chat` for each event in a chat of theirs, from the first on or from where the browser left off; `caught-up` when
//!   all of the past was told
//! - `history` once, then `fleet` each second

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use serde::Serialize;
use serde_json::json;
use telegram_sandbox::Subscription;
use tokio::sync::{mpsc, watch};

use super::Shared;
use super::people::People;

/// How many events wait for a slow browser before the chat waits, too. The fleet's states never wait: only the newest
/// is told.
const AHEAD: usize = 64;

pub(super) async fn live(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    // A browser that was connected to an earlier run is told all.
    let seen = last.and_then(|id| id.strip_prefix(&shared.run)?.strip_prefix('-')?.parse::<usize>().ok());
    let (tell, told) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let stop = shared.stop.clone();
        let mut viewer = Viewer { shared, tell };
        tokio::select! {
            // It ends when the browser is gone.
            _ = viewer.tell_all(seen.map_or(0, |seen| seen + 1)) => {}
            () = stop.cancelled() => {}
        }
    });
    let events = futures_util::stream::unfold(told, |mut told| async move {
        let event = told.recv().await?;
        Some((Ok(event), told))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// The browser has gone.
struct Gone;

/// One browser.
struct Viewer {
    shared: Arc<Shared>,
    tell: mpsc::Sender<Event>,
}

impl Viewer {
    /// All there is to tell, chat events from `first` on.
    async fn tell_all(&mut self, first: usize) -> Result<(), Gone> {
        let shared = Arc::clone(&self.shared);
        let captions: Vec<_> = polybot::command::TABLE
            .iter()
            .map(|entry| json!({ "caption": entry.example.0, "name": entry.name, "description": entry.description }))
            .collect();
        let hello = json!({
            "run": shared.run,
            "has_chat": shared.people.is_some(),
            "can_kill": shared.launcher.is_some(),
            "captions": captions,
        });
        self.tell("hello", &hello).await?;
        let history = shared.board.history().unwrap_or_else(|_| "[]".into());
        self.send(Event::default().event("history").data(history)).await?;
        let mut fleet = shared.board.now();
        let Some(people) = &shared.people else {
            loop {
                self.tell_fleet(&mut fleet).await?;
            }
        };
        let mut chats = people.app().subscribe_from(first);
        // What happened before is told first, so that the browser knows when it may speak up about what is new.
        let past = people.app().events_length();
        // Subscribed before the people are listed: a person who comes in between is told twice rather than never.
        let mut count = people.count();
        self.tell("people", &people.all()).await?;
        for _ in first..past {
            self.tell_chat(people, &mut chats).await?;
        }
        self.tell("caught-up", &json!({})).await?;
        loop {
            tokio::select! {
                // The browser leaves out what is said by somebody of whom it has not been told. The chats come last: in a
                // flood, of which they tell nothing, there is always a next event.
                biased;
                changed = count.changed() => {
                    changed.map_err(|_| Gone)?;
                    self.tell("people", &people.all()).await?;
                }
                told = self.tell_fleet(&mut fleet) => told?,
                told = self.tell_chat(people, &mut chats) => told?,
            }
        }
    }

    /// The next event of the chats, if it is one of theirs.
    async fn tell_chat(&self, people: &People, chats: &mut Subscription) -> Result<(), Gone> {
        // To be given up safely, an event that was taken must be told: the room for it comes first.
        let room = self.tell.reserve().await.map_err(|_| Gone)?;
        let Some(event) = chats.next().await else { return std::future::pending().await };
        if people.get(event.chat_id()).is_ok() {
            let id = format!("{}-{}", self.shared.run, event.seq);
            let data = serde_json::to_string(&*event).unwrap_or_default();
            room.send(Event::default().event("chat").id(id).data(data));
        }
        Ok(())
    }

    /// The fleet, when it was looked at again.
    async fn tell_fleet(&self, fleet: &mut watch::Receiver<Arc<super::fleet_state::FleetState>>) -> Result<(), Gone> {
        let room = self.tell.reserve().await.map_err(|_| Gone)?;
        fleet.changed().await.map_err(|_| Gone)?;
        let state = Arc::clone(&fleet.borrow_and_update());
        room.send(Event::default().event("fleet").data(serde_json::to_string(&*state).unwrap_or_default()));
        Ok(())
    }

    async fn tell(&self, name: &str, data: &impl Serialize) -> Result<(), Gone> {
        self.send(Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())).await
    }

    async fn send(&self, event: Event) -> Result<(), Gone> {
        self.tell.send(event).await.map_err(|_| Gone)
    }
}
