//! What a scenario is made of: a [`World`] with instances that start and are killed, people who send photos, records that can be
//! read and planted, and a clock that is moved by hand.
//!
//! Nothing waits for real time to pass. While a test [waits](World::soon) for an event, a few seconds pass on the services' clock,
//! so that what is sent keeps Telegram's pace; leases, sweeps and retries come when the test [advances](World::pass) the clock.

pub(crate) mod aws_calls;
mod instance;
pub(crate) mod log_ids;
mod metadata;
pub(crate) mod resources;

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use embedded_aws::EmbeddedAws;
use fleet::{Clock, ImageStore, JobQueue, Prediction, PredictionStore};
use polybot::reply;
use telegram_sandbox::{ChatMessage, Sandbox, SandboxOptions, User};

pub(crate) use self::instance::Instance;
use self::metadata::Metadata;
use self::resources::Resources;

/// Far more than anything here takes, also on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long the services' clock goes on while an event is waited for: enough for what is sent to keep Telegram's pace and for an
/// album to be silent, too little for a lease or a look of the sweep.
const SOON: Duration = Duration::from_secs(8);
/// In such steps.
const STEP: Duration = Duration::from_millis(50);

/// How long an instance may hold what it works on, in seconds: the setting's default.
pub(crate) const LEASE: u64 = 120;
/// Longer than a look of the sweep is away.
pub(crate) const SWEEP: Duration = Duration::from_secs(16);
/// Longer than any lease lasts.
pub(crate) const LEASE_IS_OVER: Duration = Duration::from_secs(LEASE + 1);

/// What is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) polybots: usize,
    pub(crate) workers: usize,
    /// More flags of polybot's.
    pub(crate) polybot: Vec<String>,
    /// More flags of the workers'.
    pub(crate) worker: Vec<String>,
    /// Nobody tells polybot that a photo is finished: only its sweep finds out.
    pub(crate) no_callback: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { polybots: 1, workers: 1, polybot: Vec::new(), worker: Vec::new(), no_callback: false }
    }
}

impl Setup {
    /// So many of each.
    pub(crate) fn of(polybots: usize, workers: usize) -> Self {
        Self { polybots, workers, ..Self::default() }
    }

    pub(crate) fn polybot(mut self, flag: &str) -> Self {
        self.polybot.push(flag.into());
        self
    }

    pub(crate) fn worker(mut self, flag: &str) -> Self {
        self.worker.push(flag.into());
        self
    }

    pub(crate) fn without_callback(self) -> Self {
        Self { no_callback: true, ..self }
    }

    pub(crate) async fn start(self) -> World {
        World::start(self).await
    }
}

/// Everything that runs.
pub(crate) struct World {
    /// They end first.
    pub(crate) polybots: Vec<Instance>,
    pub(crate) workers: Vec<Instance>,
    pub(crate) telegram: Sandbox,
    pub(crate) aws: EmbeddedAws,
    pub(crate) clock: Clock,
    pub(crate) predictions: PredictionStore,
    pub(crate) queue: JobQueue,
    pub(crate) dead_letters: JobQueue,
    pub(crate) images: ImageStore,
    pub(crate) resources: Resources,
    pub(crate) metadata: Metadata,
    setup: Setup,
}

impl World {
    pub(crate) async fn start(setup: Setup) -> Self {
        log_ids::watch();
        let aws = EmbeddedAws::start().await.expect("AWS");
        let telegram = Sandbox::start(SandboxOptions::default()).await.expect("Telegram");
        let resources = Resources::create(&aws).await;
        let mut world = Self {
            polybots: Vec::new(),
            workers: Vec::new(),
            telegram,
            clock: Clock::by_hand(),
            predictions: PredictionStore::new(resources.dynamodb.clone(), resources::TABLE),
            queue: JobQueue::new(resources.sqs.clone(), &resources.queue_url),
            dead_letters: JobQueue::new(resources.sqs.clone(), &resources.dead_letter_queue_url),
            images: ImageStore::new(resources.s3.clone(), resources::BUCKET),
            aws,
            resources,
            metadata: Metadata::start().await,
            setup,
        };
        for _ in 0..world.setup.polybots {
            world.add_polybot().await;
        }
        for _ in 0..world.setup.workers {
            world.add_worker().await;
        }
        world
    }

