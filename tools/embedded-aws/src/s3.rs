//! S3: `winterbaume-s3`, its objects spread over shelves.
//!
//! After every write `winterbaume` copies what it knows of all objects of the region, for whoever may watch. Nobody does
//! here, and with thousands of photos that copy would be most of the work. It can't be turned off, so each object lies
//! in one of many regions, chosen by its key, and each bucket is in all of them. Clients see one bucket; only a copy of
//! an object under another key is not offered.

use std::collections::BTreeMap;

use bytes::Bytes;
use winterbaume_s3::S3Service;

use crate::REGION;
use crate::call::Call;
use crate::gateway::delegate_to;
use crate::reply::Reply;

/// How many shelves. Objects that are kept on disk are found again only with the same number.
const SHELVES: u64 = 64;
/// The most that one list tells unless asked for less, as in S3.
const LONGEST_LIST: usize = 1000;

pub(crate) struct S3 {
    service: S3Service,
}

impl S3 {
    pub(crate) fn new(service: S3Service) -> Self {
        Self { service }
    }

    pub(crate) async fn handle(&self, call: Call) -> Reply {
        if let Some(key) = key(&call.target) {
            let shelf = shelf_of(key);
            return self.on(shelf, call).await;
        }
        match call.operation.as_str() {
            "ListObjectsV2" => self.list(&call, &["continuation-token", "start-after"], "NextContinuationToken").await,
            "ListObjects" => self.list(&call, &["marker"], "NextMarker").await,
            "DeleteBucket" => self.delete_bucket(call).await,
            _ if matches!(call.method.as_str(), "GET" | "HEAD") => self.on(0, call).await,
            _ => self.on_all(call).await,
        }
    }

    async fn on(&self, shelf: u64, call: Call) -> Reply {
        let region = if shelf == 0 { REGION.to_owned() } else { format!("shelf-{shelf}") };
        delegate_to(&self.service, call, &region).await
    }

    /// The same on every shelf, whose answers are the same.
    async fn on_all(&self, call: Call) -> Reply {
        for shelf in 1..SHELVES {
            self.on(shelf, call.clone()).await;
        }
        self.on(0, call).await
    }

    /// Only an empty bucket can be deleted: where there is an object, its shelf refuses.
    async fn delete_bucket(&self, call: Call) -> Reply {
        let mut look = call.clone();
        look.target = format!("{}?list-type=2&max-keys=1", call.target.split('?').next().unwrap_or_default());
        look.method = hyper::Method::GET;
        for shelf in 0..SHELVES {
            if body(&self.on(shelf, look.clone()).await).contains("<Contents>") {
                return self.on(shelf, call).await;
            }
        }
        self.on_all(call).await
    }

    /// Every shelf's list after the place where the last one ended, as one list.
    async fn list(&self, call: &Call, places: &[&str], next: &str) -> Reply {
        let (path, query) = call.target.split_once('?').unwrap_or((&call.target, ""));
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let value = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str());
        let most = value("max-keys").and_then(|most| most.parse().ok()).unwrap_or(LONGEST_LIST).min(LONGEST_LIST);
        // Where a list ended is told by its last key, which is also where to begin after.
        let after = places.iter().find_map(|place| value(place)).map(str::to_owned);
        let target = {
            let mut asked = form_urlencoded::Serializer::new(String::new());
            asked.extend_pairs(pairs.iter().filter(|(name, _)| !places.contains(&name.as_str())));
            if let (Some(after), Some(place)) = (&after, places.last()) {
                asked.append_pair(place, after);
            }
            format!("{path}?{}", asked.finish())
        };

        let mut found = BTreeMap::new();
        let (mut first, mut truncated) = (None, false);
        for shelf in 0..SHELVES {
            let reply = self.on(shelf, Call { target: target.clone(), ..call.clone() }).await;
            if !reply.status.is_success() {
                return reply;
            }
            let xml = body(&reply);
            truncated |= xml.contains("<IsTruncated>true</IsTruncated>");
            for (element, name) in [("Contents", "Key"), ("CommonPrefixes", "Prefix")] {
                for entry in elements(&xml, element) {
                    let names = elements(entry, name);
                    let name = names.first().map(|name| text(name)).unwrap_or_default();
                    found.insert(name, entry.to_owned());
                }
            }
            first.get_or_insert(reply);
        }
        truncated |= found.len() > most;
        let found: Vec<(String, String)> = found.into_iter().take(most).collect();
        let Some(mut reply) = first else { return self.on(0, call.clone()).await };
        let mut xml = body(&reply);
        for element in ["Contents", "CommonPrefixes", "KeyCount", "IsTruncated", next] {
            let told: Vec<String> = elements(&xml, element).into_iter().map(str::to_owned).collect();
            xml = told.iter().fold(xml, |xml, one| xml.replacen(one.as_str(), "", 1));
        }
        let entries: String = found.iter().map(|(_, entry)| entry.as_str()).collect();
        let mut more = format!("<KeyCount>{}</KeyCount><IsTruncated>{truncated}</IsTruncated>{entries}", found.len());
        if let Some((last, _)) = found.last().filter(|_| truncated) {
            more.push_str(&format!("<{next}>{}</{next}>", escaped(last)));
        }
        let end = xml.rfind("</").unwrap_or(xml.len());
        xml.insert_str(end, &more);
        reply.headers.remove(hyper::header::CONTENT_LENGTH);
        reply.body = Bytes::from(xml);
        reply
    }
}

/// The object's key as it is in a path-style address, if it names one.
fn key(target: &str) -> Option<&str> {
    let path = target.split('?').next().unwrap_or_default().trim_start_matches('/');
    path.split_once('/').map(|(_, key)| key).filter(|key| !key.is_empty())
}

/// The same for the same key in every version of this program: FNV-1a.
fn shelf_of(key: &str) -> u64 {
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash % SHELVES
}

fn body(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// Each `<name>…</name>` of a document in which none lies in another.
fn elements<'xml>(xml: &'xml str, name: &str) -> Vec<&'xml str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find(&open)
        && let Some(length) = rest[start..].find(&close)
    {
        let end = start + length + close.len();
        found.push(&rest[start..end]);
        rest = &rest[end..];
    }
    found
}

/// What stands in an element.
fn text(element: &str) -> String {
    let inner = element.split_once('>').and_then(|(_, rest)| rest.rsplit_once("</")).map_or("", |(inner, _)| inner);
    let inner = inner.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    inner.replace("&amp;", "&")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_a_key_and_a_bucket_none() {
        assert_eq!(key("/photos/images/a%20b.jpg?x-id=PutObject"), Some("images/a%20b.jpg"));
        for bucket in ["/", "/photos", "/photos/", "/photos/?list-type=2", "/photos?prefix=a/b"] {
            assert_eq!(key(bucket), None, "{bucket}");
        }
    }

    #[test]
    fn keys_are_spread_and_stay() {
        assert_eq!(shelf_of("images/predicted/a.jpg"), shelf_of("images/predicted/a.jpg"));
        let mut used: Vec<u64> = (0..2000).map(|number| shelf_of(&format!("images/predicted/{number}.jpg"))).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len() as u64, SHELVES);
    }

    #[test]
    fn texts_are_read_and_written() {
        let xml = "<a><Key>x &amp; &lt;y&gt;</Key><Key>z</Key></a>";
        let texts: Vec<_> = elements(xml, "Key").into_iter().map(text).collect();
        assert_eq!(texts, ["x & <y>", "z"]);
        assert_eq!(escaped(&texts[0]), "x &amp; &lt;y&gt;");
    }
}
