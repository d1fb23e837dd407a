//! Albums: photos of one media group, gathered across instances, acted on once, answered as one.
//!
//! Telegram delivers each photo of an album as an update of its own, and a load balancer may bring each to another
//! instance. So the album lies in DynamoDB ([`AlbumStore`]). There is no sign that it is complete but silence: whoever put the
//! last photo in closes it when nothing came for a while, and exactly one can. If that instance dies, the sweep takes over.

use std::time::Duration;

use fleet::table::Written;
use fleet::{AwsError, Clock, FailureReason, TimestampMillis};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::album_store::{Added, Album, AlbumId, AlbumStore};
use crate::answers::{self, Answers, RetryPolicy};
use crate::command::{self, CaptionError, Command, Wanted};
use crate::detection::{Detection, HandleError, Request};
use crate::filter_error::FilterError;
use crate::filter_runner::{FilterRunner, Joined};
use crate::incoming::{Attached, File, Incoming};
use crate::memory::{self, Memory};
use crate::place::Place;
use crate::telegram::{Picture, Sent};
use crate::{TelegramError, reply};
use photo::filters::{Concat, Filter};

/// What is silent for this long was left behind by an instance that died.
const ABANDONED: Duration = Duration::from_secs(20);
/// After so many instances died under it, an album is not tried any more.
const MOST_TRIES: i64 = 3;
/// The most bytes that the pictures of one album may have; Telegram takes no larger request.
const MAX_PICTURES: u64 = memory::ALBUM;
/// The most albums that one look of the sweep takes over.
const BATCH: i32 = 50;

/// Gathers albums and acts on them.
#[derive(Clone, Debug)]
pub(crate) struct Albums {
    /// Where they are gathered.
    pub(crate) store: AlbumStore,
    /// For `predict`.
    pub(crate) detection: Detection,
    /// For answers that can be sent at once.
    pub(crate) answers: Answers,
    /// For `concat` and the filters.
    pub(crate) filter_runner: FilterRunner,
    /// What pictures take until they are sent.
    pub(crate) memory: Memory,
    /// When an album that failed is tried again.
    pub(crate) retry_policy: RetryPolicy,
    pub(crate) clock: Clock,
    /// An album is complete when nothing came for this long.
    pub(crate) quiet: Duration,
    /// How long acting on an album may take before another instance may try.
    pub(crate) lease: Duration,
    /// Those that wait for silence; finished before the service ends.
    pub(crate) waiting: TaskTracker,
    /// At shutdown nobody waits any longer: another instance takes over.
    pub(crate) shutdown: CancellationToken,
}

impl Albums {
    /// Put a part into its album. When it returns, it is durable there, and somebody will act on the album.
    ///
    /// What came too late for its album is to be done by itself, as the album asks, and returned as it is then.
    ///
    /// # Errors
    /// [`HandleError`] if it has to be tried again.
    pub(crate) async fn add(
        &self,
        part: &Incoming,
        media_group: &str,
        attached: &Attached,
    ) -> Result<Option<Incoming>, HandleError> {
        let id = AlbumId::new(part.chat_id, media_group);
        let arrival = self.clock.now_millis();
        match self.store.add(&id, part, attached, arrival).await? {
            Added::InTime => {
                let albums = self.clone();
                self.waiting.spawn(async move { albums.when_quiet(id, arrival).await });
                Ok(None)
            }
            Added::TooLate(Some(album)) if album.delivered || is_asked(&album) => {
                tracing::info!(album = id.as_str(), message_id = part.message_id, "a part came too late for its album");
                Ok(Some(as_its_album_asks(part, &album)))
            }
            Added::TooLate(_) => Err(HandleError::AlbumBusy),
        }
    }

    async fn when_quiet(&self, album: AlbumId, arrival: TimestampMillis) {
        tokio::select! {
            () = self.clock.sleep(self.quiet) => {}
            () = self.shutdown.cancelled() => return,
        }
        match self.store.close(&album, arrival, self.clock.now() + self.lease).await {
            Ok(Some(closed)) => self.act(&album, &closed).await,
            // Another photo came, and who put that in waits for silence now.
            Ok(None) => {}
            Err(error) => tracing::warn!(album = album.as_str(), %error, "not closed; the sweep will"),
        }
    }

