//! `demo`: the fleet scales before your eyes. A flood of more photos than one worker can do, the group growing to meet it
//! and shrinking after it, ten seconds of AWS's time each second, and a report of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use flood::{Door, FleetStores, Flood, Photo, Report};

use crate::scaling::ScalingSettings;
use crate::{LocalFleet, Options, up};

mod look;
mod timeline;
mod worker_rate;

use look::{Look, Observer};
use timeline::Timeline;
use worker_rate::WorkerRate;

/// All of it takes less than three minutes, or it fails.
const LIMIT: Duration = Duration::from_secs(170);
/// To how many workers the fleet has to grow.
const GROWN: usize = 3;
/// The photos of a person who writes to the bot while the flood comes.
const PERSON: &str = "Ada";

#[derive(clap::Args, Debug)]
pub(crate) struct DemoArgs {
    /// A model of models.toml by name, the path of an ONNX file, or `stand-in:MILLISECONDS`, which detects nothing and
    /// takes that long for each photo
    #[arg(long, env, default_value = models::DEFAULT)]
    model: String,
    /// The folder for the report: demo.html, demo.json and the timeline
    #[arg(long, default_value = "demo-report")]
    out: PathBuf,
    /// The most workers, each with one thread
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(3..=16))]
    max: u32,
}

pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    up::located(&args.model).await?;
    let began = Instant::now();
    let stopped = fleet::shutdown::on_signal()?;
    let scaling = ScalingSettings { max_size: args.max, boot: Duration::from_secs(30), ..ScalingSettings::default() };
    let period = scaling.period_here();
    let options = Options { scaling: Some(scaling), ..Options::here(&args.model)? };
    let stack = tokio::select! {
        stack = LocalFleet::start(options, |step| eprintln!("{step}")) => stack?,
        () = stopped.cancelled() => bail!("interrupted"),
    };
    let mut timeline = Timeline::default();
    let shown = tokio::select! {
        shown = show(&stack, &args, period, &mut timeline, began) => shown,
        () = tokio::time::sleep(LIMIT.saturating_sub(began.elapsed())) => {
            Err(anyhow::anyhow!("the fleet did not grow and shrink within {} s", LIMIT.as_secs()))
        }
        () = stopped.cancelled() => Err(anyhow::anyhow!("interrupted")),
    };
    stack.stop().await;
    write(&args.out, &timeline, shown.as_ref().ok().map(|shown| &shown.report))?;
    let shown = shown?;
    println!("\n{}", shown.report.text());
    println!("the report is in {}", args.out.display());
    shown.verdict(began.elapsed())
}

/// What was shown.
struct Shown {
    report: Report,
    most_in_service: usize,
    /// How long the person waited for each photo.
    waits: Vec<Duration>,
}

impl Shown {
    /// Whether it is what was promised.
    fn verdict(&self, took: Duration) -> anyhow::Result<()> {
        let Report { sent, answered, .. } = self.report;
        if answered != sent {
            bail!("of {sent} jobs only {answered} were answered");
        }
        if self.most_in_service < GROWN {
            bail!("the fleet grew to {} workers only, not to {GROWN}", self.most_in_service);
        }
        let waits: Vec<String> = self.waits.iter().map(|wait| format!("{:.1}", wait.as_secs_f64())).collect();
        println!("{PERSON}, who wrote to the bot meanwhile, had her photos back after {} s", waits.join(", "));
        println!(
            "from 1 to {} workers and back to 1; all {sent} jobs answered; {:.0} s",
            self.most_in_service,
            took.as_secs_f64()
        );
        Ok(())
    }
}

