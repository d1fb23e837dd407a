//! Updates posted to the bot's webhook, as Telegram posts them: at most `max_connections` at once, one chat's one after another,
//! and again until they are taken.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::redirect::Policy;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use crate::outbox::Next;
use crate::shared::Shared;
use crate::state::{World, unix_seconds};

/// How long the bot may take for one update.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const SECRET_HEADER: &str = "X-Telegram-Bot-Api-Secret-Token";

/// The webhook as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookStatus {
    /// Where the bot wants its updates; `None` while it asks for them itself.
    pub url: Option<String>,
    /// What the header `X-Telegram-Bot-Api-Secret-Token` carries.
    pub secret: Option<String>,
    /// The certificate that came with it.
    pub certificate: Option<Bytes>,
    /// How many posts at once.
    pub max_connections: usize,
    /// Which updates; `None` is Telegram's default.
    pub allowed_updates: Option<Vec<String>>,
    /// How many updates are not taken yet.
    pub pending: usize,
    /// Why the last failed post failed.
    pub last_error: Option<String>,
}

impl WebhookStatus {
    pub(crate) fn of(world: &World) -> Self {
        Self {
            url: world.webhook.url.clone(),
            secret: world.webhook.secret.clone(),
            certificate: world.webhook.certificate.clone(),
            max_connections: world.webhook.max_connections,
            allowed_updates: world.outbox.allowed(),
            pending: world.outbox.pending(),
            last_error: world.webhook.last_error.as_ref().map(|(_, error)| error.clone()),
        }
    }
}

struct Delivery {
    lane: i64,
    update_id: i64,
    update: Value,
    secret: Option<String>,
    url: String,
    /// Where the same update goes once more.
    echo: Option<String>,
}

enum Step {
    Deliver(Delivery),
    WaitUntil(Instant),
    Wait,
}

fn next_step(world: &mut World) -> Step {
    let Some(url) = world.webhook.url.clone() else { return Step::Wait };
    match world.outbox.next(world.webhook.max_connections, Instant::now()) {
        Next::Deliver { lane, update_id, update } => {
            let secret = world.webhook.secret.clone();
            let first = world.routes.next(&url);
            let echo = world.routes.twice.then(|| world.routes.next(&url));
            Step::Deliver(Delivery { lane, update_id, update, secret, url: first, echo })
        }
        Next::WaitUntil(moment) => Step::WaitUntil(moment),
        Next::Wait => Step::Wait,
    }
}

/// Posts updates until the sandbox stops.
pub(crate) async fn run(shared: Arc<Shared>, client: reqwest::Client) {
    let deliveries = TaskTracker::new();
    let mut changed = shared.changed.subscribe();
    loop {
        changed.borrow_and_update();
        let step = next_step(&mut shared.world());
        let rested = match step {
            Step::Deliver(delivery) => {
                deliveries.spawn(deliver(shared.clone(), client.clone(), delivery));
                continue;
            }
            Step::WaitUntil(moment) => Some(moment),
            Step::Wait => None,
        };
        let rest = async {
            match rested {
                Some(moment) => tokio::time::sleep_until(moment.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = rest => {}
            changed = changed.changed() => if changed.is_err() { break },
            () = shared.stop.cancelled() => break,
        }
    }
}

pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().redirect(Policy::none()).build()
}

async fn deliver(shared: Arc<Shared>, client: reqwest::Client, delivery: Delivery) {
    let Delivery { lane, update_id, update, secret, url, echo } = delivery;
    let begun = Instant::now();
    let first = async {
        let outcome = post(&client, &url, secret.as_deref(), &update).await;
        (outcome, begun.elapsed())
    };
    // The echo is what Telegram sends when it lost the answer to the first: what comes of it changes nothing.
    let again = async {
        if let Some(url) = &echo {
            let _ = post(&client, url, secret.as_deref(), &update).await;
        }
    };
    let (outcome, took) = tokio::select! {
        (posted, ()) = async { tokio::join!(first, again) } => posted,
        () = shared.stop.cancelled() => return,
    };
    shared.change(|world| {
        if let Err(error) = &outcome {
            tracing::debug!(update_id, url, error, "the webhook did not take an update");
            world.webhook.last_error = Some((unix_seconds(), error.clone()));
        }
        world.webhook_times.push(took);
        world.outbox.delivered(lane, update_id, outcome.is_ok(), Instant::now());
    });
}

async fn post(client: &reqwest::Client, url: &str, secret: Option<&str>, update: &Value) -> Result<(), String> {
    if !is_loopback(url) {
        return Err(format!("the sandbox delivers to this machine only, not to {url}"));
    }
    let mut request = client.post(url).json(update);
    if let Some(secret) = secret {
        request = request.header(SECRET_HEADER, secret);
    }
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("Wrong response from the webhook: {}", answer.status())),
        Err(error) if error.is_connect() => Err("Connection refused".into()),
        Err(error) if error.is_timeout() => Err("Read timeout expired".into()),
        Err(error) => Err(error.without_url().to_string()),
    }
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_posted_to() {
        assert!(is_loopback("http://127.0.0.1:8443/webhook"));
        assert!(is_loopback("http://[::1]:8443/webhook"));
        assert!(is_loopback("https://localhost/webhook"));
        assert!(!is_loopback("https://polybot.example/webhook"));
        assert!(!is_loopback("http://localhost.example/"));
    }
}
