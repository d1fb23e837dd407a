//! `detect PHOTO`: one photo through everything.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use detector::photo;
use embedded_aws::Service;
use fleet::Status;

use crate::resources::prediction_of;
use crate::{LocalFleet, Options};

/// How long the record may lag behind the answer.
const SETTLE: Duration = Duration::from_secs(10);

#[derive(clap::Args, Debug)]
pub(crate) struct DetectArgs {
    /// The photo
    photo: PathBuf,
    /// Where to write the annotated photo [default: NAME.detected.jpg in the current folder]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print the Prediction as JSON instead of the bot's answer
    #[arg(long)]
    json: bool,
    /// The longest to wait for the answer, in seconds
    #[arg(long, default_value_t = 120)]
    timeout: u64,
    /// A model of models.toml by name, or the path of an ONNX file
    #[arg(long, env, default_value = models::DEFAULT)]
    model: String,
}

impl DetectArgs {
    fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

pub(crate) async fn run(args: DetectArgs) -> anyhow::Result<()> {
    let bytes = readable_photo(&args.photo)?;
    // Here and not in the worker, so that its progress is seen and its time is not counted.
    let model = args.model.clone();
    tokio::task::spawn_blocking(move || models::locate(&model, &progress)).await??;
    let stack = LocalFleet::start(Options::here(&args.model)?, progress).await?;
    let outcome = tokio::select! {
        outcome = send(&stack, &args, bytes) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    stack.stop().await;
    clear_progress();
    let answer = outcome?;
    let mut stdout = std::io::stdout().lock();
    if let Some(photo) = &answer.photo {
        let out = args.out.clone().unwrap_or_else(|| default_out(&args.photo));
        std::fs::write(&out, photo).with_context(|| format!("can't write {}", out.display()))?;
        if args.json {
            eprintln!("the annotated photo is {}", out.display());
        } else {
            writeln!(stdout, "{}\n{}", answer.words, out.display())?;
        }
    } else if !args.json {
        writeln!(stdout, "{}", answer.words)?;
    }
    if args.json {
        writeln!(stdout, "{}", answer.prediction)?;
    }
    if answer.failed {
        // The bot's sentence was printed; the photo did not make it.
        bail!("the fleet could not process the photo");
    }
    Ok(())
}

struct Answer {
    words: String,
    photo: Option<Vec<u8>>,
    prediction: String,
    failed: bool,
}

/// The photo's bytes, if it is one. Telegram's apps would not send anything else as a photo.
fn readable_photo(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    photo::decode(&bytes, &photo::Limits::default()).with_context(|| path.display().to_string())?;
    Ok(bytes)
}

async fn send(stack: &LocalFleet, args: &DetectArgs, bytes: Vec<u8>) -> anyhow::Result<Answer> {
    progress("sending the photo as a Telegram user");
    let user = stack.telegram.user("you");
    let message_id = user.post_photo(bytes, None);
    let chat_id = user.chat_id();
    let answered = stack.telegram.wait_for_message(
        |message| {
            let is_reply = message.chat_id == chat_id && message.reply_to == Some(message_id);
            let is_answer = message.words() != polybot::reply::BEING_PROCESSED;
            if is_reply && !is_answer {
                progress("the bot says: your photo is being processed");
            }
            is_reply && is_answer
        },
        args.timeout(),
    );
    let Ok(answer) = answered.await else { bail!(no_answer(stack, args)) };
    // The record is complete a moment after the user has the answer.
    if let Some((polybot, _)) = stack.polybots.first() {
        let delivered = polybot.logged(|line| line.event() == "delivered");
        // Without a record nothing is delivered; then this ends by itself.
        let _ = tokio::time::timeout(SETTLE, delivered).await;
    }
    let client = aws_sdk_dynamodb::Client::new(&stack.config);
    let prediction = prediction_of(&client, &stack.resources.table, chat_id, message_id).await?;
    let failed = answer.photo().is_none();
    if args.json && prediction.is_none() {
        bail!("the bot answered {:?}, but there is no prediction", answer.words());
    }
    Ok(Answer {
        failed: failed && prediction.as_ref().is_none_or(|prediction| prediction.status != Status::Done),
        words: answer.words().to_owned(),
        photo: answer.photo().map(|photo| photo.to_vec()),
        prediction: serde_json::to_string(&prediction)?,
    })
}

/// How far the photo came, and what went wrong on the way.
fn no_answer(stack: &LocalFleet, args: &DetectArgs) -> String {
    let called = |service, operation| stack.aws.calls().count(service, operation) > 0;
    let step = if called(Service::S3, "GetObject") {
        "a worker took the photo, but there is no answer"
    } else if called(Service::Sqs, "SendMessage") {
        "the photo was queued, but no worker took it"
    } else if called(Service::S3, "PutObject") {
        "the photo was stored, but not queued"
    } else if stack.telegram.calls("getFile") > 0 {
        "polybot asked for the photo, but did not store it"
    } else {
        "the photo was sent, but polybot did not ask for it"
    };
    let mut words = format!("no answer within {} s: {step}", args.timeout().as_secs());
    for (child, _) in stack.children() {
        if let Some(trouble) = child.log().iter().rev().find(|line| line.is_trouble()) {
            words.push_str(&format!("; {} says: {}", child.name(), trouble.in_words()));
        }
    }
    words
}

/// `photo.detected.jpg` in the current folder.
fn default_out(photo: &Path) -> PathBuf {
    let mut name = photo.file_stem().unwrap_or_default().to_owned();
    name.push(".detected.jpg");
    name.into()
}

/// On a terminal one line that changes; in a log a line each.
fn progress(step: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[2K{step}…");
    } else {
        eprintln!("{step}");
    }
}

fn clear_progress() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[2K");
    }
}
