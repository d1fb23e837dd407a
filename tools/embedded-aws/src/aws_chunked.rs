//! The `aws-chunked` body encoding, with which S3 clients send a checksum after the data it covers.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};

/// A body that claims to be `aws-chunked` and is not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the aws-chunked body ends or breaks off within a chunk")]
pub(crate) struct Malformed;

/// Takes the encoding off body and headers, so that the service sees the object alone; other bodies are left as they are.
pub(crate) fn decode(headers: &mut HeaderMap, body: &mut Bytes) -> Result<(), Malformed> {
    let streaming = |name: &str, what: &str| {
        headers.get(name).and_then(|v| v.to_str().ok()).is_some_and(|value| value.contains(what))
    };
    if !streaming("content-encoding", "aws-chunked") && !streaming("x-amz-content-sha256", "STREAMING-") {
        return Ok(());
    }
    *body = data(body)?;
    for name in ["x-amz-decoded-content-length", "x-amz-trailer", "x-amz-content-sha256"] {
        headers.remove(name);
    }
    let rest: Vec<_> = headers
        .get(CONTENT_ENCODING)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && *coding != "aws-chunked")
        .map(str::to_owned)
        .collect();
    headers.remove(CONTENT_ENCODING);
    if let Ok(rest) = rest.join(",").parse::<HeaderValue>()
        && !rest.is_empty()
    {
        headers.insert(CONTENT_ENCODING, rest);
    }
    headers.insert(CONTENT_LENGTH, body.len().into());
    Ok(())
}

/// Each chunk is `SIZE[;extension]\r\nDATA\r\n`, size in hexadecimal; one of size 0 ends the data, trailers follow.
fn data(mut encoded: &[u8]) -> Result<Bytes, Malformed> {
    let mut data = Vec::with_capacity(encoded.len());
    loop {
        let end = encoded.windows(2).position(|pair| pair == b"\r\n").ok_or(Malformed)?;
        let head = std::str::from_utf8(&encoded[..end]).map_err(|_| Malformed)?;
        let size = head.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| Malformed)?;
        if size == 0 {
            return Ok(data.into());
        }
        let chunk = encoded.get(end + 2..).ok_or(Malformed)?;
        if chunk.len() < size.saturating_add(2) {
            return Err(Malformed);
        }
        data.extend_from_slice(&chunk[..size]);
        encoded = &chunk[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_trailers_dropped() {
        let body = b"5\r\nhello\r\n1;chunk-signature=abc\r\n!\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n";
        assert_eq!(data(body), Ok(Bytes::from_static(b"hello!")));
        assert_eq!(data(b"5\r\nhel"), Err(Malformed));
        assert_eq!(data(b"zz\r\n"), Err(Malformed));
    }
}
