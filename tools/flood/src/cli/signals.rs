//! Ctrl-c and SIGTERM.

use std::convert::Infallible;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::{Progress, Stopper};

/// The signals that ask a program to end.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they come here.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("can't listen to signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Wait for the next.
    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Stop the flood a step further at each. Never returns.
    pub(super) async fn stop(&mut self, stopper: &Stopper, progress: watch::Receiver<Progress>) -> Infallible {
        for words in ["no more arrivals; waiting for {} answers, ctrl-c again ends that", "ending with {} outstanding"]
        {
            self.received().await;
            stopper.stop();
            let outstanding = progress.borrow().outstanding;
            eprintln!("\n{}", words.replace("{}", &outstanding.to_string()));
        }
        std::future::pending().await
    }
}
