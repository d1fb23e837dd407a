//! Why a request was not served, as a sentence for the page's user.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A status and its reason; `{"error": …}` on the wire.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    sentence: String,
}

impl Problem {
    pub(super) fn bad(sentence: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, sentence: sentence.into() }
    }

    pub(super) fn not_found(sentence: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, sentence: sentence.into() }
    }

    pub(super) fn conflict(sentence: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, sentence: sentence.into() }
    }

    pub(super) fn too_large(sentence: impl Into<String>) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, sentence: sentence.into() }
    }

    pub(super) fn foreign(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// The page speaks to the real Telegram, which has no chat to show.
    pub(super) fn no_chat() -> Self {
        Self::conflict("This fleet serves the real Telegram; chat with the bot there.")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.sentence }))).into_response()
    }
}
