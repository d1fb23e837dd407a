//! Calls that are made to go wrong on purpose.

use std::collections::{HashMap, VecDeque};

use crate::refusal::Refusal;

/// What happens to a call that [`crate::Sandbox::fail_next`] picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this error; nothing is done.
    Refuse {
        /// HTTP status and `error_code`.
        status: u16,
        /// `description`, in Telegram's words.
        description: String,
        /// `parameters.retry_after`, in seconds.
        retry_after: Option<u64>,
    },
    /// The connection breaks before anything is done.
    Drop,
    /// Done, but the connection breaks before the answer: the caller can't know.
    LoseAnswer,
    /// The call does nothing, and no response comes for as long as the caller waits.
    Hold,
    /// Done, but no answer comes, for as long as the caller waits.
    HoldAnswer,
}

impl Fault {
    /// 429 with this many seconds to wait.
    pub fn too_many_requests(retry_after: u64) -> Self {
        let refusal = Refusal::too_many_requests(retry_after);
        Self::Refuse { status: refusal.status, description: refusal.description, retry_after: refusal.retry_after }
    }

    /// Any other error answer.
    pub fn refuse(status: u16, description: impl Into<String>) -> Self {
        Self::Refuse { status, description: description.into(), retry_after: None }
    }
}

/// The faults waiting for their calls, by method.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    waiting: HashMap<String, VecDeque<Fault>>,
}

impl Faults {
    pub(crate) fn add(&mut self, method: &str, times: usize, fault: &Fault) {
        let waiting = self.waiting.entry(method.to_ascii_lowercase()).or_default();
        waiting.extend(std::iter::repeat_n(fault.clone(), times));
    }

    pub(crate) fn forget(&mut self, method: &str) {
        self.waiting.remove(&method.to_ascii_lowercase());
    }

    pub(crate) fn take(&mut self, method: &str) -> Option<Fault> {
        self.waiting.get_mut(method)?.pop_front()
    }
}
