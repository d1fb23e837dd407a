//! What the end-to-end tests share: the fleet, started for one test, and the answer that a user gets.

pub(crate) mod browser;

use std::path::{Path, PathBuf};
use std::time::Duration;

use local::{LocalFleet, Options};
use polybot::reply;
use telegram_sandbox::{ChatMessage, User};

/// Far more than anything here takes, also on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The program that people start. It is also each of the services: it starts itself again, with a hidden command.
pub(crate) const EXECUTABLE: &str = env!("CARGO_BIN_EXE_local");

/// The path of a test photo.
pub(crate) fn photo_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/photos").join(name)
}

/// A test photo.
pub(crate) fn photo(name: &str) -> Vec<u8> {
    std::fs::read(photo_path(name)).expect("photo")
}

/// One of each service, with the default model.
pub(crate) fn options() -> Options {
    models::locate(models::DEFAULT, &|step| eprintln!("{step}")).expect("model");
    Options { model: models::DEFAULT.into(), ..stand_in() }
}

/// One of each service, with the stand-in for the model.
pub(crate) fn stand_in() -> Options {
    Options { executable: EXECUTABLE.into(), ..Options::here("stand-in").expect("this program's own file") }
}

/// Start the fleet.
pub(crate) async fn stack(options: Options) -> LocalFleet {
    LocalFleet::start(options, |step| eprintln!("{step}")).await.expect("the fleet starts")
}

/// The answer to a user's message, past the one that says to wait.
pub(crate) async fn answer(stack: &LocalFleet, user: &User, message_id: i32) -> ChatMessage {
    let chat_id = user.chat_id();
    let is_answer = move |message: &ChatMessage| {
        message.chat_id == chat_id
            && message.reply_to == Some(message_id)
            && message.words() != reply::BEING_PROCESSED
            && message.words() != reply::ALBUM_BEING_PROCESSED
    };
    stack.telegram.wait_for_message(is_answer, PATIENCE).await.expect("an answer")
}
