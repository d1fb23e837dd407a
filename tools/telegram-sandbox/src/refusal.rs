//! The answer to a call that can't be done, in Telegram's words.

use serde_json::{Value, json};

/// Bots tell errors apart by `description` alone, so each text here is the real server's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) description: String,
    pub(crate) retry_after: Option<u64>,
    pub(crate) migrate_to: Option<i64>,
}

impl Refusal {
    pub(crate) fn new(status: u16, description: impl Into<String>) -> Self {
        Self { status, description: description.into(), retry_after: None, migrate_to: None }
    }

    pub(crate) fn migrated(supergroup: i64) -> Self {
        let migrate_to = Some(supergroup);
        Self { migrate_to, ..Self::bad_request("group chat was upgraded to a supergroup chat") }
    }

    pub(crate) fn no_rights(what: &str) -> Self {
        Self::bad_request(format!("not enough rights to send {what} to the chat"))
    }

    pub(crate) fn bad_request(reason: impl AsRef<str>) -> Self {
        Self::new(400, format!("Bad Request: {}", reason.as_ref()))
    }

    pub(crate) fn chat_not_found() -> Self {
        Self::bad_request("chat not found")
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized")
    }

    pub(crate) fn no_such_method() -> Self {
        Self::new(404, "Not Found: method not found")
    }

    pub(crate) fn too_large() -> Self {
        Self::new(413, "Request Entity Too Large")
    }

    pub(crate) fn too_many_requests(retry_after: u64) -> Self {
        Self {
            status: 429,
            description: format!("Too Many Requests: retry after {retry_after}"),
            retry_after: Some(retry_after),
            migrate_to: None,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut answer = json!({ "ok": false, "error_code": self.status, "description": self.description });
        if let Some(seconds) = self.retry_after {
            answer["parameters"] = json!({ "retry_after": seconds });
        }
        if let Some(supergroup) = self.migrate_to {
            answer["parameters"] = json!({ "migrate_to_chat_id": supergroup });
        }
        answer
    }
}
