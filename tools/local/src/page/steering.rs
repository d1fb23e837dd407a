//! What can be done to the fleet.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Shared;
use super::flooding::Wish;
use super::problem::Problem;

/// Kill a worker without a word, as a machine that dies.
pub(super) async fn kill(
    State(shared): State<Arc<Shared>>,
    Path(instance_id): Path<String>,
) -> Result<StatusCode, Problem> {
    let launcher = shared.launcher.as_ref().ok_or_else(|| Problem::conflict("Nobody here can kill a worker."))?;
    launcher.kill(&instance_id).map_err(|error| Problem::conflict(format!("{error}.")))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Photos in numbers.
pub(super) async fn start_flood(
    State(shared): State<Arc<Shared>>,
    Json(wish): Json<Wish>,
) -> Result<StatusCode, Problem> {
    shared.flooding.start(wish).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// No more of them; what was sent is still answered.
pub(super) async fn stop_flood(State(shared): State<Arc<Shared>>) -> Result<StatusCode, Problem> {
    shared.flooding.stop()?;
    Ok(StatusCode::NO_CONTENT)
}
