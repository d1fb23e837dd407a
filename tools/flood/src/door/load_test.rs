//! Through polybot's `/loadTest`.

use crate::Fleet;

/// Through polybot's `/loadTest`, as Telegram's messages would come. A job is answered when its record says that the chat
/// was told.
#[derive(Clone)]
pub struct LoadTestDoor {
    /// Where the records are.
    pub fleet: Fleet,
    /// The whole address of `/loadTest`.
    pub url: reqwest::Url,
    /// What it asks for.
    pub secret: String,
    /// The chat that the messages come from, and where the answers go.
    pub chat_id: i64,
    /// The photos, as Telegram knows them.
    pub files: TelegramFiles,
}

/// Photos that Telegram has.
#[derive(Clone)]
pub enum TelegramFiles {
    /// These file ids, which the bot can download.
    Known(Vec<String>),
    /// The flood's photos, which it sends to the chat once, as the bot, to get file ids.
    Upload {
        /// The Bot API's address.
        api_url: reqwest::Url,
        /// The bot's token.
        token: String,
    },
}

/// Without the secret.
impl std::fmt::Debug for LoadTestDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.url.as_str();
        f.debug_struct("LoadTestDoor").field("url", &url).field("chat_id", &self.chat_id).finish_non_exhaustive()
    }
}

/// Without the token.
impl std::fmt::Debug for TelegramFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(file_ids) => f.debug_tuple("Known").field(file_ids).finish(),
            Self::Upload { api_url, .. } => f.debug_struct("Upload").field("api_url", &api_url.as_str()).finish_non_exhaustive(),
        }
    }
}
