//! `up`: everything runs until ctrl-c.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::page::{self, Page};
use crate::scaling::{Launcher, LocalGroup, ScalingSettings};
use crate::scaling_args::ScalingArgs;
use crate::shell::{self, EnvFile};
use crate::{LocalFleet, Options, RealTelegram};

#[derive(clap::Args, Debug)]
pub(crate) struct UpArgs {
    /// A model of models.toml by name, or the path of an ONNX file
    #[arg(long, env, default_value = models::DEFAULT)]
    model: String,
    /// The page's port on loopback; 0 takes a free port
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Keep photos, records and jobs in this folder for the next start. Without it they are lost at the end
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Write the environment that another terminal needs into this file, for `source FILE` there, instead of printing it.
    /// The file is removed when the fleet stops
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
    #[command(flatten)]
    scaling: ScalingArgs,
}

impl UpArgs {
    pub(crate) fn scaling(&self) -> ScalingSettings {
        self.scaling.scaling()
    }
}

pub(crate) async fn run(args: UpArgs) -> anyhow::Result<()> {
    // First: nothing is started for a page that has no place.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await;
    let listener = listener.with_context(|| format!("can't serve the page on port {} (--port)", args.port))?;
    let env = args.env.as_deref().map(std::path::absolute).transpose()?;
    env.as_deref().map(EnvFile::check).transpose()?;
    located(&args.model).await?;
    // From the start: ctrl-c while things start ends them, too.
    let stopped = fleet::shutdown::on_signal()?;
    let scaling = args.scaling();
    let telegram = RealTelegram::from_environment();
    let data_dir = args.data_dir.clone();
    let options = Options { scaling: Some(scaling.clone()), telegram, data_dir, ..Options::here(&args.model)? };
    let mut stack = tokio::select! {
        stack = LocalFleet::start(options, |step| eprintln!("{step}")) => stack?,
        () = stopped.cancelled() => return Ok(()),
    };
    show(&stack);
    println!("page             http://{}", listener.local_addr()?);
    println!(
        "{} to {} workers for {}, {} times as fast as in AWS",
        scaling.min_size,
        scaling.max_size,
        scaling.in_words(),
        scaling.time_scale
    );
    let exports = shell::exports(&stack.client_environment());
    let env_file = match &env {
        Some(path) => {
            let file = EnvFile::write(path, &exports)?;
            println!("another terminal source {}", shell::quoted(&path.to_string_lossy()));
            Some(file)
        }
        None => {
            println!("for another terminal (or --env FILE, and `source FILE` there):\n\n{exports}");
            None
        }
    };
    println!("everything runs; ctrl-c stops it");
    let (page, troubles) = (Page::of(&stack), stack.group.as_ref().map(LocalGroup::troubles));
    let keep_running = async {
        // What ends while everything stops is to end.
        tokio::select! {
            () = stopped.cancelled() => {}
            () = stack.keep_running(|said| eprintln!("{said}")) => {}
        }
        std::future::pending().await
    };
    let served = tokio::select! {
        served = page::serve(listener, page, stopped.clone()) => served,
        () = tell_troubles(troubles) => Ok(()),
        () = keep_running => Ok(()),
    };
    eprintln!("stopping");
    drop(env_file);
    stack.stop().await;
    served
}

/// Fetch the model, if it is one: here and not in a worker, so that its progress is seen.
pub(crate) async fn located(model: &str) -> anyhow::Result<()> {
    if detector::StandIn::from_setting(model).is_none() {
        let model = model.to_owned();
        tokio::task::spawn_blocking(move || models::locate(&model, &|step| eprintln!("{step}"))).await??;
    }
    Ok(())
}

fn show(stack: &LocalFleet) {
    println!("AWS              {}", stack.aws.endpoint());
    if stack.options().telegram.is_some() {
        println!("Telegram         the real one, by long polling");
    } else {
        println!("Telegram         {}", stack.telegram.api_url());
    }
    if let Some(folder) = &stack.options().data_dir {
        println!("kept in          {}", folder.display());
    }
    for (child, address) in stack.children() {
        println!("{:<16} http://{address}  (process {})", child.name(), child.id().unwrap_or_default());
    }
    for machine in stack.launcher().map(Launcher::machines).unwrap_or_default() {
        if let (Some(process), Some(address)) = (machine.process, machine.address) {
            println!("{:<16} http://{address}  {}  (process {process})", "yolo-worker", machine.instance_id);
        }
    }
}

/// Tell each trouble of the group as it comes, for ever.
async fn tell_troubles(troubles: Option<watch::Receiver<Option<String>>>) {
    let Some(mut troubles) = troubles else { return std::future::pending().await };
    while troubles.changed().await.is_ok() {
        if let Some(trouble) = troubles.borrow_and_update().clone() {
            eprintln!("{trouble}");
        }
    }
    std::future::pending().await
}
