//! Filters at work: a photo from Telegram, changed off the async runtime, and back.

use std::sync::Arc;

use bytes::Bytes;
use fleet::{FailureReason, Room};
use image::RgbImage;
use photo::{Header, Limits, PhotoError};
use tokio::sync::Semaphore;

use crate::detection::HandleError;
use crate::filter_error::FilterError;
use crate::incoming::{File, Incoming};
use crate::memory::{Memory, PIXELS};
use crate::telegram::{Fetched, MAX_DOWNLOAD, Picture};
use crate::{Telegram, buttons, content, reply};
use photo::filters::{self, Concat, Filter, Join, MAX_SIDE};

/// JPEG quality of what is sent; Telegram recompresses it anyway.
const QUALITY: u8 = 90;
/// The most pixels that a filter works on. A larger photo is made smaller first; a phone's has 12 million.
pub(crate) const MAX_PIXELS: u64 = 16_000_000;
/// What a filter takes at most, in sizes of its photo: the photo, the result, and marks.
const FILTER_MEMORY: u64 = 4;
/// What joining takes beside the photo that is being decoded: the whole picture, and that photo made smaller.
const JOIN_MEMORY: u64 = 3 * (filters::MAX_PIXELS + MAX_PIXELS);
/// Files of an album that is joined are kept between the look at their sizes and the work, up to so many bytes; others are
/// downloaded again.
const KEPT_FILES: u64 = 40 << 20;

/// Changes photos; at most one on each core at a time, and as many as there is memory for.
#[derive(Clone, Debug)]
pub(crate) struct FilterRunner {
    telegram: Telegram,
    cores: Arc<Semaphore>,
    memory: Memory,
}

/// What came out: a JPEG.
pub(crate) type Filtered = Result<Bytes, FilterError>;

/// What came of the photos of an album.
pub(crate) struct Joined {
    /// Those that can be read, side by side.
    pub(crate) picture: Filtered,
    /// The others by number, counted from 0, and what is wrong with each.
    pub(crate) failed: Vec<(usize, FilterError)>,
}

