//! `lab`: the scaling lab's commands, and `lab fetch`, which asks CloudWatch for a real fleet's past.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy};
use clap::Subcommand;
use scaling_lab::{Fetched, Period};

/// What the lab can be asked here.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum LabCommand {
    /// Fetch the past of a real queue and group from CloudWatch: arrivals, workers, backlog
    Fetch(FetchArgs),
    #[command(flatten)]
    Lab(scaling_lab::cli::Command),
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct FetchArgs {
    /// The name of the SQS queue with the jobs
    #[arg(long)]
    queue: String,
    /// The name of the workers' Auto Scaling group
    #[arg(long)]
    group: String,
    /// How far to look back, such as 14d. CloudWatch keeps minutes for 15 days
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration::parse)]
    since: Duration,
    /// The length of a period, in whole minutes
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = whole_minutes)]
    period: Duration,
    /// The folder to write load.csv and seen.csv to
    #[arg(long, value_name = "DIR", default_value = "lab-fetched")]
    out: PathBuf,
}

fn whole_minutes(text: &str) -> Result<Duration, String> {
    let period = duration::parse(text)?;
    let is_whole = !period.is_zero() && period.as_nanos().is_multiple_of(60_000_000_000);
    if is_whole { Ok(period) } else { Err("expected whole minutes, for example 60s or 5m".into()) }
}

pub(crate) async fn run(command: LabCommand) -> anyhow::Result<()> {
    match command {
        LabCommand::Fetch(args) => fetch(&args).await,
        // Hours of arithmetic, and nothing else to do meanwhile.
        LabCommand::Lab(command) => tokio::task::spawn_blocking(|| command.run()).await?,
    }
}

async fn fetch(args: &FetchArgs) -> anyhow::Result<()> {
    let client = Client::new(&fleet::aws::config().await);
    let period = i64::try_from(args.period.as_secs())?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let (start, end) = ((now - i64::try_from(args.since.as_secs())?) / period * period, now / period * period);
    let queue = ("QueueName", args.queue.as_str());
    let group = ("AutoScalingGroupName", args.group.as_str());
    let queries = [
        query("sent", "AWS/SQS", "NumberOfMessagesSent", queue, "Sum", period)?,
        query("waiting", "AWS/SQS", "ApproximateNumberOfMessagesVisible", queue, "Average", period)?,
        query("workers", "AWS/AutoScaling", "GroupInServiceInstances", group, "Average", period)?,
    ];
    let found = values(&client, &queries, start, end).await?;
    let at = |name: &str, second: i64| found.get(name).and_then(|values| values.get(&second)).copied();
    let known: Vec<i64> =
        (start..end).step_by(args.period.as_secs() as usize).filter(|second| at("sent", *second).is_some()).collect();
    let (Some(&first), Some(&last)) = (known.first(), known.last()) else {
        bail!(
            "CloudWatch knows of no messages sent to the queue {} in the last {} s: is that its name, and this its region?",
            args.queue,
            args.since.as_secs()
        );
    };
    let periods = (first..=last).step_by(args.period.as_secs() as usize).map(|second| Period {
        second: (second - first) as f64,
        sent: at("sent", second),
        workers: at("workers", second),
        waiting: at("waiting", second),
    });
    let fetched = Fetched { period: args.period.as_secs_f64(), periods: periods.collect() };
    write(&fetched, &args.out)?;
    let photos: f64 = fetched.periods.iter().filter_map(|period| period.sent).sum();
    println!("{photos:.0} messages in {} periods of {period} s", fetched.periods.len());
    println!("load.csv and seen.csv are in {0}; now: lab replay {0}", args.out.display());
    Ok(())
}

fn write(fetched: &Fetched, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {} (--out)", folder.display()))?;
    Ok(fetched.write(folder)?)
}

fn query(
    id: &str,
    namespace: &str,
    name: &str,
    (dimension, value): (&str, &str),
    stat: &str,
    period: i64,
) -> anyhow::Result<MetricDataQuery> {
    let dimension = Dimension::builder().name(dimension).value(value).build();
    let metric = Metric::builder().namespace(namespace).metric_name(name).dimensions(dimension).build();
    let stat = MetricStat::builder().metric(metric).period(i32::try_from(period)?).stat(stat).build();
    Ok(MetricDataQuery::builder().id(id).metric_stat(stat).build())
}

/// The values of each query by the second at which their period begins, page by page.
async fn values(
    client: &Client,
    queries: &[MetricDataQuery],
    start: i64,
    end: i64,
) -> anyhow::Result<HashMap<String, HashMap<i64, f64>>> {
    let mut found: HashMap<String, HashMap<i64, f64>> = HashMap::new();
    let mut next_token: Option<String> = None;
    loop {
        let page = client
            .get_metric_data()
            .set_metric_data_queries(Some(queries.to_vec()))
            .start_time(DateTime::from_secs(start))
            .end_time(DateTime::from_secs(end))
            .scan_by(ScanBy::TimestampAscending)
            .set_next_token(next_token)
            .send()
            .await
            .context(
                "can't read the queue's and the group's metrics from CloudWatch (it needs cloudwatch:GetMetricData)",
            )?;
        for result in page.metric_data_results() {
            let points = result.timestamps().iter().map(DateTime::secs).zip(result.values().iter().copied());
            found.entry(result.id().unwrap_or_default().to_owned()).or_default().extend(points);
        }
        next_token = page.next_token().map(str::to_owned);
        if next_token.is_none() {
            return Ok(found);
        }
    }
}
