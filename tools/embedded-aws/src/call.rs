//! One request to a service, with what is needed to route it already read.

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};

use crate::service::{Protocol, Service};

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) service: Service,
    pub(crate) operation: String,
    pub(crate) method: Method,
    /// Path and query, as the client wrote them.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    /// Reads which service and operation a request means; the service is `None` if the request does not say.
    pub(crate) fn read(parts: Parts, body: Bytes) -> Result<Self, String> {
        let name = signing_name(&parts)
            .ok_or_else(|| format!("{} {}: not signed, so the service is unknown", parts.method, parts.uri))?;
        let service =
            Service::from_signing_name(&name).ok_or_else(|| format!("service {name:?} is not served here"))?;
        let operation = match service.protocol() {
            Protocol::RestXml => s3_operation(&parts),
            Protocol::Json10 | Protocol::Json11 => {
                header(&parts.headers, "x-amz-target").and_then(|t| t.rsplit('.').next()).unwrap_or_default().to_owned()
            }
            Protocol::RpcV2Cbor => parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned(),
            Protocol::Query => action(&body),
        };
        let target = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        Ok(Self { service, operation, method: parts.method, target, headers: parts.headers, body })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `Credential=KEY/20260101/us-east-1/sqs/aws4_request`, in the Authorization header or a presigned address.
fn signing_name(parts: &Parts) -> Option<String> {
    if let Some(authorization) = header(&parts.headers, "authorization") {
        let (_, scope) = authorization.split_once("Credential=")?;
        return scope.split(',').next()?.split('/').nth(3).map(str::to_owned);
    }
    let query = parts.uri.query()?.replace("%2F", "/");
    let (_, scope) = query.split_once("X-Amz-Credential=")?;
    scope.split('&').next()?.split('/').nth(3).map(str::to_owned)
}

fn action(body: &[u8]) -> String {
    form_urlencoded::parse(body).find(|(key, _)| key == "Action").map(|(_, v)| v.into_owned()).unwrap_or_default()
}

/// S3 names its operations by method and path; the SDK adds the name as `x-id` where those leave a doubt.
fn s3_operation(parts: &Parts) -> String {
    let query: Vec<_> = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).collect();
    if let Some((_, name)) = query.iter().find(|(key, _)| key == "x-id") {
        return name.clone().into_owned();
    }
    let has = |name: &str| query.iter().any(|(key, _)| key == name);
    let path = parts.uri.path().trim_matches('/');
    let in_bucket = path.contains('/');
    let name = match (parts.method.as_str(), path.is_empty(), in_bucket) {
        ("GET", true, _) => "ListBuckets",
        ("GET", _, false) if has("list-type") => "ListObjectsV2",
        ("GET", _, false) if has("location") => "GetBucketLocation",
        ("GET", _, false) => "ListObjects",
        ("GET", _, true) => "GetObject",
        ("HEAD", _, false) => "HeadBucket",
        ("HEAD", _, true) => "HeadObject",
        ("PUT", _, false) if has("lifecycle") => "PutBucketLifecycleConfiguration",
        ("PUT", _, false) => "CreateBucket",
        ("PUT", _, true) if has("partNumber") => "UploadPart",
        ("PUT", _, true) => "PutObject",
        ("DELETE", _, false) => "DeleteBucket",
        ("DELETE", _, true) => "DeleteObject",
        ("POST", _, false) if has("delete") => "DeleteObjects",
        ("POST", _, true) if has("uploads") => "CreateMultipartUpload",
        ("POST", _, true) if has("uploadId") => "CompleteMultipartUpload",
        _ => "Unknown",
    };
    name.to_owned()
}
