//! How a flood goes, on standard error.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use report::seconds;
use tokio::sync::watch;

use crate::{Phase, Progress};

/// How often a line is printed if the output is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Show progress until the flood has ended: a bar on a terminal, else a line now and then.
pub(super) async fn until_ended(mut progress: watch::Receiver<Progress>) {
    if std::io::stderr().is_terminal() {
        bar(&mut progress).await;
    } else {
        lines(&mut progress).await;
    }
}

async fn bar(progress: &mut watch::Receiver<Progress>) {
    let planned = progress.borrow().planned;
    let bar = ProgressBar::with_draw_target(Some(planned), ProgressDrawTarget::stderr_with_hz(10));
    // The template is a constant; were it wrong, the default bar would do.
    if let Ok(style) = ProgressStyle::with_template("{elapsed} [{bar:16}] {pos}/{len} {wide_msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    loop {
        let now = progress.borrow_and_update().clone();
        bar.set_position(now.answered + now.failed);
        bar.set_message(words(&now));
        if now.phase == Phase::Ended || progress.changed().await.is_err() {
            break;
        }
    }
    bar.finish_and_clear();
}

async fn lines(progress: &mut watch::Receiver<Progress>) {
    let mut next = LINE_EVERY;
    loop {
        let now = progress.borrow_and_update().clone();
        if now.phase == Phase::Ended {
            return;
        }
        if now.elapsed >= next {
            next = now.elapsed + LINE_EVERY;
            eprintln!(
                "{:>4.0} s  {}/{}  {}",
                now.elapsed.as_secs_f64(),
                now.answered + now.failed,
                now.planned,
                words(&now)
            );
        }
        if progress.changed().await.is_err() {
            return;
        }
    }
}

fn words(progress: &Progress) -> String {
    let p95 = progress.p95.map_or_else(|| "–".to_owned(), |p95| seconds(p95.as_secs_f64()));
    let draining = if progress.phase == Phase::Draining { ", waiting for answers" } else { "" };
    let failed = if progress.failed > 0 { format!(", {} failed", progress.failed) } else { String::new() };
    format!(
        "{:.1}/s in, {:.1}/s out, {} outstanding, p95 {p95}{failed}{draining}",
        progress.arrival_rate, progress.rate, progress.outstanding
    )
}
