//! The commands that the bot announces.

use serde::{Deserialize, Serialize};

/// A command as the bot announced it with `setMyCommands`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BotCommand {
    /// The command, without the slash.
    pub command: String,
    /// What it does.
    pub description: String,
}
