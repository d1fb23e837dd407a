//! Photos sent by as many people, and in the end what became of each.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use aws_sdk_dynamodb::types::AttributeValue;
use fleet::predictions::UNDELIVERED_INDEX;
use fleet::table::attribute::{CHAT_ID, STATUS_MESSAGE_ID};
use fleet::{JobQueue, Status};
use local::LocalFleet;
use polybot::reply;
use telegram_sandbox::ChatMessage;

use crate::support::{PATIENCE, photo};

/// Photos of a scenario.
pub(crate) const PHOTOS: usize = 100;

/// What was sent: each photo by somebody else, as Telegram's limits are for each chat.
pub(crate) struct Burst {
    /// Chat and message of each.
    posted: Vec<(i64, i32)>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) answered_once: usize,
    pub(crate) repeated: usize,
    pub(crate) lost: usize,
    /// Of those above, those whose answer was that it failed.
    pub(crate) told_failed: usize,
    /// Messages that say to wait and were left behind.
    pub(crate) left_waiting: usize,
    /// Of those, the ones whose number is recorded: nothing hinders their removal.
    pub(crate) left_though_known: usize,
    /// The most messages that say to wait for one photo.
    pub(crate) told_to_wait: usize,
}

impl Burst {
    /// Send this many photos at once.
    pub(crate) fn post(stack: &LocalFleet, photos: usize) -> Self {
        let mut burst = Self { posted: Vec::new() };
        burst.post_more(stack, photos);
        burst
    }

    /// Send this many more, each by somebody else.
    pub(crate) fn post_more(&mut self, stack: &LocalFleet, photos: usize) {
        let bytes = photo("chelsea.png");
        let post = |number| {
            let user = stack.telegram.user(&format!("user{number}"));
            (user.chat_id(), user.post_photo(bytes.clone(), None))
        };
        let before = self.posted.len();
        self.posted.extend((before..before + photos).map(post));
    }

    /// The answers so far, without those that say to wait.
    pub(crate) fn answers(&self, stack: &LocalFleet) -> Vec<ChatMessage> {
        let events = stack.telegram.events();
        let sent = events.iter().filter_map(|event| event.sent());
        sent.filter(|message| self.is_answer(message)).cloned().collect()
    }

    fn is_answer(&self, message: &ChatMessage) -> bool {
        let answers_one = |&(chat, id): &(i64, i32)| message.chat_id == chat && message.reply_to == Some(id);
        message.words() != reply::BEING_PROCESSED && self.posted.iter().any(answers_one)
    }

    /// How many of the photos have an answer.
    pub(crate) fn answered(&self, stack: &LocalFleet) -> usize {
        self.answers_by_photo(stack).len()
    }

    fn answers_by_photo(&self, stack: &LocalFleet) -> HashMap<i64, Vec<ChatMessage>> {
        let mut by_photo: HashMap<i64, Vec<ChatMessage>> = HashMap::new();
        for answer in self.answers(stack) {
            by_photo.entry(answer.chat_id).or_default().push(answer);
        }
        by_photo
    }

    /// Wait until this many photos have an answer.
    pub(crate) async fn wait_for(&self, stack: &LocalFleet, answered: usize) {
        self.wait_until(stack, answered, |_| true).await;
    }

    /// Wait until this many photos have an answer that is a photo.
    pub(crate) async fn wait_for_photos(&self, stack: &LocalFleet, answered: usize) {
        self.wait_until(stack, answered, |message| !is_failure(message)).await;
    }

    async fn wait_until(&self, stack: &LocalFleet, answered: usize, wanted: impl Fn(&ChatMessage) -> bool) {
        let mut seen = HashSet::new();
        let enough = |event: &telegram_sandbox::Event| {
            if let Some(message) = event.sent().filter(|message| self.is_answer(message) && wanted(message)) {
                seen.insert(message.chat_id);
            }
            seen.len() >= answered
        };
        if stack.telegram.wait_for(enough, PATIENCE).await.is_err() {
            panic!(
                "{} of {} were answered in time, expected {answered}\n{}",
                seen.len(),
                self.posted.len(),
                troubles(stack)
            );
        }
    }

    /// The messages that say to wait, as they were sent.
    fn told_to_wait(stack: &LocalFleet) -> Vec<(i64, i32)> {
        let events = stack.telegram.events();
        let sent = events.iter().filter_map(|event| event.sent());
        let waiting = sent.filter(|message| message.words() == reply::BEING_PROCESSED);
        waiting.map(|message| (message.chat_id, message.message_id)).collect()
    }

