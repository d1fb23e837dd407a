//! A model into the cache: found, downloaded, unpacked, verified, moved into place.

use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::cargo::Cargo;
use crate::download;
use crate::manifest::{Entry, Source};
use crate::progress::Progress;

/// What is unpacked to more than this is not a model of this project.
const MAX_UNPACKED: u64 = 2 << 30;

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
    /// No source can be reached, or none has it.
    #[error(
        "can't fetch the model {model}: {tried}. Put its ONNX file (SHA-256 {sha256}) at {}, or set MODEL to the path of \
         an ONNX file that you have",
        path.display()
    )]
    Unreachable {
        /// The model.
        model: String,
        /// Each source with the reason why it failed.
        tried: String,
        /// The file's sum.
        sha256: String,
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
    #[error("can't {what} {}: {reason}; set MODEL_CACHE to a folder that can be written", path.display())]
    Cache {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
}

/// The cached file of this model, fetched first if it is not there.
pub(crate) fn into_cache(
    cache: &Path,
    model: &str,
    entry: &Entry,
    cargo: &Cargo,
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
        Err(reason) => return Err(FetchError::Cache { what: "read", path, reason }),
    }
    progress(&format!("fetching the model {model} ({}; licence {})", entry.description, entry.licence));
    let bytes = from_a_source(model, entry, &path, cargo, progress)?;
    verify(&format!("the fetched model {model}"), &bytes, &entry.sha256, "Fetch it again, or report it")?;
    write_atomically(&path, &bytes)?;
    progress(&format!("the model {model} is verified and kept at {}", path.display()));
    Ok(path)
}

/// What the first source that can be reached has.
fn from_a_source(
    model: &str,
    entry: &Entry,
    path: &Path,
    cargo: &Cargo,
    progress: Progress<'_>,
) -> Result<Vec<u8>, FetchError> {
    let mut failures = Vec::<String>::new();
    for source in &entry.sources {
        if let Some(reason) = failures.last() {
            progress(reason);
        }
        match from_source(source, cargo, progress) {
            Ok(bytes) => return Ok(bytes),
            Err(SourceError::Failed(reason)) => failures.push(reason),
            Err(SourceError::Refused(error)) => return Err(error),
        }
    }
    let tried = if failures.is_empty() { "models.toml names no source".into() } else { failures.join("; ") };
    Err(FetchError::Unreachable { model: model.into(), tried, sha256: entry.sha256.clone(), path: path.into() })
}

/// Why a source did not give the file.
enum SourceError {
    /// It can't be reached or does not have the file; another may.
    Failed(String),
    /// It has something wrong, which somebody should know of.
    Refused(FetchError),
}

fn from_source(source: &Source, cargo: &Cargo, progress: Progress<'_>) -> Result<Vec<u8>, SourceError> {
    match source {
        Source::Crate { package, archive_sha256, member, inner } => {
            let failed = |reason| SourceError::Failed(format!("the crate {package} through cargo: {reason}"));
            let archive_path = cargo.crate_file(package, progress).map_err(failed)?;
            let archive = std::fs::read(&archive_path).map_err(|reason| {
                SourceError::Refused(FetchError::Cache { what: "read", path: archive_path.clone(), reason })
            })?;
            let hint = "Remove it to have cargo fetch it again";
            verify(&archive_path.display().to_string(), &archive, archive_sha256, hint)
                .map_err(SourceError::Refused)?;
            unpack(&archive, package, member, inner.as_deref())
                .map_err(|error| failed(format!("{member} can't be unpacked: {error}")))
        }
        Source::Url { url, inner } => {
            let failed = |reason| SourceError::Failed(format!("the download {url}: {reason}"));
            let bytes = download::get(url, progress).map_err(failed)?;
            match inner {
                Some(inner) => {
                    unzip(bytes, inner).map_err(|error| failed(format!("{inner} can't be unpacked: {error}")))
                }
                None => Ok(bytes),
            }
        }
    }
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
        return match inner {
            Some(inner) => unzip(bytes, inner),
            None => Ok(bytes),
        };
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "it is not in there"))
}

