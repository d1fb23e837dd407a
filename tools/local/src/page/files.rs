//! The photos and files of the chats.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::problem::Problem;

/// What a browser may show. Anything else, such as HTML or SVG that somebody sent as a file, would run as this page if
/// it were opened: it is handed out to be saved only.
const SHOWN: [&str; 5] = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp"];

pub(super) async fn file(State(shared): State<Arc<Shared>>, Path(file_id): Path<String>) -> Result<Response, Problem> {
    let people = shared.people.as_ref().ok_or_else(Problem::no_chat)?;
    let Some((bytes, media_type)) = people.app().file(&file_id) else {
        return Err(Problem::not_found("There is no such file in the chats."));
    };
    let shown = SHOWN.iter().find(|shown| **shown == media_type);
    let (media_type, disposition) = match shown {
        Some(shown) => (*shown, "inline"),
        None => ("application/octet-stream", "attachment"),
    };
    let headers = [
        (CONTENT_TYPE, media_type),
        (CONTENT_DISPOSITION, disposition),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        // An id never gets another content.
        (CACHE_CONTROL, "private, max-age=86400, immutable"),
    ];
    Ok((headers, bytes).into_response())
}
