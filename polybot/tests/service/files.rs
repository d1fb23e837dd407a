//! Files that Telegram gives late, or never.

use std::path::Path;

use polybot::reply;
use telegram_sandbox::{Fault, Post, SandboxOptions};

use crate::harness::{Bot, PATIENCE, Setup, bot, jpeg};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_comes_is_told_once_and_holds_nobody() {
    let delivered = tokio::spawn(never_comes(Setup::default()));
    let polled = tokio::spawn(never_comes(Setup::default().polling()));
    delivered.await.expect("updates are delivered");
    polled.await.expect("updates are asked for");
}

async fn never_comes(setup: Setup) {
    let bot = bot(setup).await;
    bot.telegram.fail_next("download", 1000, Fault::refuse(404, "Not Found"));
    let ann = bot.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(40, 30), None);
    let filter = bot.telegram.user("Ben");
    let filtered = filter.post_photo(jpeg(40, 30), Some("blur"));
    let ida = bot.telegram.user("Ida");
    let album = ida.post_album([0, 1].map(|_| Post::photo(jpeg(40, 30)).caption("concat")));
    let cleo = bot.telegram.user("Cleo");
    let text = cleo.post_text("/help");
    assert_eq!(bot.answer(&cleo, text).await.words(), reply::help(true));

    let gone = reply::failed(reply::GONE_REASON);
    assert_eq!(bot.answer(&ann, photo).await.words(), gone);
    assert_eq!(bot.answer(&filter, filtered).await.words(), gone);
    assert_eq!(bot.answer(&ida, album[0]).await.words(), format!("1. {gone}\n2. {gone}"));
    bot.all_done().await;
    // The user saw no other message, and Telegram was not asked without end: three photos, ever more rarely.
    assert_eq!(bot.telegram.replies_to(ann.chat_id(), photo).len(), 1);
    assert!(bot.telegram.calls("download") <= 30, "{}", bot.telegram.calls("download"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_a_little_later_is_answered() {
    let bot = bot(Setup::default()).await;
    bot.work();
    bot.telegram.fail_next("download", 2, Fault::refuse(404, "Not Found"));
    let unavailable = "Bad Request: wrong file_id or the file is temporarily unavailable";
    bot.telegram.fail_next("getFile", 1, Fault::refuse(400, unavailable));
    let ann = bot.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(40, 30), None);
    assert_eq!(bot.answer(&ann, photo).await.words(), "I see 1 bus.");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_large_a_file_is_need_not_be_said_and_twenty_mebibytes_are_taken() {
    let bot = bot(Setup::default()).await;
    bot.work();
    bot.telegram.hide_file_sizes(true);
    let ann = bot.telegram.user("Ann");
    let photo = ann.post_photo(jpeg(40, 30), None);
    assert_eq!(bot.answer(&ann, photo).await.words(), "I see 1 bus.");
    bot.telegram.hide_file_sizes(false);
    let ben = bot.telegram.user("Ben");
    let mut large = jpeg(40, 30);
    large.resize(20_500_000, 0);
    let photo = ben.post_document(large.clone(), "large.jpg", None);
    assert_eq!(bot.answer(&ben, photo).await.words(), "I see 1 bus.");
    let cleo = bot.telegram.user("Cleo");
    large.resize((20 << 20) + 1, 0);
    let photo = cleo.post_document(large, "larger.jpg", None);
    assert_eq!(bot.answer(&cleo, photo).await.words(), reply::TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_content_of_a_file_decides_what_it_is() {
    let bot = bot(Setup::default()).await;
    bot.work();
    for mime in ["application/octet-stream", "image/jpg", "image/pjpeg", "", "jpeg"] {
        let user = bot.telegram.user("somebody");
        let post = telegram_sandbox::Post::document(jpeg(40, 30), "IMG_0001").mime_type(mime);
        let photo = user.post(post);
        assert_eq!(bot.answer(&user, photo).await.words(), "I see 1 bus.", "{mime}");
    }
    // And the other way round.
    let user = bot.telegram.user("somebody");
    let paper = user.post(telegram_sandbox::Post::document(b"%PDF-1.7".to_vec(), "x.jpg").mime_type("image/jpeg"));
    assert_eq!(bot.answer(&user, paper).await.words(), reply::not_an_image("a file that is no image"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_album_has_beside_photos_is_told_once_however_often_it_is_tried() {
    let bot = bot(Setup::default()).await;
    bot.telegram.fail_next("download", 1, Fault::refuse(404, "Not Found"));
    let ann = bot.telegram.user("Ann");
    ann.post_album([Post::video(b"mp4".to_vec()), Post::photo(jpeg(40, 30)).caption("invert")]);
    let is_picture = |message: &telegram_sandbox::ChatMessage| message.photo().is_some();
    bot.telegram.wait_for_message(is_picture, PATIENCE).await.expect("the photo");
    let words: Vec<_> = bot.answers(ann.chat_id()).iter().map(|answer| answer.words().to_owned()).collect();
    assert_eq!(words, [reply::left_out(&["a video".into()]), String::new()]);
}

/// A bot whose Bot API server runs on its machine with `--local`, and keeps files in `folder`; it reads what is in `allowed`.
async fn bot_of_a_local_server(folder: &Path, allowed: Option<&Path>) -> Bot {
    let sandbox = SandboxOptions { local_files: Some(folder.into()), ..SandboxOptions::default() };
    let setup = Setup { sandbox, ..Setup::default() };
    bot(match allowed {
        Some(allowed) => setup.setting("TELEGRAM_API_LOCAL_FILES", allowed.to_string_lossy()),
        None => setup,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_bot_api_server_on_this_machine_are_read_from_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let bot = bot_of_a_local_server(folder.path(), Some(folder.path())).await;
    bot.work();
    let ann = bot.telegram.user("Ann");
    for (caption, words) in [(None, "I see 1 bus."), (Some("invert"), "invert")] {
        let photo = ann.post_photo(jpeg(40, 30), caption);
        let answer = bot.answer(&ann, photo).await;
        assert!(answer.words() == words && answer.photo().is_some(), "{answer:?}");
    }
    assert_eq!(bot.telegram.calls("download"), 0, "nothing was fetched from the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_elsewhere_on_the_disk_are_not_read() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    // A link out of the folder is no way out of it.
    let link = other.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).expect("a link");
    let refused = async |kept: &Path, allowed: Option<&Path>| {
        let bot = bot_of_a_local_server(kept, allowed).await;
        let ann = bot.telegram.user("Ann");
        let photo = ann.post_photo(jpeg(40, 30), Some("invert"));
        assert_eq!(bot.answer(&ann, photo).await.words(), reply::failed(reply::GONE_REASON), "{kept:?} {allowed:?}");
    };
    tokio::join!(
        refused(folder.path(), None),
        refused(folder.path(), Some(other.path())),
        refused(&link, Some(other.path())),
    );
}
