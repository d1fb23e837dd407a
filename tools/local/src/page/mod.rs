//! The page: the bot in a browser, and beside it the fleet as it is this second.
//!
//! What it shows of AWS it reads through the SDKs, as a dashboard on real AWS would; what it shows of the chats are the
//! events of the Telegram sandbox. Both reach the browser as server-sent events over one connection ([`live`]). The
//! browser's side ([`assets`]) is plain HTML, CSS and JavaScript, and asks nobody else for anything.

mod assets;
mod board;
mod files;
mod fleet_state;
mod flooding;
mod form;
mod guard;
mod history;
mod live;
mod pace;
mod people;
mod posting;
mod problem;
mod routes;
mod steering;
mod watcher;

use std::sync::Arc;

use anyhow::Context;
use aws_config::SdkConfig;
use telegram_sandbox::App;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Launcher, LocalFleet, Resources};
use board::Board;
use flooding::Flooding;
use people::People;

/// What the page shows and steers.
#[derive(Debug)]
pub struct Page {
    /// The Telegram sandbox; `None` if the fleet serves the real Telegram: then the page has no chat.
    pub telegram: Option<App>,
    /// For clients of AWS.
    pub config: SdkConfig,
    /// What there is in AWS.
    pub resources: Resources,
    /// The launcher, which can kill a worker; `None` if their number is fixed.
    pub launcher: Option<Launcher>,
}

impl Page {
    /// The page of a running fleet.
    #[must_use]
    pub fn of(stack: &LocalFleet) -> Self {
        Self {
            telegram: stack.options().telegram.is_none().then(|| stack.telegram.app()),
            config: stack.config.clone(),
            resources: stack.resources.clone(),
            launcher: stack.launcher().cloned(),
        }
    }
}

/// What every request may need.
#[derive(Debug)]
struct Shared {
    /// Tells this run from the one before it, whose page a browser may still show.
    run: String,
    people: Option<People>,
    launcher: Option<Launcher>,
    flooding: Flooding,
    board: Board,
    stop: CancellationToken,
}

/// Serve the page on `listener` until `stop`.
///
/// # Errors
/// If the listener fails, or it is not on loopback: everyone who reaches the page can control the fleet.
pub async fn serve(listener: TcpListener, page: Page, stop: CancellationToken) -> anyhow::Result<()> {
    let address = listener.local_addr().context("can't read the page's own address")?;
    anyhow::ensure!(address.ip().is_loopback(), "the page asks nobody who they are: it can be on loopback only");
    // Ends with this function, however that ends.
    let stop = stop.child_token();
    let _ended = stop.clone().drop_guard();
    let flooding = Flooding::new(&page);
    let board = Board::start(&page, flooding.clone(), stop.clone());
    let shared = Arc::new(Shared {
        run: format!("{:x}", fleet::Timestamp::now().as_secs()) + &std::process::id().to_string(),
        people: page.telegram.map(People::new),
        launcher: page.launcher,
        flooding,
        board,
        stop: stop.clone(),
    });
    axum::serve(listener, routes::router(shared))
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
        .context("the page's server failed")
}
