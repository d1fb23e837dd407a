//! `getUpdates`: the bot asks, and waits.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::named::allowed_updates;
use crate::params::Params;
use crate::refusal::Refusal;
use crate::shared::Shared;

/// Telegram waits no longer, whatever is asked for.
const LONGEST_WAIT: i64 = 50;

pub(crate) async fn get_updates(shared: &Shared, params: &Params) -> Result<Value, Refusal> {
    let kinds = allowed_updates(params)?;
    let offset = params.integer("offset").unwrap_or(0);
    let limit = params.integer("limit").unwrap_or(100).clamp(1, 100) as usize;
    let wait = params.integer("timeout").unwrap_or(0).clamp(0, LONGEST_WAIT);
    let deadline = Instant::now() + Duration::from_secs(wait as u64);

    let mut changed = shared.changed.subscribe();
    let turn = shared.change(|world| {
        if let Some(kinds) = kinds {
            world.outbox.allow(&kinds);
        }
        world.poll_turn += 1;
        world.poll_turn
    });
    loop {
        changed.borrow_and_update();
        {
            let mut world = shared.world();
            if world.webhook.url.is_some() {
                return Err(Refusal::new(
                    409,
                    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the \
                     webhook first",
                ));
            }
            if world.poll_turn != turn {
                return Err(Refusal::new(
                    409,
                    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is \
                     running",
                ));
            }
            let updates = world.outbox.take(offset, limit);
            if !updates.is_empty() {
                return Ok(Value::Array(updates));
            }
        }
        let woken = tokio::select! {
            woken = timeout_at(deadline, changed.changed()) => matches!(woken, Ok(Ok(()))),
            () = shared.stop.cancelled() => false,
        };
        if !woken {
            return Ok(json!([]));
        }
    }
}