async fn show(
    stack: &LocalFleet,
    args: &DemoArgs,
    period: Duration,
    timeline: &mut Timeline,
    began: Instant,
) -> anyhow::Result<Shown> {
    let group = stack.group.as_ref().context("the fleet was started without a group that scales")?;
    let observer = Observer::new(stack, group);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    timeline.line(format!(
        "{} on {cores} cores; 1 to {} workers of one thread each; ten seconds of AWS's time are one",
        args.model, args.max
    ));
    if detector::StandIn::from_setting(&args.model).is_none() && args.max as usize > cores {
        timeline.line(format!("(more than {cores} workers share the {cores} cores: the fleet gets no faster by them)"));
    }
    let pace = WorkerRate::measure(fleet(stack)).await?;
    timeline.line(pace.in_words());
    // Scaling begins with the flood, from one worker.
    at_rest(&observer, timeline).await?;

    let plan = pace.flood()?;
    timeline.line(format!("the flood: {}, straight to the queue; meanwhile {PERSON} writes to the bot", plan.shape));
    timeline.head();
    let flood = Flood::start(plan, Door::queue(fleet(stack)), Photo::samples()).await?;
    let flooded = async {
        let (report, waits) = tokio::join!(flood.finish(), person(stack));
        waits.map(|waits| (report, waits))
    };
    tokio::pin!(flooded);
    let mut ended = None;
    let mut most_in_service = 0;
    let mut seconds = tokio::time::interval(period);
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = seconds.tick() => {}
            flooded = &mut flooded, if ended.is_none() => {
                ended = Some(flooded?);
                timeline.line("       > the last answer has come".into());
                continue;
            }
        }
        let look = observer.look().await?;
        most_in_service = most_in_service.max(look.in_service);
        timeline.look(began.elapsed(), &look);
        timeline.activities(&observer.activities().await?);
        if is_at_rest(&look)
            && let Some((report, waits)) = ended.take_if(|_| most_in_service > 1)
        {
            return Ok(Shown { report, most_in_service, waits });
        }
        if ended.is_some() && most_in_service <= 1 {
            bail!("all was answered before the fleet grew");
        }
    }
}

fn is_at_rest(look: &Look) -> bool {
    look.desired == 1 && look.instances == 1 && look.in_service == 1
}

async fn at_rest(observer: &Observer<'_>, timeline: &mut Timeline) -> anyhow::Result<()> {
    loop {
        let look = observer.look().await?;
        if is_at_rest(&look) {
            timeline.activities(&observer.activities().await?);
            return Ok(());
        }
        // A poll: what is looked at has no way to call.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn fleet(stack: &LocalFleet) -> FleetStores {
    let resources = &stack.resources;
    let fleet = FleetStores::new(&stack.config, &resources.bucket, &resources.queue_url, &resources.table);
    fleet.group(&resources.group)
}

/// Three photos through Telegram, each after the answer to the one before; how long each took.
async fn person(stack: &LocalFleet) -> anyhow::Result<Vec<Duration>> {
    let photos: Vec<Vec<u8>> = Photo::samples().iter().map(|photo| photo.bytes.to_vec()).collect();
    let user = stack.telegram.user(PERSON);
    let mut waits = Vec::new();
    for photo in photos {
        let sent = Instant::now();
        let message_id = user.post_photo(photo, None);
        let answered = stack.telegram.wait_for_message(
            |message| {
                message.chat_id == user.chat_id() && message.reply_to == Some(message_id) && message.photo().is_some()
            },
            LIMIT,
        );
        answered.await.ok().with_context(|| format!("{PERSON} had no answer"))?;
        waits.push(sent.elapsed());
    }
    Ok(waits)
}

fn write(out: &Path, timeline: &Timeline, report: Option<&Report>) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("can't make the folder {}", out.display()))?;
    timeline.write(&out.join("timeline.txt"))?;
    if let Some(report) = report {
        let failed = |name: &str| format!("can't write {}", out.join(name).display());
        report.write_json(&out.join("demo.json")).with_context(|| failed("demo.json"))?;
        report.write_html(&out.join("demo.html")).with_context(|| failed("demo.html"))?;
    }
    Ok(())
}