    /// Wait for the last answer, and until nothing is left that could answer again; then count, and print the line.
    pub(crate) async fn audit(&self, stack: &LocalFleet, scenario: &str) -> Audit {
        self.wait_for(stack, self.posted.len()).await;
        nothing_left(stack).await;
        let by_photo = self.answers_by_photo(stack);
        let answers = |count: fn(usize) -> bool| by_photo.values().filter(|answers| count(answers.len())).count();
        let told_to_wait = Self::told_to_wait(stack);
        let mut by_chat: HashMap<i64, usize> = HashMap::new();
        for (chat_id, _) in &told_to_wait {
            *by_chat.entry(*chat_id).or_default() += 1;
        }
        let is_left = |&&(chat_id, message_id): &&(i64, i32)| stack.telegram.message(chat_id, message_id).is_some();
        let left: Vec<_> = told_to_wait.iter().filter(is_left).collect();
        let known = recorded_status_messages(stack).await;
        let audit = Audit {
            answered_once: answers(|answers| answers == 1),
            repeated: answers(|answers| answers > 1),
            lost: self.posted.len() - by_photo.len(),
            told_failed: by_photo.values().filter(|answers| answers.iter().all(is_failure)).count(),
            left_waiting: left.len(),
            left_though_known: left.iter().filter(|message| known.contains(**message)).count(),
            told_to_wait: by_chat.into_values().max().unwrap_or_default(),
        };
        let Audit { answered_once, repeated, lost, told_failed, left_waiting, .. } = audit;
        let jobs = self.posted.len();
        // Not by println, which the test runner keeps to itself.
        let line = format!(
            "audit: {scenario:<32} jobs {jobs:>4}  answered once {answered_once:>4}  repeated {repeated:>3}  lost {lost:>3}  \
             told failed {told_failed:>3}  left waiting {left_waiting:>3}\n"
        );
        std::io::stderr().write_all(line.as_bytes()).expect("standard error");
        assert_eq!((lost, answered_once + repeated), (0, jobs), "{line}");
        audit
    }
}

/// Chat and number of each message that says to wait, as the records have them.
async fn recorded_status_messages(stack: &LocalFleet) -> HashSet<(i64, i32)> {
    let records = aws_sdk_dynamodb::Client::new(&stack.config);
    let items = records.scan().table_name(&stack.resources.table).consistent_read(true).into_paginator().items().send();
    let items = items.collect::<Result<Vec<_>, _>>().await.expect("DynamoDB answers");
    items.iter().filter_map(|item| CHAT_ID.of(item).zip(STATUS_MESSAGE_ID.of(item))).collect()
}

fn is_failure(message: &ChatMessage) -> bool {
    message.words().starts_with("Sorry")
}

/// Wait until the queues and the index of what nobody was told are empty: state that no event tells.
async fn nothing_left(stack: &LocalFleet) {
    let sqs = aws_sdk_sqs::Client::new(&stack.config);
    let jobs = JobQueue::new(sqs.clone(), &stack.resources.queue_url);
    let dead = JobQueue::new(sqs, &stack.resources.dead_letter_queue_url);
    let records = aws_sdk_dynamodb::Client::new(&stack.config);
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(200));
    let settled = async {
        loop {
            looks.tick().await;
            // Faults may strike these calls, too.
            let (Ok(jobs), Ok(dead)) = (jobs.depth().await, dead.depth().await) else { continue };
            let queued = jobs.visible + jobs.in_flight + dead.visible + dead.in_flight;
            if queued == 0 && undelivered(&records, &stack.resources.table).await == Some(0) {
                return;
            }
        }
    };
    if tokio::time::timeout(PATIENCE, settled).await.is_err() {
        panic!("something is left that could still be answered\n{}", troubles(stack));
    }
}

async fn undelivered(records: &aws_sdk_dynamodb::Client, table: &str) -> Option<usize> {
    let mut found = 0;
    for status in [Status::Queued, Status::Done, Status::Failed] {
        let status = format!("{status:?}").to_lowercase();
        let query = records
            .query()
            .table_name(table)
            .index_name(UNDELIVERED_INDEX)
            .key_condition_expression("undelivered = :status")
            .expression_attribute_values(":status", AttributeValue::S(status));
        found += query.send().await.ok()?.items().len();
    }
    Some(found)
}

/// What the services complained of last.
fn troubles(stack: &LocalFleet) -> String {
    let mut lines = Vec::new();
    for (child, _) in stack.children() {
        let log = child.log();
        let complaints = log.iter().filter(|line| line.is_trouble()).rev().take(5);
        lines.extend(complaints.map(|line| format!("{}: {}", child.name(), line.in_words())));
    }
    lines.join("\n")
}
