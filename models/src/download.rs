//! A file from an address.

use std::io::Read;
use std::time::Duration;

use crate::progress::Progress;

/// A response body larger than this is not a model of this project.
const MAX_DOWNLOAD: u64 = 2 << 30;

/// The file at this address, or why it can't be had.
pub(crate) fn get(url: &str, progress: Progress<'_>) -> Result<Vec<u8>, String> {
    // On its own thread, because a blocking client must not be used where an async runtime may be running.
    let download = std::thread::scope(|scope| scope.spawn(|| get_blocking(url)).join());
    let bytes = download.map_err(|_| "the download panicked".to_owned())??;
    progress(&format!("downloaded {:.1} MB", megabytes(bytes.len() as u64)));
    Ok(bytes)
}

fn get_blocking(url: &str) -> Result<Vec<u8>, String> {
    let reason = |error: reqwest::Error| in_words(&error.without_url());
    let client = reqwest::blocking::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(600))
        .build()
        .map_err(reason)?;
    let response = client.get(url).send().and_then(|response| response.error_for_status()).map_err(reason)?;
    let total = response.content_length();
    read_with_progress(response.take(MAX_DOWNLOAD), total)
}

/// Read to the end, with a line on standard error for each tenth of it.
fn read_with_progress(mut from: impl Read, total: Option<u64>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    let mut shown = 0;
    loop {
        let read = from.read(&mut chunk).map_err(|error| {
            let all = total.map(|total| format!(" of {:.1}", megabytes(total))).unwrap_or_default();
            format!("it broke off after {:.1}{all} MB: {}", megabytes(bytes.len() as u64), in_words(&error))
        })?;
        if read == 0 {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&chunk[..read]);
        if let Some(tenth) = total.and_then(|total| (bytes.len() as u64 * 10).checked_div(total))
            && tenth > shown
        {
            shown = tenth;
            eprintln!("  {}0 %", tenth);
        }
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// With its causes, which say more than it does.
fn in_words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