/// The file of this name in a zip archive, which nobody has verified yet.
fn unzip(archive: Vec<u8>, name: &str) -> io::Result<Vec<u8>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(archive)).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    zip.by_name(name).map_err(io::Error::other)?.take(MAX_UNPACKED).read_to_end(&mut bytes)?;
    Ok(bytes)
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
    let failed = |reason| FetchError::Cache { what: "write", path: path.into(), reason };
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
    use std::sync::Mutex;

    use super::*;
    use crate::Manifest;

    const WEIGHTS: &[u8] = b"weights";

    /// A cache, and a machine without cargo.
    struct Machine {
        folder: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().expect("tempdir") }
        }

        fn cache(&self) -> PathBuf {
            self.folder.path().join("cache")
        }

        /// Fetch `m` of a `models.toml` with these sources.
        fn fetch(&self, sources: &str) -> Result<PathBuf, FetchError> {
            self.fetch_telling(sources, &|_| ())
        }

        fn fetch_telling(&self, sources: &str, progress: Progress<'_>) -> Result<PathBuf, FetchError> {
            let sha256 = hex::encode(Sha256::digest(WEIGHTS));
            let toml =
                format!("[m]\ndescription = 'a test'\nlicence = 'CC0-1.0'\nsha256 = '{sha256}'\nsources = [{sources}]");
            let manifest = Manifest::parse(&toml).expect("a manifest");
            let cargo = Cargo::missing(self.folder.path());
            into_cache(&self.cache(), "m", manifest.get("m").expect("m"), &cargo, progress)
        }

        /// The files in the cache, whole or not.
        fn kept(&self) -> usize {
            std::fs::read_dir(self.cache()).map_or(0, Iterator::count)
        }
    }

    /// A server that sends this to its first client, and closes; returns the address of a file there as a source.
    fn serve_once(response: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a request");
                request.extend(byte);
            }
            stream.write_all(&response).expect("a response");
        });
        format!("{{ url = 'http://{address}/m.onnx' }}")
    }

    /// 200, with a length that may be another than the body's.
    fn ok(length: usize, body: &[u8]) -> Vec<u8> {
        [format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes(), body].concat()
    }

    fn zipped(name: &str, content: &[u8]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("a file in it");
        zip.write_all(content).expect("its content");
        zip.finish().expect("an archive").into_inner()
    }

    /// As in the real `models.toml`.
    const CRATE: &str = "{ crate = 'm@1.0.0', archive_sha256 = '00', member = 'm.onnx' }";

    /// Fails in one sentence, with how to get the model, and leaves nothing behind.
    fn in_one_sentence(machine: &Machine, sources: &str) -> String {
        let error = machine.fetch(sources).expect_err("nothing to be had");
        assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
        let said = error.to_string();
        let place = machine.cache().join("m.onnx");
        assert!(said.starts_with("can't fetch the model m: ") && said.lines().count() == 1, "{said}");
        assert!(said.contains(&format!("at {}", place.display())) && said.contains("set MODEL to"), "{said}");
        assert_eq!(machine.kept(), 0);
        said
    }

    #[test]
    fn without_cargo_it_is_downloaded_verified_kept_and_not_fetched_again() {
        let machine = Machine::new();
        let steps = Mutex::new(Vec::new());
        let tell = |step: &str| steps.lock().expect("steps").push(step.to_owned());
        let sources = format!("{CRATE}, {}", serve_once(ok(WEIGHTS.len(), WEIGHTS)));
        let path = machine.fetch_telling(&sources, &tell).expect("fetched");
        assert_eq!(std::fs::read(&path).expect("read"), WEIGHTS);
        let steps = steps.into_inner().expect("steps");
        assert!(steps.iter().any(|step| step.contains("there is no cargo on this machine")), "{steps:?}");
        // The server is gone: this one comes from the cache.
        assert_eq!(machine.fetch(&sources).expect("cached"), path);
        assert_eq!(machine.kept(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_download_may_be_a_zip_archive() {
        let inner = |url: String| url.replace(" }", ", inner = 'weights.onnx' }");
        let machine = Machine::new();
        let archive = zipped("weights.onnx", WEIGHTS);
        let path = machine.fetch(&inner(serve_once(ok(archive.len(), &archive)))).expect("fetched");
        assert_eq!(std::fs::read(path).expect("read"), WEIGHTS);

        for other in [zipped("other.onnx", WEIGHTS), b"a sign-in page".to_vec()] {
            let said = in_one_sentence(&Machine::new(), &inner(serve_once(ok(other.len(), &other))));
            assert!(said.contains("weights.onnx can't be unpacked"), "{said}");
        }
    }

    #[test]
    fn a_wrong_file_is_refused_and_not_kept() {
        let machine = Machine::new();
        let error = machine.fetch(&serve_once(ok(14, b"something else"))).expect_err("wrong sum");
        assert!(matches!(error, FetchError::WrongSum { .. }), "{error}");
        assert_eq!(machine.kept(), 0);
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let gone = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
        let said = in_one_sentence(&Machine::new(), &serve_once(gone));
        assert!(said.contains("/m.onnx: ") && said.contains("404 Not Found"), "{said}");
    }

    #[test]
    fn a_download_that_breaks_off_is_told_and_the_next_source_asked() {
        let half = vec![0; 3_000_000];
        let said = in_one_sentence(&Machine::new(), &serve_once(ok(6_000_000, &half)));
        assert!(said.contains("it broke off after 3.0 of 6.0 MB"), "{said}");

        let machine = Machine::new();
        let sources = [serve_once(ok(7, b"wei")), serve_once(ok(WEIGHTS.len(), WEIGHTS))].join(", ");
        assert_eq!(std::fs::read(machine.fetch(&sources).expect("fetched")).expect("read"), WEIGHTS);
    }

    #[test]
    fn no_cargo_and_no_network_says_what_to_do() {
        let free = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address");
        let said = in_one_sentence(&Machine::new(), &format!("{CRATE}, {{ url = 'http://{free}/' }}"));
        assert!(said.contains("the crate m@1.0.0 through cargo: there is no cargo on this machine; "), "{said}");
        assert!(said.contains(&free.to_string()) && said.contains("refused"), "{said}");

        let said = in_one_sentence(&Machine::new(), CRATE);
        assert!(said.contains("there is no cargo on this machine. Put"), "{said}");
        assert!(in_one_sentence(&Machine::new(), "").contains("names no source"));
    }

    #[test]
    fn a_damaged_cache_says_what_to_do() {
        let machine = Machine::new();
        std::fs::create_dir(machine.cache()).expect("a folder");
        std::fs::write(machine.cache().join("m.onnx"), b"damaged").expect("write");
        let error = machine.fetch("{ url = 'http://127.0.0.1:1/' }").expect_err("damaged").to_string();
        assert!(error.contains("Remove it"), "{error}");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = crate::locate("no-such-model", &|_| ()).expect_err("unknown").to_string();
        assert!(error.contains("yolo12n"), "{error}");
    }
}
