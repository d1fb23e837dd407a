//! Through polybot's `/loadTest`.

use std::time::Duration;

use reqwest::{Client, Url, multipart};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::accounts::JobNumber;
use crate::books::Books;
use crate::records::{AnsweredWhen, Records};
use crate::{FleetStores, FloodError, Photo};

/// The longest that polybot may take for one message: it downloads the photo and stores it meanwhile.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Through polybot's `/loadTest`, as Telegram's messages would come. A job is answered when its record says that the chat
/// was told.
#[derive(Clone)]
pub struct LoadTestDoor {
    /// Where the records are.
    pub fleet: FleetStores,
    /// The whole address of `/loadTest`.
    pub url: Url,
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
        api_url: Url,
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
            Self::Upload { .. } => f.debug_struct("Upload").finish_non_exhaustive(),
        }
    }
}

/// A photo that Telegram has, in a message that can be replied to.
#[derive(Clone, Debug)]
struct Sent {
    /// As the Bot API shows it in a message: the sizes.
    sizes: Value,
    message_id: i32,
}

impl LoadTestDoor {
    pub(crate) async fn open(self, photos: Vec<Photo>) -> Result<Open, FloodError> {
        let client = Client::builder().connect_timeout(Duration::from_secs(5)).timeout(TIMEOUT).build();
        let client = client.map_err(|error| FloodError::Http(format!("no HTTP client can be made: {error}")))?;
        let mut sent = Vec::new();
        match &self.files {
            TelegramFiles::Known(file_ids) => sent.extend(file_ids.iter().map(|file_id| known(file_id))),
            TelegramFiles::Upload { api_url, token } => {
                for photo in photos {
                    sent.push(upload(&client, api_url, token, self.chat_id, photo).await?);
                }
            }
        }
        if sent.is_empty() {
            return Err(FloodError::NoPhotos { paths: Vec::new() });
        }
        let records = Records::new(self.fleet.predictions.clone(), AnsweredWhen::Told);
        Ok(Open { door: self, client, photos: sent, records })
    }
}

fn known(file_id: &str) -> Sent {
    let size = json!({"file_id": file_id, "file_unique_id": file_id, "file_size": 0, "width": 320, "height": 320});
    Sent { sizes: json!([size]), message_id: 1 }
}

/// Send the photo to the chat as the bot; Telegram then has it.
async fn upload(client: &Client, api_url: &Url, token: &str, chat_id: i64, photo: Photo) -> Result<Sent, FloodError> {
    let failed = |reason: String| FloodError::Http(format!("a photo can't be sent to chat {chat_id}: {reason}"));
    // The Bot API wants the token in the address; no error may show that.
    let url = format!("{}/bot{token}/sendPhoto", api_url.as_str().trim_end_matches('/'));
    let file = multipart::Part::bytes(photo.bytes.to_vec()).file_name(format!("photo.{}", photo.extension));
    let file = file.mime_str(photo.content_type).map_err(|error| failed(in_words(error)))?;
    let form = multipart::Form::new()
        .text("chat_id", chat_id.to_string())
        .text("caption", "A photo for a load test")
        .text("disable_notification", "true")
        .part("photo", file);
    let answer = client.post(url).multipart(form).send().await;
    let answer = answer.map_err(|error| failed(in_words(error)))?;
    let answer: Value = answer.json().await.map_err(|error| failed(in_words(error)))?;
    let message = &answer["result"];
    let message_id = message["message_id"].as_i64().and_then(|id| i32::try_from(id).ok());
    match message_id {
        Some(message_id) if message["photo"].is_array() => Ok(Sent { sizes: message["photo"].clone(), message_id }),
        _ => Err(failed(format!("Telegram says {}", answer["description"]))),
    }
}

/// The photos are with Telegram.
#[derive(Debug)]
pub(crate) struct Open {
    door: LoadTestDoor,
    client: Client,
    photos: Vec<Sent>,
    records: Records,
}

#[derive(Deserialize)]
struct Accepted {
    prediction_id: Uuid,
}

impl Open {
    pub(crate) fn fleet(&self) -> &FleetStores {
        &self.door.fleet
    }

    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    /// One message.
    pub(crate) async fn send(&self, books: &Books, job: JobNumber) {
        match self.post(job).await {
            Ok(prediction_id) => self.records.expect(job, prediction_id, books.now()),
            Err(reason) => books.failed(job, &format!("not taken: {reason}")),
        }
    }

    async fn post(&self, job: JobNumber) -> Result<Uuid, String> {
        let photo = &self.photos[job as usize % self.photos.len()];
        let chat_id = self.door.chat_id;
        let message = json!({
            "message_id": photo.message_id,
            "date": time::OffsetDateTime::now_utc().unix_timestamp(),
            "chat": {"id": chat_id, "type": "private", "first_name": "Flood"},
            "from": {"id": chat_id, "is_bot": false, "first_name": "Flood"},
            "photo": photo.sizes,
        });
        let request = self.client.post(self.door.url.clone()).bearer_auth(&self.door.secret).body(message.to_string());
        let answer = request.send().await.map_err(in_words)?;
        let status = answer.status();
        let body = answer.text().await.map_err(in_words)?;
        if !status.is_success() {
            return Err(format!("polybot answered {status}: {body}"));
        }
        let accepted: Accepted = serde_json::from_str(&body)
            .map_err(|_| "polybot's answer names no prediction; is it an older version?".to_owned())?;
        Ok(accepted.prediction_id)
    }
}

/// The error with its causes, without the address: that of the Bot API has the token in it.
fn in_words(error: reqwest::Error) -> String {
    fleet::in_words(&error.without_url())
}