    /// Act on albums that were left behind.
    pub(crate) async fn sweep(&self) {
        let waiting = match self.store.waiting(self.clock.now() - ABANDONED, BATCH).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(%error, "the sweep can't look for waiting albums");
                return;
            }
        };
        for album in waiting {
            if self.shutdown.is_cancelled() {
                return;
            }
            match self.store.take_over(&album, self.clock.now(), self.clock.now() + self.lease).await {
                Ok(Some(taken)) => {
                    tracing::info!(album = album.as_str(), "the sweep takes over an album");
                    // Beside the others: one that takes long holds none of them.
                    let albums = self.clone();
                    self.waiting.spawn(async move { albums.act(&album, &taken).await });
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(album = album.as_str(), %error, "an album was not taken over"),
            }
        }
    }

    #[tracing::instrument(name = "album", skip_all, fields(album = id.as_str(), chat_id = album.chat_id))]
    async fn act(&self, id: &AlbumId, album: &Album) {
        let outcome = if !is_asked(album) {
            self.store.pass_over(id, album.held_until).await.map_err(HandleError::from)
        } else if album.tries > MOST_TRIES {
            fleet::log!(
                ALBUM_KILLED_INSTANCES,
                album = id.as_str(),
                "an album was given up: each instance that acted on it died"
            );
            match self.give_up(album, &FailureReason::RetriesExhausted).await {
                Ok(()) => self.delivered(id).await.map_err(HandleError::from),
                Err(error) => Err(error),
            }
        } else {
            self.act_in_time(id, album).await
        };
        match outcome {
            Ok(()) => fleet::log!(ALBUM_ACTED_ON, album = id.as_str(), photos = album.photos.len(), "album acted on"),
            Err(error) => {
                if let Err(error) = self.failed(id, album, error).await {
                    tracing::warn!(album = id.as_str(), %error, "the album failed; the sweep tries again");
                }
            }
        }
    }

    /// Defer it, or give it up and say so.
    async fn failed(&self, id: &AlbumId, album: &Album, error: HandleError) -> Result<(), AwsError> {
        if error.is_unreachable() {
            tracing::warn!(album = id.as_str(), %error, "nobody is there who could be told");
            return self.delivered(id).await;
        }
        let now = self.clock.now();
        let failing_since = album.failing_since.unwrap_or(now);
        let gone_since = error.gone_since(album.gone_since, now);
        let next = match gone_since {
            Some(gone_since) => self.retry_policy.next_attempt(gone_since, now),
            None => self.retry_policy.next_attempt_after(failing_since, now, error.retry_after()),
        };
        if let Some(next) = next {
            tracing::warn!(album = id.as_str(), %error, "the album failed and will be tried again");
            // The sweep looks for what is silent for so long.
            let index_time = next - ABANDONED;
            return self.store.rest(id, album.held_until, failing_since, gone_since, next, index_time).await;
        }
        fleet::log!(ALBUM_GIVEN_UP, album = id.as_str(), %error, "an album was given up");
        if let Err(error) = self.give_up(album, &FailureReason::RetriesExhausted).await {
            tracing::warn!(album = id.as_str(), %error, "the sender was not told");
        }
        self.delivered(id).await
    }

    async fn give_up(&self, album: &Album, reason: &FailureReason) -> Result<(), HandleError> {
        metrics::counter!("polybot_updates_given_up_total").increment(1);
        self.tell(album, &reply::refused(reason)).await
    }

    /// Its user was told. While that is not written, it may be done again.
    async fn delivered(&self, id: &AlbumId) -> Result<(), AwsError> {
        let now = self.clock.now();
        let write = || self.store.delivered(id, now);
        let failed = |error: &AwsError| tracing::warn!(album = id.as_str(), %error, "not marked as delivered yet");
        answers::insist(&self.clock, write, failed).await
    }

    async fn act_on(&self, id: &AlbumId, album: &Album) -> Result<(), HandleError> {
        let place = place_of(album);
        self.detection.telegram.ready(place.chat_id).await?;
        if album.photos.is_empty() {
            return Ok(self.delivered(id).await?);
        }
        match command_of(album) {
            Ok(Command::Detect(wanted)) => return self.detect(id, album, wanted).await,
            Ok(command @ Command::Concat(order)) => {
                self.detection.telegram.show_uploading(&place).await;
                self.join(id, album, order, &command.to_string()).await?;
            }
            Ok(command @ Command::Filter(filter)) => {
                self.detection.telegram.show_uploading(&place).await;
                self.filter(id, album, filter, &command.to_string()).await?;
            }
            Err(error) => self.tell(album, &reply::caption_error(&error)).await?,
        }
        Ok(self.delivered(id).await?)
    }

    /// All photos as one.
    async fn join(&self, id: &AlbumId, album: &Album, order: Concat, caption: &str) -> Result<(), HandleError> {
        let refuse = |error| self.refuse_if_gone(id, album, error);
        let Joined { picture, failed } = self.filter_runner.join(&files(album), order, refuse).await?;
        let pictures = match picture {
            Ok(jpeg) => vec![Picture { jpeg, spoiler: album.spoiler }],
            // What is wrong with the others says why.
            Err(FilterError::Concat(_)) if !failed.is_empty() => Vec::new(),
            Err(error) => return self.tell(album, &reply::filter_failed(&error)).await,
        };
        self.send(album, &pictures, &failed, caption).await
    }

    /// The same filter on each photo. What comes of them lies in memory until it is sent.
    async fn filter(&self, id: &AlbumId, album: &Album, filter: Filter, caption: &str) -> Result<(), HandleError> {
        let _alone = self.memory.for_an_album().await;
        let _room = self.memory.for_file(MAX_PICTURES).await;
        let (mut pictures, mut failed, mut left) = (Vec::new(), Vec::new(), MAX_PICTURES);
        for (number, file) in files(album).iter().enumerate() {
            let filtered = self.filter_runner.apply(file, filter).await;
            match filtered.or_else(|error| self.refuse_if_gone(id, album, error).map(Err))? {
                Ok(jpeg) => match left.checked_sub(jpeg.len() as u64) {
                    Some(rest) => {
                        left = rest;
                        pictures.push(Picture { jpeg, spoiler: album.spoiler });
                    }
                    None => failed.push((number, FilterError::ResultsTooLarge)),
                },
                Err(error) => failed.push((number, error)),
            }
        }
        self.send(album, &pictures, &failed, caption).await
    }

    /// Send what was made, and with it what is wrong with the photos of which nothing could be made.
    async fn send(
        &self,
        album: &Album,
        pictures: &[Picture],
        failed: &[(usize, FilterError)],
        caption: &str,
    ) -> Result<(), HandleError> {
        let failures = reply::album_failures(failed, album.photos.len());
        let words = match (pictures, failed) {
            ([], _) => failures.clone(),
            (_, []) => reply::without_picture(caption),
            _ => format!("{}\n{failures}", reply::without_picture(caption)),
        };
        self.detection.telegram.send_pictures(&place_of(album), pictures, &failures, Vec::new(), &words).await?;
        Ok(())
    }

    /// A file that Telegram does not give may come a little later; when it did not for long enough, that is the answer.
    fn refuse_if_gone(&self, id: &AlbumId, album: &Album, error: HandleError) -> Result<FilterError, HandleError> {
        if !error.telegram().is_some_and(TelegramError::is_gone) || !self.is_gone_for_long(album) {
            return Err(error);
        }
        tracing::warn!(album = id.as_str(), %error, "a photo was not given");
        Ok(FailureReason::NotGivenByTelegram.into())
    }

    fn is_gone_for_long(&self, album: &Album) -> bool {
        let next = |since| self.retry_policy.next_attempt_for_a_file(since, self.clock.now());
        album.gone_since.is_some_and(|since| next(since).is_none())
    }

    /// Queue each photo. The answer comes when the last of them is finished.
    async fn detect(&self, id: &AlbumId, album: &Album, wanted: Wanted) -> Result<(), HandleError> {
        let fresh: Vec<Uuid> = album.photos.iter().map(|_| Uuid::now_v7()).collect();
        let parts = self.store.name_parts(id, &fresh).await?;
        let place = place_of(album);
        for (&prediction_id, (message_id, file)) in parts.iter().zip(&album.photos) {
            let request = Request {
                prediction_id,
                place: Place { message_id: *message_id, ..place },
                file: file.clone(),
                spoiler: album.spoiler,
                asker: album.asker,
                wanted,
                album: Some(id.as_str().to_owned()),
            };
            match self.detection.accept_part(&request).await {
                Err(HandleError::Telegram(error)) if error.is_gone() && self.is_gone_for_long(album) => {
                    self.detection.refuse_part(&request, FailureReason::NotGivenByTelegram).await?;
                }
                accepted => accepted?,
            }
        }
        let told = self.tell_to_wait(id, &place).await?;
        let acted = self.store.acted(id, told.map(|told| told.message_id)).await;
        // Else whoever answers removes it.
        let is_noted = matches!(acted, Ok(Written::Now));
        if let Some(told) = told.filter(|_| !is_noted) {
            self.detection.telegram.remove(told.chat_id, told.message_id).await;
        }
        let (Written::Now | Written::NotAsExpected) = acted?;
        // The workers may have been faster, when the album was not to be answered yet. Beside this: acting has a time of its own, at
        // whose end an answer that is being sent must not be dropped.
        if let Some(last) = parts.last().copied() {
            let answers = self.answers.clone();
            self.waiting.spawn(async move {
                if let Err(error) = answers.deliver(last).await {
                    tracing::debug!(%error, "the album is answered later");
                }
            });
        }
        Ok(())
    }

    /// Said when nothing can fail any more, and once: a try that comes after a death does not know whether the one before said
    /// it, and Telegram does not tell.
    async fn tell_to_wait(&self, id: &AlbumId, place: &Place) -> Result<Option<Sent>, AwsError> {
        if self.store.announce_status(id).await? == Written::NotAsExpected {
            return Ok(None);
        }
        let told = self.detection.telegram.send_status(place, reply::ALBUM_BEING_PROCESSED).await;
        Ok(told.inspect_err(|error| tracing::info!(%error, "the user was not told to wait")).ok())
    }

    /// Say once what in it can't be read.
    async fn tell_of_others(&self, id: &AlbumId, album: &Album) -> Result<(), HandleError> {
        if album.others.is_empty() || album.told_others {
            return Ok(());
        }
        self.detection.telegram.ready(album.chat_id).await?;
        let what: Vec<String> = album.others.iter().map(|(_, what)| what.clone()).collect();
        self.tell(album, &reply::left_out(&what)).await?;
        Ok(self.store.told_others(id).await?)
    }

    /// Act, unless it takes almost as long as the lease: then another instance may.
    async fn act_in_time(&self, id: &AlbumId, album: &Album) -> Result<(), HandleError> {
        // When AWS fails, something may have been sent before; it is not sent again at once.
        let may_pass_soon = |error: &HandleError| error.telegram().is_some() && error.may_pass_soon();
        let act = async {
            answers::soon_again(&self.clock, may_pass_soon, || self.tell_of_others(id, album)).await?;
            answers::soon_again(&self.clock, may_pass_soon, || self.act_on(id, album)).await
        };
        let time = answers::working_time(self.lease);
        self.clock.timeout(time, act).await.unwrap_or(Err(HandleError::TooSlow))
    }

    async fn tell(&self, album: &Album, sentence: &str) -> Result<(), HandleError> {
        self.detection.telegram.send_text(&place_of(album), sentence).await?;
        Ok(())
    }
}

