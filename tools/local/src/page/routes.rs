//! Every route in one screen.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};

use super::{Shared, assets, files, guard, live, posting, steering};

/// The largest JSON body. Forms with photos have a limit of their own.
const MAX_JSON: usize = 16 * 1024;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(assets::index))
        .route("/{name}", get(assets::asset))
        .route("/api/live", get(live::live))
        .route("/api/files/{file_id}", get(files::file))
        .route("/api/people", post(posting::meet))
        .route("/api/people/{id}/messages", post(posting::post))
        .route("/api/people/{id}/presses", post(posting::press))
        .route("/api/instances/{id}/kill", post(steering::kill))
        .route("/api/flood", post(steering::start_flood).delete(steering::stop_flood))
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .layer(middleware::from_fn(guard::guard))
        .with_state(shared)
}
