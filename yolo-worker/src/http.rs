//! Every route in one screen.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use fleet::{FailureReason, Prediction, Status, Wish};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::field::display;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::attempt::Worker;
use crate::pipeline::NoResult;
use crate::readiness::Readiness;

/// Where the photos of `/predict` lie in the bucket.
const PREFIX: &str = "images/original/";

/// What the routes need.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) worker: Arc<Worker>,
    /// As many callers of `/predict` at once as there are threads.
    pub(crate) slots: Semaphore,
    pub(crate) readiness: Readiness,
}

/// `/predict`, `/healthz` and `/metrics`.
pub(crate) fn routes(context: Arc<Context>, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/predict", post(predict))
        .route("/healthz", get(healthz))
        .with_state(context)
        .route("/metrics", get(move || async move { metrics.render() }))
}

/// 200 once it takes jobs: only then it counts as a worker.
async fn healthz(State(context): State<Arc<Context>>) -> (StatusCode, &'static str) {
    match context.readiness.is_ready() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "no receive was answered yet"),
    }
}

#[derive(Deserialize)]
struct PredictQuery {
    #[serde(rename = "imgName")]
    img_name: Option<String>,
}

/// Detect a photo that is in the bucket already, and answer when it is done. The door of the first system, for callers
/// inside the network; photos from people come through the queue.
async fn predict(State(context): State<Arc<Context>>, Query(query): Query<PredictQuery>) -> Response {
    let refuse = |status: StatusCode, reason: &str| (status, Json(json!({"error": reason}))).into_response();
    let Some(name) = query.img_name.filter(|name| !name.is_empty()) else {
        return refuse(StatusCode::BAD_REQUEST, "imgName is missing");
    };
    if !stays_in_its_prefix(&name) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "imgName is not the name of a photo: letters, digits, . _ - and / only",
        );
    }
    let Ok(_slot) = context.slots.try_acquire() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "busy; try again later");
    };
    let worker = &context.worker;
    let prediction_id = Uuid::now_v7();
    Span::current().record("prediction_id", display(prediction_id));
    let original = format!("{PREFIX}{name}");
    // A request that was accepted is answered, also at shutdown.
    let span = tracing::info_span!("predict", %prediction_id, image_key = original);
    let (wish, never) = (Wish::default(), CancellationToken::new());
    let result = match worker.pipeline.detect(&original, prediction_id, &wish, &never).instrument(span).await {
        Ok(result) => result,
        Err(NoResult::Failed(FailureReason::PhotoGone)) => {
            return refuse(StatusCode::NOT_FOUND, "there is no such photo");
        }
        Err(NoResult::Failed(reason)) => {
            let is_ours = matches!(
                reason,
                FailureReason::DetectorFailed | FailureReason::DetectorPanicked | FailureReason::ResultNotEncoded
            );
            let status = if is_ours { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::UNSUPPORTED_MEDIA_TYPE };
            return refuse(status, &reason.to_string());
        }
        Err(NoResult::Stopping) => return refuse(StatusCode::SERVICE_UNAVAILABLE, "stopping; ask another worker"),
        Err(NoResult::Aws(error)) => {
            fleet::log!(PREDICT_CALL_FAILED, %error, %prediction_id, "a call of /predict failed");
            return refuse(StatusCode::BAD_GATEWAY, "the photo could not be read or stored; try again later");
        }
    };
    let time = worker.clock.now();
    // Nobody in Telegram waits for it: it counts as delivered.
    let record = Prediction {
        status: Status::Done,
        predicted_img_path: Some(result.predicted_img_path),
        labels: result.labels,
        model: Some(result.model),
        delivered_at: Some(time),
        ..Prediction::queued(prediction_id, 0, 0, original, time)
    };
    if let Err(error) = worker.predictions.insert(&record).await {
        fleet::log!(PREDICT_CALL_FAILED, %error, %prediction_id, "a call of /predict failed");
        return refuse(StatusCode::BAD_GATEWAY, "the result could not be recorded; try again later");
    }
    let label = |label: &fleet::Label| {
        let fleet::Label { class, cx, cy, width, height, .. } = label;
        json!({"class": class, "cx": cx, "cy": cy, "height": height, "width": width})
    };
    Json(json!({
        "prediction_id": record.prediction_id,
        "original_img_path": record.original_img_path,
        "predicted_img_path": record.predicted_img_path,
        "labels": record.labels.iter().map(label).collect::<Vec<_>>(),
        "time": record.time,
    }))
    .into_response()
}

/// A name that can't be read as anything but a path below the prefix.
fn stays_in_its_prefix(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_part = |part: &str| !part.is_empty() && !part.bytes().all(|byte| byte == b'.') && part.bytes().all(is_plain);
    name.len() <= 512 && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_prefix() {
        for name in ["street.jpeg", "2026/11/a_b-c.png", "a"] {
            assert!(stays_in_its_prefix(name), "{name}");
        }
        for name in ["../secret", "a/../b", "/etc/passwd", "a//b", ".", "a/./b", "a b", "a%2e", "a\\b", "ä.jpg", "a/"]
        {
            assert!(!stays_in_its_prefix(name), "{name}");
        }
        assert!(!stays_in_its_prefix(&"a".repeat(513)));
    }
}
