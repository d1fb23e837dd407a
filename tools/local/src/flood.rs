//! `flood`: a fleet of its own under load, or the fleet that the settings name.

use std::process::ExitCode;

use ::flood::cli::DoorName;
use ::flood::{Door, FleetStores, LoadTestDoor, TelegramFiles};
use anyhow::Context;

use crate::up::located;
use crate::usage::Usage;
use crate::{LocalFleet, Options};

/// Not secret: it guards loopback for as long as this runs.
const LOAD_TEST_SECRET: &str = "local-load-test-secret";

/// A flood, and the fleet that is started for it.
#[derive(clap::Args, Debug)]
pub(crate) struct FloodArgs {
    #[command(flatten)]
    flood: flood::cli::Args,
    /// The number of workers
    #[arg(long, default_value_t = 1, help_heading = OWN)]
    workers: usize,
    /// `stand-in[:MILLISECONDS]`, a model of models.toml by name, or the path of an ONNX file
    #[arg(long, env, default_value = "stand-in", help_heading = OWN)]
    model: String,
    /// Door telegram: the number of people who post
    #[arg(long, default_value_t = 20, help_heading = OWN)]
    people: usize,
}

const OWN: &str = "The fleet that is started where no SQS_QUEUE_URL is given";

pub(crate) async fn run(args: FloodArgs) -> anyhow::Result<ExitCode> {
    let target = args.flood.target();
    let all_answered = if target.is_given() {
        flood::cli::run(&args.flood, target.door(args.flood.door_name()).await?).await?
    } else {
        let stack = tokio::select! {
            stack = start(&args) => stack?,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted before the first job"),
        };
        let before = Usage::of(&stack);
        let all_answered = async { flood::cli::run(&args.flood, door(&stack, &args)?).await }.await;
        if all_answered.is_ok() {
            eprintln!("{}", Usage::of(&stack).since(&before));
        }
        stack.stop().await;
        all_answered?
    };
    Ok(if all_answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn start(args: &FloodArgs) -> anyhow::Result<LocalFleet> {
    located(&args.model).await?;
    let load_test = [("LOAD_TEST", "true"), ("LOAD_TEST_SECRET", LOAD_TEST_SECRET)];
    let settings = load_test.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = Options { workers: args.workers, settings, ..Options::here(&args.model)? };
    LocalFleet::start(options, |step| eprintln!("{step}")).await
}

fn door(stack: &LocalFleet, args: &FloodArgs) -> anyhow::Result<Door> {
    let resources = &stack.resources;
    let fleet = FleetStores::new(&stack.config, &resources.bucket, &resources.queue_url, &resources.table);
    let fleet = fleet.group(&resources.group);
    Ok(match args.flood.door_name() {
        DoorName::Queue => Door::queue(fleet),
        DoorName::Telegram => Door::telegram(&stack.telegram, args.people, Some(fleet)),
        DoorName::LoadTest => {
            let (_, polybot) = stack.polybots.first().context("there is no polybot")?;
            Door::LoadTest(LoadTestDoor {
                fleet,
                url: format!("http://{polybot}/loadTest").parse()?,
                secret: LOAD_TEST_SECRET.into(),
                chat_id: stack.telegram.user("Flood").chat_id(),
                files: TelegramFiles::Upload {
                    api_url: stack.telegram.api_url().parse()?,
                    token: stack.telegram.token().into(),
                },
            })
        }
    })
}