    /// One more polybot. Updates go to all of them in turn.
    pub(crate) async fn add_polybot(&mut self) {
        let started = 1 + self.telegram.calls("setWebhook");
        let polybot = Instance::polybot(self, &self.setup.polybot).await;
        let is_set = |_: &telegram_sandbox::WebhookStatus| self.telegram.calls("setWebhook") >= started;
        self.telegram.wait_for_webhook(is_set, PATIENCE).await.expect("it is ready");
        self.polybots.push(polybot);
        self.route();
    }

    /// One more worker, which calls the first polybot back.
    pub(crate) async fn add_worker(&mut self) {
        let callback = self.polybots.first().filter(|_| !self.setup.no_callback).map(|polybot| polybot.address);
        let worker = Instance::worker(self, callback, &self.setup.worker).await;
        self.workers.push(worker);
    }

    /// A polybot's machine loses its power: whatever it is doing, it does no more of it.
    pub(crate) async fn kill_polybot(&mut self, place: usize) {
        let polybot = self.polybots.remove(place);
        self.route();
        polybot.kill().await;
    }

    /// The same for a worker.
    pub(crate) async fn kill_worker(&mut self, place: usize) {
        self.workers.remove(place).kill().await;
    }

    fn route(&self) {
        let webhooks = self.polybots.iter().map(|polybot| format!("http://{}/webhook", polybot.address));
        // Without a polybot, to where nobody listens: updates wait at Telegram.
        let nobody = self.polybots.is_empty().then(|| "http://127.0.0.1:1/webhook".to_owned());
        self.telegram.deliver_to(webhooks.chain(nobody).collect());
    }

    /// This much time passes at once.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Wait for something that comes within seconds of the services' time.
    pub(crate) async fn soon<T>(&self, event: impl Future<Output = T>) -> T {
        let passing = async {
            let steps = SOON.as_millis() / STEP.as_millis();
            for step in 0..steps {
                // Slowly at last: on a busy machine the services have not begun yet to wait for what is to pass.
                tokio::time::sleep(Duration::from_millis(if step < steps / 4 { 1 } else { 10 })).await;
                self.clock.advance(STEP);
            }
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            biased;
            event = event => event,
            () = passing => panic!("it did not happen; the last that did: {:#?}", self.telegram.events().last()),
        }
    }

