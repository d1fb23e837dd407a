//! What Telegram does not take ends in other pictures or in words, never in silence.

use polybot::reply;
use telegram_sandbox::{ChatMessage, Fault, Forbidden, Post};

use crate::harness::{Bot, PATIENCE, Setup, bot, jpeg};

const PROCESS_FAILED: &str = "Bad Request: IMAGE_PROCESS_FAILED";

/// Photos of each kind, each of a chat of its own, which cannot be sent these.
fn ask(bot: &Bot, forbidden: &[Forbidden]) -> Vec<(i64, i32)> {
    let somebody = || {
        let user = bot.telegram.user("somebody");
        bot.telegram.forbid(user.chat_id(), forbidden);
        user
    };
    let single = [None, Some("invert")].map(|caption| {
        let user = somebody();
        (user.chat_id(), user.post_photo(jpeg(40, 30), caption))
    });
    let albums = ["invert", "concat", "predict"].map(|caption| {
        let user = somebody();
        let album = user.post_album([Post::photo(jpeg(40, 30)).caption(caption), Post::photo(jpeg(50, 30))]);
        (user.chat_id(), album[0])
    });
    single.into_iter().chain(albums).collect()
}

async fn answers(bot: &Bot, asked: Vec<(i64, i32)>) -> Vec<ChatMessage> {
    let mut answers = Vec::new();
    for (chat_id, message_id) in asked {
        answers.push(bot.answer_in(chat_id, message_id).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_photos_are_allowed_there_are_files_and_else_words() {
    let bot = bot(Setup::default()).await;
    bot.work();
    // All at once: each chat has its own pace.
    let (files, words) = (ask(&bot, &[Forbidden::Photos]), ask(&bot, &[Forbidden::Photos, Forbidden::Documents]));
    for answer in answers(&bot, files).await {
        assert!(answer.document().is_some(), "{answer:?}");
    }
    let words: Vec<String> = answers(&bot, words).await.into_iter().map(|answer| answer.words().to_owned()).collect();
    assert_eq!(words[0], "I see 1 bus.");
    assert_eq!(words[1], reply::without_picture("invert"));
    assert_eq!(words[2], reply::without_picture("invert"));
    assert_eq!(words[3], reply::without_picture("concat horizontal left-to-right"));
    assert_eq!(words[4], "1. I see 1 bus.\n2. I see 1 bus.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_can_not_be_processed_is_sent_as_a_file() {
    let bot = bot(Setup::default()).await;
    bot.work();
    bot.telegram.fail_next("sendPhoto", 2, Fault::refuse(400, PROCESS_FAILED));
    for caption in [None, Some("invert")] {
        let user = bot.telegram.user("somebody");
        let photo = user.post_photo(jpeg(40, 30), caption);
        assert!(bot.answer(&user, photo).await.document().is_some(), "{caption:?}");
    }
    bot.telegram.fail_next("sendMediaGroup", 1, Fault::refuse(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"));
    let user = bot.telegram.user("somebody");
    let album = user.post_album([Post::photo(jpeg(40, 30)).caption("invert"), Post::photo(jpeg(50, 30))]);
    assert!(bot.answer(&user, album[0]).await.document().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_is_not_there_is_told_nothing() {
    let bot = bot(Setup::default()).await;
    bot.work();
    // Not even words, for a while: told when they are allowed again.
    let group = bot.telegram.group("quiet");
    let everything = [Forbidden::Texts, Forbidden::Photos, Forbidden::Documents];
    bot.telegram.forbid(group, &everything);
    let ann = bot.telegram.user("Ann").in_chat(group);
    let photo = ann.post_photo(jpeg(40, 30), Some("/predict"));
    let ben = bot.telegram.user("Ben");
    ben.block_bot(true);
    ben.post_photo(jpeg(40, 30), None);
    ben.post_photo(jpeg(40, 30), Some("invert"));
    bot.all_done().await;
    bot.telegram.forbid(group, &[]);
    assert_eq!(bot.answer(&ann, photo).await.words(), "I see 1 bus.");
    assert!(bot.answers(ben.chat_id()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_became_a_supergroup_is_answered_there() {
    let bot = bot(Setup::default()).await;
    let group = bot.telegram.group("Friends");
    let ann = bot.telegram.user("Ann").in_chat(group);
    ann.post_photo(jpeg(40, 30), Some("/predict"));
    let is_status = |message: &ChatMessage| message.words() == reply::BEING_PROCESSED;
    bot.telegram.wait_for_message(is_status, PATIENCE).await.expect("told to wait");
    // Telegram tells of it, and in case that is lost, refuses what goes to the old id.
    let supergroup = bot.telegram.migrate(group);
    bot.work();
    let is_answer = |message: &ChatMessage| message.chat_id == supergroup && message.words() == "I see 1 bus.";
    let answer = bot.telegram.wait_for_message(is_answer, PATIENCE).await.expect("an answer");
    assert!(answer.photo().is_some() && answer.reply_to.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_stay_in_their_topic_and_pictures_covered() {
    let bot = bot(Setup::default()).await;
    let forum = bot.telegram.supergroup("Forum");
    let ann = bot.telegram.user("Ann").in_chat(forum);
    let photo = ann.post(Post::photo(jpeg(40, 30)).caption("/predict").in_topic(12).spoiler());
    let is_status = |message: &ChatMessage| message.words() == reply::BEING_PROCESSED;
    bot.telegram.wait_for_message(is_status, PATIENCE).await.expect("told to wait");
    // What is replied to is gone; the topic is not.
    ann.delete(photo).expect("deleted");
    bot.work();
    let is_answer = |message: &ChatMessage| message.chat_id == forum && message.words() == "I see 1 bus.";
    let answer = bot.telegram.wait_for_message(is_answer, PATIENCE).await.expect("an answer");
    assert_eq!((answer.reply_to, answer.thread, answer.spoiler), (None, Some(12), true));
    // Nor is the answer lost with the topic.
    bot.telegram.remove_topic(forum, 13);
    let help = ann.post(Post::text("/help").in_topic(13));
    assert_eq!(bot.answer(&ann, help).await.words(), reply::help(true));
    // Albums, too.
    let album =
        [Post::photo(jpeg(40, 30)).caption("/invert").in_topic(14).spoiler(), Post::photo(jpeg(50, 30)).in_topic(14)];
    let ids = ann.post_album(album);
    let answer = bot.answer(&ann, ids[0]).await;
    assert_eq!((answer.thread, answer.spoiler), (Some(14), true));
}
