//! What a sandbox is started with.

use std::path::PathBuf;

use crate::RateLimits;

/// How to start a [`crate::Sandbox`]. The default is a well-behaved Telegram without rate limits.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The bot's token; calls with any other are answered 401.
    pub token: String,
    /// The bot's username, without `@`.
    pub bot_username: String,
    /// The bot's name, as people see it.
    pub bot_name: String,
    /// Sending faster than this is answered 429. Off by default, so that tests are not slowed.
    pub limits: Option<RateLimits>,
    /// BotFather's privacy mode: groups show the bot only what speaks to it. `getMe` says so; what is brought is up to the test.
    pub privacy_mode: bool,
    /// As a Bot API server with `--local`: files are kept in this folder, and `getFile` returns their absolute paths.
    pub local_files: Option<PathBuf>,
    /// Post each update to the webhook twice at the same moment, as Telegram may after a lost answer.
    pub deliver_twice: bool,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            token: "7000000001:SANDBOX-not-a-real-token-0123456789".into(),
            bot_username: "polybot_sandbox_bot".into(),
            bot_name: "Polybot".into(),
            limits: None,
            privacy_mode: false,
            local_files: None,
            deliver_twice: false,
        }
    }
}
