//! Every route in one screen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use tracing::Span;
use tracing::field::display;
use uuid::Uuid;

use crate::inbox::{Inbox, NotKept};
use crate::incoming::Incoming;
use crate::{Answers, DeliverError, Delivered, secret};

const WEBHOOK: &str = "/webhook";
const RESULTS: &str = "/results";
const LOAD_TEST: &str = "/loadTest";

/// What the routes need.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) inbox: Inbox,
    pub(crate) answers: Answers,
    /// Whether all is settled with Telegram.
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) webhook_secret: SecretString,
    pub(crate) results_secret: SecretString,
    /// Set where load tests are allowed.
    pub(crate) load_test_secret: Option<SecretString>,
}

impl Context {
    /// Whether a request's body is read: only on the routes that want one, and only if whoever sends it knows the route's
    /// secret. To the others it is empty; the routes themselves refuse them.
    pub(crate) fn reads(&self, head: &Parts) -> bool {
        match head.uri.path() {
            WEBHOOK => self.is_telegram(&head.headers),
            LOAD_TEST => self.is_load_generator(&head.headers),
            _ => false,
        }
    }

    fn is_telegram(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get("x-telegram-bot-api-secret-token").and_then(|value| value.to_str().ok());
        secret::equal(shown.unwrap_or_default(), &self.webhook_secret)
    }

    fn is_worker(&self, headers: &HeaderMap) -> bool {
        secret::equal(bearer(headers).unwrap_or_default(), &self.results_secret)
    }

    fn is_load_generator(&self, headers: &HeaderMap) -> bool {
        let secret = self.load_test_secret.as_ref();
        secret.zip(bearer(headers)).is_some_and(|(secret, shown)| secret::equal(shown, secret))
    }
}

pub(crate) fn routes(context: Arc<Context>, metrics: PrometheusHandle) -> Router {
    let ready = Arc::clone(&context.ready);
    let mut routes = Router::new().route(WEBHOOK, post(webhook)).route(RESULTS, get(results).post(results));
    if context.load_test_secret.is_some() {
        routes = routes.route(LOAD_TEST, post(load_test));
    }
    routes
        .with_state(context)
        .route("/", get(|| async { "ok" }))
        .route("/healthz", get(move || healthz(ready)))
        .route("/metrics", get(move || async move { metrics.render() }))
}

/// Whether updates are taken. A load balancer asks `/` instead: it should not replace an instance because Telegram is slow.
async fn healthz(ready: Arc<AtomicBool>) -> (StatusCode, &'static str) {
    if ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: Telegram has not answered yet")
    }
}

/// An update from Telegram. 200 when what it asks is kept, and before anything is done about it; anything else and Telegram
/// sends it again.
async fn webhook(State(context): State<Arc<Context>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    if !context.is_telegram(&headers) {
        return (StatusCode::FORBIDDEN, "the secret is missing or wrong".into());
    }
    let update: Value = match serde_json::from_slice(&body) {
        Ok(update) => update,
        Err(error) => {
            tracing::warn!(%error, bytes = body.len(), "an update is not JSON");
            return (StatusCode::BAD_REQUEST, "this is no update".into());
        }
    };
    let update_id = update["update_id"].as_i64();
    Span::current().record("update_id", update_id);
    match context.inbox.keep(&update).await {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(NotKept::NoUpdate(error)) => (StatusCode::BAD_REQUEST, format!("this is no update: {error}")),
        Err(NotKept::Busy) => (StatusCode::CONFLICT, "being handled; try again".into()),
        Err(error @ (NotKept::NotReady | NotKept::Full | NotKept::Aws(_))) => {
            fleet::log!(UPDATE_NOT_KEPT, update_id, %error, "an update was not recorded; Telegram delivers it again");
            (StatusCode::SERVICE_UNAVAILABLE, "try again".into())
        }
    }
}

/// A message as Telegram would bring it, from a load generator. Answers the id of the prediction, if it asked for one.
async fn load_test(State(context): State<Arc<Context>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    if !context.is_load_generator(&headers) {
        return (StatusCode::FORBIDDEN, "the secret is missing or wrong".into());
    }
    let message: Value = match serde_json::from_slice(&body) {
        Ok(message) => message,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("this is no Telegram message: {error}")),
    };
    let Some(me) = context.inbox.me.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: Telegram has not answered yet".into());
    };
    let Some(incoming) = Incoming::read(&message, me) else {
        return (
            StatusCode::BAD_REQUEST,
            "this is no Telegram message of a person: it needs chat, from and message_id".into(),
        );
    };
    let prediction_id = Uuid::now_v7();
    Span::current().record("prediction_id", display(prediction_id));
    match context.inbox.updates.message(&incoming, prediction_id).await {
        Ok(()) => (StatusCode::OK, serde_json::json!({"prediction_id": prediction_id}).to_string()),
        Err(error) => {
            fleet::log!(LOAD_TEST_FAILED, %prediction_id, %error, "a message of a load test failed");
            (StatusCode::SERVICE_UNAVAILABLE, "try again".into())
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

#[derive(Deserialize)]
struct ResultsQuery {
    #[serde(rename = "predictionId")]
    prediction_id: Option<String>,
}

/// A worker says that a prediction is finished.
async fn results(
    State(context): State<Arc<Context>>,
    Query(query): Query<ResultsQuery>,
    headers: HeaderMap,
) -> (StatusCode, String) {
    if !context.is_worker(&headers) {
        return (StatusCode::FORBIDDEN, "the secret is missing or wrong".into());
    }
    let Some(id) = query.prediction_id.filter(|id| !id.is_empty()) else {
        return (StatusCode::BAD_REQUEST, "predictionId is missing".into());
    };
    let Ok(prediction_id) = Uuid::parse_str(&id) else {
        return (StatusCode::NOT_FOUND, "there is no such prediction".into());
    };
    Span::current().record("prediction_id", display(prediction_id));
    match context.answers.deliver(prediction_id).await {
        Ok(Delivered::Now) => (StatusCode::OK, "delivered".into()),
        Ok(Delivered::Before) => (StatusCode::OK, "delivered before".into()),
        Ok(Delivered::ToNobody) => (StatusCode::OK, "nobody waits for it".into()),
        Ok(Delivered::Unreachable) => (StatusCode::OK, "nobody is there to be told".into()),
        Ok(Delivered::WithItsAlbum) => (StatusCode::ACCEPTED, "delivered with its album".into()),
        Ok(Delivered::Later) => (StatusCode::ACCEPTED, "failed before; it will be tried again".into()),
        Ok(Delivered::InProgress) => (StatusCode::ACCEPTED, "being delivered".into()),
        Err(error @ DeliverError::Unknown(_)) => (StatusCode::NOT_FOUND, error.to_string()),
        Err(error @ DeliverError::NotFinished(_)) => (StatusCode::CONFLICT, error.to_string()),
        Err(error) => {
            tracing::warn!(%prediction_id, %error, "the answer was not delivered; the sweep retries");
            (StatusCode::BAD_GATEWAY, "not delivered; it will be tried again".into())
        }
    }
}