/// Whether it is for the bot; what is not is passed over in silence. Groups and channels have negative ids.
fn is_asked(album: &Album) -> bool {
    album.chat_id >= 0 || album.is_addressed
}

/// A part that is done by itself, with what was said in the others.
fn as_its_album_asks(part: &Incoming, album: &Album) -> Incoming {
    let captions = || part.words.iter().chain(&album.captions);
    let is_command = |caption: &&String| command::caption(Some(caption)).is_ok();
    let words = captions().find(is_command).or_else(|| captions().next()).cloned();
    Incoming { words, is_addressed: part.is_addressed || is_asked(album), ..part.clone() }
}

/// Where it is answered: its first part.
fn place_of(album: &Album) -> Place {
    let of_photos = album.photos.iter().map(|(id, _)| *id);
    let first = of_photos.chain(album.others.iter().map(|(id, _)| *id)).min().unwrap_or_default();
    Place { chat_id: album.chat_id, message_id: first, thread: album.thread }
}

/// What the album asks for: the first of its captions that is a command; if none is, what is wrong with the first.
fn command_of(album: &Album) -> Result<Command, CaptionError> {
    let mut first_error = None;
    for caption in &album.captions {
        match command::caption(Some(caption)) {
            Ok(command) => return Ok(command),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or_else(|| command::caption(None), Err)
}

fn files(album: &Album) -> Vec<File> {
    album.photos.iter().map(|(_, file)| file.clone()).collect()
}