    /// Wait until a look finds something: for state that no event tells.
    pub(crate) async fn until<T, F: Future<Output = Option<T>>>(&self, look: impl Fn() -> F) -> T {
        self.soon(async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
    }

    /// Wait for the message that answers a person's, past the one that says to wait.
    pub(crate) async fn answer(&self, user: &User, message_id: i32) -> ChatMessage {
        let chat_id = user.chat_id();
        let is_answer = move |message: &ChatMessage| {
            message.chat_id == chat_id && message.reply_to == Some(message_id) && is_answer(message)
        };
        let answer = self.soon(self.telegram.wait_for_message(is_answer, PATIENCE)).await;
        answer.unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The same, where the sweep brings it: a look leaves alone what its own polybot still holds, so it may take more than one.
    pub(crate) async fn answer_by_sweep(&self, user: &User, message_id: i32) -> ChatMessage {
        let is_answer = |message: &ChatMessage| message.reply_to == Some(message_id);
        self.in_the_end(async || self.answers(user).into_iter().find(is_answer)).await
    }

    /// The answers so far, without those that say to wait.
    pub(crate) fn answers(&self, user: &User) -> Vec<ChatMessage> {
        let events = self.telegram.events();
        let sent = events.iter().filter_map(|event| event.sent());
        sent.filter(|message| message.chat_id == user.chat_id() && is_answer(message)).cloned().collect()
    }

    /// What a person sees now of those that say to wait.
    pub(crate) fn told_to_wait(&self, user: &User) -> usize {
        let events = self.telegram.events();
        let sent = events.iter().filter_map(|event| event.sent());
        sent.filter(|message| message.chat_id == user.chat_id() && !is_answer(message))
            .filter(|message| self.telegram.message(message.chat_id, message.message_id).is_some())
            .count()
    }

    /// Wait until a chat has nothing left that says to wait.
    pub(crate) async fn nobody_waits(&self, user: &User) {
        self.until(async || (self.told_to_wait(user) == 0).then_some(())).await;
    }

    /// The record of a photo, once there is one that is so.
    pub(crate) async fn record(&self, user: &User, message_id: i32, is_so: impl Fn(&Prediction) -> bool) -> Prediction {
        let chat_id = user.chat_id();
        let is_its = |record: &Prediction| record.chat_id == chat_id && record.message_id == message_id;
        self.until(async || self.records().await.into_iter().find(|record| is_its(record) && is_so(record))).await
    }

    /// All predictions.
    pub(crate) async fn records(&self) -> Vec<Prediction> {
        let items = self.items().await.into_iter();
        items
            .filter(|item| item.contains_key("status"))
            .map(|item| serde_dynamo::from_item(item).expect("a record"))
            .collect()
    }

    /// All items of the table whose key begins so.
    pub(crate) async fn items_of(&self, prefix: &str) -> Vec<HashMap<String, AttributeValue>> {
        let mut items = self.items().await;
        items.retain(|item| item["prediction_id"].as_s().is_ok_and(|key| key.starts_with(prefix)));
        items
    }

    async fn items(&self) -> Vec<HashMap<String, AttributeValue>> {
        let scan = self.resources.dynamodb.scan().table_name(resources::TABLE).consistent_read(true);
        scan.send().await.expect("DynamoDB answers").items.unwrap_or_default()
    }

    /// What polybot's operator does by hand.
    pub(crate) async fn redrive(&self) -> (usize, usize) {
        let redriven = polybot::redrive(&self.predictions, &self.queue, &self.clock, false).await.expect("redriven");
        (redriven.jobs, redriven.answers)
    }

    /// How many objects the bucket has.
    pub(crate) async fn objects(&self) -> usize {
        let listed = self.resources.s3.list_objects_v2().bucket(resources::BUCKET).send().await.expect("a list");
        listed.contents().len()
    }

    /// Wait until a look of each polybot's sweep that began after this is over: the sweep looks for updates first, for lost jobs
    /// last, all at once.
    pub(crate) async fn all_looked(&self) {
        let looks = || self.aws.calls().count(embedded_aws::Service::DynamoDb, "Query");
        let before = looks();
        self.pass(SWEEP);
        // Five queries each.
        let enough = before + 5 * self.polybots.len() as u64;
        self.until(async || (looks() >= enough).then_some(())).await;
    }

    /// Wait until no update is being handled.
    pub(crate) async fn all_handled(&self) {
        let is_handled = |update: &HashMap<String, AttributeValue>| update.contains_key("handled");
        self.until(async || self.items_of("update#").await.iter().all(is_handled).then_some(())).await;
    }

    /// Whether nothing is left to be done: no update, no album, no job, no answer.
    pub(crate) async fn is_settled(&self) -> bool {
        let is_open = |item: &HashMap<String, AttributeValue>| {
            let waits = item.get("undelivered").and_then(|value| value.as_s().ok());
            waits.is_some_and(|waits| !["dead-letter", "undeliverable"].contains(&waits.as_str()))
        };
        let (Ok(jobs), Ok(dead)) = (self.queue.depth().await, self.dead_letters.depth().await) else { return false };
        let messages = jobs.visible + jobs.in_flight + dead.visible + dead.in_flight;
        messages == 0 && !self.items().await.iter().any(is_open)
    }

    /// Wait until that is so.
    pub(crate) async fn all_settled(&self) {
        self.until(async || self.is_settled().await.then_some(())).await;
    }

    /// Wait until a look finds something, however many looks of the sweep that takes.
    pub(crate) async fn in_the_end<T, F: Future<Output = Option<T>>>(&self, look: impl Fn() -> F) -> T {
        let looking = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                // Slowly enough that no lease ends under a polybot that works.
                tokio::time::sleep(Duration::from_millis(10)).await;
                self.pass(Duration::from_secs(1));
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("it comes in the end")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            aws_calls::are_listed(&self.aws);
            log_ids::are_logged();
        }
    }
}

fn is_answer(message: &ChatMessage) -> bool {
    message.words() != reply::BEING_PROCESSED && message.words() != reply::ALBUM_BEING_PROCESSED
}

/// A small photo.
pub(crate) fn jpeg() -> Vec<u8> {
    let photo = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * 3) as u8, (y * 5) as u8, 90]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    photo.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("encode");
    bytes.into_inner()
}
