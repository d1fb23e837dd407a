//! No command: everything runs until ctrl-c.

use crate::page::{self, Page};
use crate::{Options, Stack};

pub(crate) async fn run() -> anyhow::Result<()> {
    let model = std::env::var("MODEL").unwrap_or_else(|_| models::DEFAULT.into());
    if detector::StandIn::from_setting(&model).is_none() {
        let located = model.clone();
        tokio::task::spawn_blocking(move || models::locate(&located, &|step| eprintln!("{step}"))).await??;
    }
    // From the start: ctrl-c while things start ends them, too.
    let stopped = fleet::shutdown::on_signal()?;
    let stack = tokio::select! {
        stack = Stack::start(Options::here(model)?, |step| eprintln!("{step}")) => stack?,
        () = stopped.cancelled() => return Ok(()),
    };
    println!("AWS              {}", stack.aws.endpoint());
    println!("Telegram         {}", stack.telegram.api_url());
    for (child, address) in stack.children() {
        println!("{:<16} http://{address}  (process {})", child.name(), child.id().unwrap_or_default());
    }
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    println!("page             http://{}", listener.local_addr()?);
    println!("everything runs; ctrl-c stops it");
    page::serve(listener, Page::of(&stack), stopped.clone()).await?;
    eprintln!("stopping");
    stack.stop().await;
    Ok(())
}