impl FilterRunner {
    /// With this bot.
    #[must_use]
    pub(crate) fn new(telegram: Telegram, memory: Memory) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { telegram, cores: Arc::new(Semaphore::new(cores)), memory }
    }

    /// Apply a filter to the photo of a message and reply with the result.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub(crate) async fn filter(&self, incoming: &Incoming, file: &File, filter: Filter) -> Result<(), HandleError> {
        let place = incoming.place();
        // Nothing is made for a chat that has to wait long.
        self.telegram.ready(place.chat_id).await?;
        let ((), filtered) = tokio::join!(self.telegram.show_uploading(&place), self.apply(file, filter));
        match filtered? {
            Ok(jpeg) => {
                let (caption, buttons) = (reply::filtered(&filter), buttons::under_result());
                let words = reply::without_picture(&caption);
                let picture = Picture { jpeg, spoiler: incoming.spoiler };
                self.telegram.send_picture(&place, &picture, &caption, buttons, &words).await?;
            }
            Err(error) => {
                self.telegram.send_text(&place, &reply::filter_failed(&error)).await?;
            }
        }
        Ok(())
    }

    /// Download a photo and apply a filter to it.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub(crate) async fn apply(&self, file: &File, filter: Filter) -> Result<Filtered, HandleError> {
        let (file, header) = match self.download(file).await? {
            Ok(file) => file,
            Err(error) => return Ok(Err(error)),
        };
        let smaller = 3 * pixels(&header).min(MAX_PIXELS);
        let needed = (header.memory + smaller).max(FILTER_MEMORY * smaller);
        if needed > PIXELS {
            return Ok(Err(FailureReason::TooMuchMemory.into()));
        }
        let room = self.memory.for_pixels(needed).await;
        Ok(self.work(room, move || to_jpeg(filters::apply(&filter, decode(&file.bytes)?))).await)
    }

    /// Download the photos and join those that can be read, one after another. `refuse` says why a photo that could not be
    /// had is given up; or it has to be tried again.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub(crate) async fn join(
        &self,
        files: &[File],
        order: Concat,
        refuse: impl Fn(HandleError) -> Result<FilterError, HandleError>,
    ) -> Result<Joined, HandleError> {
        let _alone = self.memory.for_an_album().await;
        let mut failed = Vec::new();
        loop {
            let is_left = |(number, _): &(usize, &File)| failed.iter().all(|(other, _)| other != number);
            let left: Vec<_> = files.iter().enumerate().filter(is_left).collect();
            if let Some(picture) = self.join_these(&left, order, &refuse, &mut failed).await? {
                failed.sort_unstable_by_key(|(number, _)| *number);
                return Ok(Joined { picture, failed });
            }
        }
    }

    /// Join these, each with its number. Those that can't be read go to `failed`. Nothing comes of it if one of them already had a
    /// place in the picture: its header could be read, and its pixels could not.
    async fn join_these(
        &self,
        files: &[(usize, &File)],
        order: Concat,
        refuse: impl Fn(HandleError) -> Result<FilterError, HandleError>,
        failed: &mut Vec<(usize, FilterError)>,
    ) -> Result<Option<Filtered>, HandleError> {
        let (mut sizes, mut kept, mut bytes, mut most) = (Vec::new(), Vec::new(), 0, 0);
        for &(number, file) in files {
            let (fetched, header) = match self.download(file).await.or_else(|error| refuse(error).map(Err))? {
                Ok((_, header)) if header.memory + JOIN_MEMORY > PIXELS => {
                    failed.push((number, FailureReason::TooMuchMemory.into()));
                    continue;
                }
                Ok(file) => file,
                Err(error) => {
                    failed.push((number, error));
                    continue;
                }
            };
            sizes.push((header.width, header.height));
            most = header.memory.max(most);
            bytes += fetched.bytes.len() as u64;
            kept.push((number, file, (bytes <= KEPT_FILES).then_some(fetched)));
        }
        let mut join = match Join::new(&sizes, order) {
            Ok(join) => join,
            Err(error) => return Ok(Some(Err(error.into()))),
        };
        // Before the pixels: who holds those asks for nothing.
        let is_again = kept.iter().any(|(.., fetched)| fetched.is_none());
        let spare = self.memory.for_file(if is_again { MAX_DOWNLOAD } else { 0 }).await;
        let room = self.memory.for_pixels(most + JOIN_MEMORY).await;
        let mut is_whole = true;
        for (place, (number, file, kept)) in kept.into_iter().enumerate() {
            let (bytes, _room) = match kept {
                Some(Fetched { bytes, _room }) => (bytes, Some(_room)),
                None => (self.telegram.download_into(&file.id, &spare).await?, None),
            };
            let put = self.on_a_thread(move || {
                let put = decode(&bytes).map(|photo| join.put(place, &photo));
                Ok((join, put))
            });
            let put = match put.await {
                Ok((joining, put)) => {
                    join = joining;
                    put
                }
                Err(error) => return Ok(Some(Err(error))),
            };
            if let Err(error) = put {
                failed.push((number, error));
                is_whole = false;
            }
        }
        if !is_whole {
            return Ok(None);
        }
        Ok(Some(self.work(room, move || to_jpeg(join.joined())).await))
    }

    async fn download(&self, file: &File) -> Result<Result<(Fetched, Header), FilterError>, HandleError> {
        let fetched = match self.telegram.download(&file.id).await {
            Ok(fetched) => fetched,
            Err(error) if error.is_too_large() => return Ok(Err(FailureReason::TooLargeToDownload.into())),
            Err(error) => return Err(error.into()),
        };
        if file.is_document
            && let Some(what) = content::not_an_image(&fetched.bytes)
        {
            return Ok(Err(FailureReason::OtherThanAnImage { what: what.into() }.into()));
        }
        match photo::header(&fetched.bytes, &limits()) {
            Ok(header) => Ok(Ok((fetched, header))),
            Err(error) => Ok(Err(refused(error))),
        }
    }

    /// Run it on a thread where it may take its time; `room` is held until then.
    async fn work(&self, room: Room, work: impl FnOnce() -> Filtered + Send + 'static) -> Filtered {
        let worked = self.on_a_thread(work).await;
        drop(room);
        worked
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, FilterError> + Send + 'static,
    ) -> Result<T, FilterError> {
        let core = Arc::clone(&self.cores).acquire_owned().await.expect("nobody closes it");
        // What the filter logs carries the ids of its update or album.
        let span = tracing::Span::current();
        let worked = tokio::task::spawn_blocking(move || {
            let _core = core;
            span.in_scope(work)
        });
        worked.await.unwrap_or_else(|error| {
            fleet::log!(FILTER_PANICKED, %error, "a filter panicked");
            Err(FilterError::Panicked)
        })
    }
}

fn limits() -> Limits {
    Limits { max_decoder_bytes: PIXELS, ..Limits::default() }
}

fn pixels(header: &Header) -> u64 {
    u64::from(header.width) * u64::from(header.height)
}

/// The photo upright, and no larger than filters and JPEG take.
fn decode(bytes: &Bytes) -> Result<RgbImage, FilterError> {
    let photo = photo::decode_unturned(bytes, &limits()).map_err(refused)?;
    // Smaller before it is turned, which takes as much memory again.
    Ok(photo.within(MAX_PIXELS, MAX_SIDE).upright())
}

fn refused(error: PhotoError) -> FilterError {
    if let Some(detail) = error.detail() {
        tracing::info!(detail, "a photo can't be read");
    }
    error.into()
}

fn to_jpeg(image: RgbImage) -> Filtered {
    let jpeg = photo::encode_jpeg(image, QUALITY).map_err(|error| {
        fleet::log!(JPEG_NOT_ENCODED, %error, "a result can't be encoded as JPEG");
        FilterError::ResultNotEncoded
    })?;
    Ok(jpeg.into())
}
