//! S3, as far as a bucket of photos goes, addressed by path.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use hyper::{HeaderMap, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::aws_chunked;
use crate::call::Call;
use crate::failure::Failure;
use crate::reply::Reply;
use crate::service::Service;
use crate::xml::escape;

mod object;
mod shelf;

use object::{About, Object};
use shelf::{Place, Shelf};

/// Keys that one list tells.
const LONGEST_LIST: usize = 1000;
/// Headers that are kept with an object, beside its `x-amz-meta-` ones.
const KEPT: [&str; 5] =
    ["content-type", "cache-control", "content-disposition", "content-encoding", "content-language"];

#[derive(Debug, Default)]
pub(crate) struct S3 {
    buckets: Arc<Mutex<BTreeMap<String, Bucket>>>,
    /// Where buckets are folders.
    folder: Option<PathBuf>,
}

#[derive(Debug)]
struct Bucket {
    shelf: Shelf,
    objects: BTreeMap<String, (About, Place)>,
}

/// What a request is about: `/bucket/key?query`.
struct Target {
    bucket: String,
    key: String,
    query: BTreeMap<String, String>,
}

impl Target {
    fn of(call: &Call) -> Result<Self, Failure> {
        let (path, query) = call.target.split_once('?').unwrap_or((&call.target, ""));
        let path = path.trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let (Some(bucket), Some(key)) = (percent_decoded(bucket), percent_decoded(key)) else {
            return Err(Failure::bad("InvalidURI", "Couldn't parse the specified URI."));
        };
        let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Self { bucket, key, query })
    }
}

/// `None` if it is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

fn no_such_bucket(name: &str) -> Failure {
    Failure::new(404, "NoSuchBucket", format!("The specified bucket does not exist: {name}"))
}

fn no_such_key(key: &str) -> Failure {
    Failure::new(404, "NoSuchKey", format!("The specified key does not exist: {key}"))
}

fn not_kept(error: &io::Error) -> Failure {
    tracing::error!(%error, "an object can't be read or written");
    Failure::new(500, "InternalError", format!("The object can't be read or written: {error}"))
}

