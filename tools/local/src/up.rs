//! No command: everything runs until ctrl-c.

use crate::cli::UpArgs;
use crate::scaling::Launcher;
use crate::{Options, RealTelegram, Stack};

pub(crate) async fn run(args: UpArgs) -> anyhow::Result<()> {
    located(&args.model).await?;
    // From the start: ctrl-c while things start ends them, too.
    let stopped = fleet::shutdown::on_signal()?;
    let scaling = args.scaling();
    let telegram = RealTelegram::from_environment();
    let data_dir = args.data_dir.clone();
    let options = Options { scaling: Some(scaling.clone()), telegram, data_dir, ..Options::here(&args.model)? };
    let stack = tokio::select! {
        stack = Stack::start(options, |step| eprintln!("{step}")) => stack?,
        () = stopped.cancelled() => return Ok(()),
    };
    show(&stack);
    // The page's address is printed here, before the line that says that everything runs.
    println!(
        "{} to {} workers for a BacklogPerInstance of {}, {} times as fast as in AWS",
        scaling.min_size, scaling.max_size, scaling.target_value, scaling.time_scale
    );
    println!("everything runs; ctrl-c stops it");
    tokio::select! {
        () = tell_troubles(&stack) => {}
        () = stopped.cancelled() => {}
    }
    eprintln!("stopping");
    stack.stop().await;
    Ok(())
}

/// Fetch the model, if it is one: here and not in a worker, so that its progress is seen.
pub(crate) async fn located(model: &str) -> anyhow::Result<()> {
    if detector::StandIn::from_setting(model).is_none() {
        let model = model.to_owned();
        tokio::task::spawn_blocking(move || models::locate(&model, &|step| eprintln!("{step}"))).await??;
    }
    Ok(())
}

fn show(stack: &Stack) {
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
async fn tell_troubles(stack: &Stack) {
    let Some(mut troubles) = stack.group.as_ref().map(|group| group.troubles()) else {
        return std::future::pending().await;
    };
    while troubles.changed().await.is_ok() {
        if let Some(trouble) = troubles.borrow_and_update().clone() {
            eprintln!("{trouble}");
        }
    }
    std::future::pending().await
}
