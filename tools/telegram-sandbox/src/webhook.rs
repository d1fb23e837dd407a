//! Where updates go: what `setWebhook` said, and what the sandbox's owner said instead.

use bytes::Bytes;

/// What `setWebhook` said.
#[derive(Debug, Default)]
pub(crate) struct Webhook {
    pub(crate) url: Option<String>,
    pub(crate) secret: Option<String>,
    pub(crate) certificate: Option<Bytes>,
    pub(crate) max_connections: usize,
    pub(crate) last_error: Option<(u64, String)>,
}

/// Where updates really go, if not to the webhook's own URL.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) instead: Vec<String>,
    pub(crate) twice: bool,
    turn: usize,
}

impl Routes {
    pub(crate) fn next(&mut self, webhook: &str) -> String {
        if self.instead.is_empty() {
            return webhook.to_owned();
        }
        self.turn += 1;
        self.instead[(self.turn - 1) % self.instead.len()].clone()
    }
}