impl S3 {
    /// With the buckets that this folder keeps, and to be kept there.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut buckets = BTreeMap::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            // A bucket's name is a folder's name as it is.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let shelf = Shelf::Folder(entry.path());
            let objects = shelf.all()?;
            buckets.insert(name, Bucket { shelf, objects });
        }
        Ok(Self { buckets: Arc::new(Mutex::new(buckets)), folder: Some(folder.to_owned()) })
    }

    pub(crate) async fn handle(&self, mut call: Call) -> Result<Reply, Failure> {
        aws_chunked::decode(&mut call.headers, &mut call.body)
            .map_err(|error| Failure::bad("IncompleteBody", error.to_string()))?;
        let target = Target::of(&call)?;
        match call.operation.as_str() {
            "ListBuckets" => Ok(self.list_buckets()),
            "CreateBucket" => self.create_bucket(&target.bucket),
            "HeadBucket" => self.with(&target.bucket, |_| Ok(Reply::xml(String::new()))),
            "DeleteBucket" => self.delete_bucket(&target.bucket),
            "ListObjectsV2" => self.list_objects(&target),
            "PutObject" if call.headers.contains_key("x-amz-copy-source") => {
                Err(Failure::unknown_operation(Service::S3, "CopyObject"))
            }
            "PutObject" => self.put_object(target, &call.headers, call.body).await,
            "GetObject" => self.get_object(&target).await,
            "HeadObject" => self.head_object(&target),
            "DeleteObject" => self.delete_object(&target),
            other => Err(Failure::unknown_operation(Service::S3, other)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, bucket: &str, act: impl FnOnce(&mut Bucket) -> Result<T, Failure>) -> Result<T, Failure> {
        act(self.lock().get_mut(bucket).ok_or_else(|| no_such_bucket(bucket))?)
    }

    fn list_buckets(&self) -> Reply {
        let names = self.lock().keys().map(|name| format!("<Bucket><Name>{name}</Name></Bucket>")).collect::<String>();
        Reply::xml(format!("<ListAllMyBucketsResult><Buckets>{names}</Buckets></ListAllMyBucketsResult>"))
    }

    /// In this region, a second CreateBucket by the bucket's owner succeeds.
    fn create_bucket(&self, name: &str) -> Result<Reply, Failure> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !(3..=63).contains(&name.len())
            || !name.chars().all(plain)
            || !name.starts_with(ends)
            || !name.ends_with(ends)
        {
            return Err(Failure::bad("InvalidBucketName", "The specified bucket is not valid."));
        }
        let mut buckets = self.lock();
        if !buckets.contains_key(name) {
            let shelf = match &self.folder {
                Some(folder) => {
                    let folder = folder.join(name);
                    std::fs::create_dir_all(&folder).map_err(|error| not_kept(&error))?;
                    Shelf::Folder(folder)
                }
                None => Shelf::Memory,
            };
            buckets.insert(name.to_owned(), Bucket { shelf, objects: BTreeMap::new() });
        }
        Ok(Reply::xml(String::new()).with("location", &format!("/{name}")))
    }

    fn delete_bucket(&self, name: &str) -> Result<Reply, Failure> {
        let mut buckets = self.lock();
        let bucket = buckets.get(name).ok_or_else(|| no_such_bucket(name))?;
        if !bucket.objects.is_empty() {
            return Err(Failure::new(409, "BucketNotEmpty", "The bucket you tried to delete is not empty."));
        }
        if let Shelf::Folder(folder) = &bucket.shelf {
            std::fs::remove_dir(folder).map_err(|error| not_kept(&error))?;
        }
        buckets.remove(name);
        Ok(Reply::xml(String::new()).status(StatusCode::NO_CONTENT))
    }

    fn list_objects(&self, target: &Target) -> Result<Reply, Failure> {
        let asked = |name: &str| target.query.get(name).map(String::as_str).filter(|value| !value.is_empty());
        if asked("delimiter").is_some() {
            return Err(Failure::new(501, "NotImplemented", "Lists by a delimiter are not offered here."));
        }
        let most = asked("max-keys").map_or(Ok(LONGEST_LIST), str::parse);
        let most = most.map_err(|_| Failure::bad("InvalidArgument", "max-keys must be a number."))?.min(LONGEST_LIST);
        let prefix = asked("prefix").unwrap_or_default();
        // The token is the last key that was told.
        let after = asked("continuation-token").or(asked("start-after")).unwrap_or_default();
        self.with(&target.bucket, |bucket| {
            let from = after.max(prefix).to_owned();
            let found = bucket.objects.range(from..).filter(|(key, _)| key.as_str() > after || after.is_empty());
            let mut found = found.take_while(|(key, _)| key.starts_with(prefix)).peekable();
            let mut body = String::new();
            let (mut count, mut last) = (0, None);
            while count < most
                && let Some((key, (about, _))) = found.next()
            {
                let modified = OffsetDateTime::from_unix_timestamp(about.modified_at).ok();
                let modified = modified.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
                body.push_str(&format!(
                    "<Contents><Key>{}</Key><LastModified>{modified}</LastModified><ETag>{}</ETag><Size>{}</Size>\
                     <StorageClass>STANDARD</StorageClass></Contents>",
                    escape(key),
                    escape(&about.etag),
                    about.size
                ));
                (count, last) = (count + 1, Some(key));
            }
            let more = found.peek().is_some();
            let token = last
                .filter(|_| more)
                .map(|key| format!("<NextContinuationToken>{}</NextContinuationToken>", escape(key)));
            Ok(Reply::xml(format!(
                "<ListBucketResult><Name>{}</Name><Prefix>{}</Prefix><KeyCount>{count}</KeyCount>\
                 <MaxKeys>{most}</MaxKeys><IsTruncated>{more}</IsTruncated>{}{body}</ListBucketResult>",
                target.bucket,
                escape(prefix),
                token.unwrap_or_default()
            )))
        })
    }

    async fn put_object(&self, target: Target, headers: &HeaderMap, body: Bytes) -> Result<Reply, Failure> {
        let kept = headers.iter().filter(|(name, _)| KEPT.contains(&name.as_str()) || is_metadata(name.as_str()));
        let kept = kept.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        let object = Object::new(target.key, kept.collect(), body);
        let shelf = self.with(&target.bucket, |bucket| Ok(bucket.shelf.clone()))?;
        let (object, place) = match shelf {
            Shelf::Memory => {
                let place = shelf.put(&object).map_err(|error| not_kept(&error))?;
                (object, place)
            }
            // The disk may take its time; other calls do not wait for it.
            Shelf::Folder(_) => on_disk(move || shelf.put(&object).map(|place| (object, place))).await?,
        };
        let etag = object.about.etag.clone();
        self.with(&target.bucket, |bucket| {
            bucket.objects.insert(object.about.key.clone(), (object.about, place));
            Ok(Reply::xml(String::new()).with(ETAG.as_str(), &etag))
        })
    }

    fn found(&self, target: &Target) -> Result<(About, Place), Failure> {
        self.with(&target.bucket, |bucket| {
            bucket.objects.get(&target.key).cloned().ok_or_else(|| no_such_key(&target.key))
        })
    }

    async fn get_object(&self, target: &Target) -> Result<Reply, Failure> {
        let (about, place) = self.found(target)?;
        let object = match place {
            Place::Memory(body) => Object { about, body },
            Place::File(_) => on_disk(move || place.get(about)).await?,
        };
        let Object { about, body } = object;
        Ok(shown(&about, body))
    }

    fn head_object(&self, target: &Target) -> Result<Reply, Failure> {
        let (about, _) = self.found(target)?;
        Ok(shown(&about, Bytes::new()).with(CONTENT_LENGTH.as_str(), &about.size.to_string()))
    }

    /// Deleting an object that does not exist succeeds.
    fn delete_object(&self, target: &Target) -> Result<Reply, Failure> {
        self.with(&target.bucket, |bucket| {
            if let Some((_, place)) = bucket.objects.remove(&target.key) {
                place.remove().map_err(|error| not_kept(&error))?;
            }
            Ok(Reply::xml(String::new()).status(StatusCode::NO_CONTENT))
        })
    }
}

fn is_metadata(header: &str) -> bool {
    header.starts_with("x-amz-meta-")
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).and_then(|done| done).map_err(|error| not_kept(&error))
}

fn shown(about: &About, body: Bytes) -> Reply {
    let mut reply = Reply::new(StatusCode::OK, "binary/octet-stream", body)
        .with(ETAG.as_str(), &about.etag)
        .with(LAST_MODIFIED.as_str(), &http_date(about.modified_at));
    for (name, value) in &about.headers {
        if name == CONTENT_TYPE.as_str() || is_metadata(name) || KEPT.contains(&name.as_str()) {
            let (Ok(name), Ok(value)) = (name.parse::<hyper::header::HeaderName>(), value.parse()) else { continue };
            reply.headers.insert(name, value);
        }
    }
    reply
}

/// Such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(at: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (day, month) = (at.weekday().to_string(), at.month().to_string());
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        &day[..3],
        at.day(),
        &month[..3],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_meant() {
        assert_eq!(percent_decoded("a%20b+%C3%BC%2Fc").as_deref(), Some("a b+ü/c"));
        for wrong in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decoded(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
