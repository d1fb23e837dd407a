//! Filters at work: a photo from Telegram, changed off the async runtime, and back.

use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use photo::Limits;
use teloxide::types::FileId;
use tokio::sync::Semaphore;

use crate::detection::HandleError;
use crate::filters::{self, Concat, Filter};
use crate::{Telegram, buttons, reply};

/// JPEG quality of what is sent; Telegram recompresses it anyway.
const QUALITY: u8 = 90;

/// Changes photos; at most one on each core at a time.
#[derive(Clone, Debug)]
pub struct Darkroom {
    telegram: Telegram,
    /// A photo decoded is up to 150 MB: no more at once than there are cores.
    cores: Arc<Semaphore>,
}

/// What came out: a JPEG, or a sentence for the user.
type Developed = Result<Bytes, String>;

impl Darkroom {
    /// With this bot.
    #[must_use]
    pub fn new(telegram: Telegram) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { telegram, cores: Arc::new(Semaphore::new(cores)) }
    }

    /// Apply a filter to the photo of a message and reply with the result.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub async fn filter(
        &self,
        chat_id: i64,
        message_id: i32,
        file_id: &FileId,
        filter: Filter,
    ) -> Result<(), HandleError> {
        let ((), developed) = tokio::join!(self.telegram.show_uploading(chat_id), self.develop(file_id, filter));
        match developed? {
            Ok(jpeg) => {
                let buttons = buttons::under_result();
                self.telegram.send_photo(chat_id, message_id, jpeg, &reply::filtered(&filter), buttons).await?;
            }
            Err(sentence) => {
                self.telegram.send_text(chat_id, message_id, &reply::failed(&sentence)).await?;
            }
        }
        Ok(())
    }

    /// Download a photo and apply a filter to it.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub async fn develop(&self, file_id: &FileId, filter: Filter) -> Result<Developed, HandleError> {
        let bytes = match self.download(file_id).await? {
            Ok(bytes) => bytes,
            Err(sentence) => return Ok(Err(sentence)),
        };
        Ok(self.work(move || Ok(filters::apply(&filter, decode(&bytes)?))).await)
    }

    /// Download the photos and join them.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub async fn join(&self, file_ids: &[FileId], order: Concat) -> Result<Developed, HandleError> {
        let mut photos = Vec::with_capacity(file_ids.len());
        for file_id in file_ids {
            match self.download(file_id).await? {
                Ok(bytes) => photos.push(bytes),
                Err(sentence) => return Ok(Err(sentence)),
            }
        }
        let join = move || {
            let photos = photos.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
            filters::concat(&photos, order).map_err(|error| error.to_string())
        };
        Ok(self.work(join).await)
    }

    async fn download(&self, file_id: &FileId) -> Result<Result<Bytes, String>, HandleError> {
        match self.telegram.download(file_id).await {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(error) if error.is_too_large() => Ok(Err(reply::TOO_LARGE_REASON.into())),
            Err(error) if error.is_gone() => {
                tracing::warn!(%error, "a photo was not given");
                Ok(Err(reply::GONE_REASON.into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Run it on a thread where it may take its time, and encode what comes out.
    async fn work(&self, work: impl FnOnce() -> Result<RgbImage, String> + Send + 'static) -> Developed {
        // The semaphore is never closed.
        let _core = self.cores.acquire().await.map_err(|error| error.to_string())?;
        let worked = tokio::task::spawn_blocking(move || to_jpeg(&work()?)).await;
        worked.unwrap_or_else(|error| {
            tracing::error!(%error, "a filter panicked");
            Err("something in this photo breaks the filter; it was reported".into())
        })
    }
}

fn decode(bytes: &Bytes) -> Result<RgbImage, String> {
    photo::decode(bytes, &Limits::default()).map_err(|error| error.to_string())
}

fn to_jpeg(image: &RgbImage) -> Developed {
    let mut jpeg = Cursor::new(Vec::new());
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    image.write_with_encoder(encoder).map_err(|error| format!("the result can't be written: {error}"))?;
    Ok(jpeg.into_inner().into())
}
