//! Which requests are served. The page has no password, so a site that the user has open in another tab must not reach it: not by a
//! name of its own that it points to loopback (DNS rebinding: the Host is checked), and not by a form or a script that
//! calls here (the Origin is checked).

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Everything comes from here, and nothing may be framed or sent elsewhere. `blob:` is for the previews of photos that
/// are not sent yet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What each response says to the browser, unless it says something stricter itself.
const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

pub(super) async fn guard(request: Request, next: Next) -> Response {
    let mut response = match check(request.method(), request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn check(method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let Some(host) = text(&HOST).filter(|host| is_loopback(host)) else {
        let sentence = "Open this page as 127.0.0.1 or localhost; it answers to no other name.";
        return Err(Problem::foreign(StatusCode::MISDIRECTED_REQUEST, sentence));
    };
    let foreign = || Problem::foreign(StatusCode::FORBIDDEN, "This comes from another site; only the page itself may.");
    // The API is for the page's own scripts. A link from elsewhere to the page itself is fine.
    let site = text(&HeaderName::from_static("sec-fetch-site"));
    if path.starts_with("/api/") && site.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(foreign());
    }
    let changes = method != Method::GET && method != Method::HEAD;
    // A browser names the origin of every request that may change something; a program that names none is not a browser.
    if changes && text(&ORIGIN).is_some_and(|origin| origin.strip_prefix("http://") != Some(host)) {
        return Err(foreign());
    }
    Ok(())
}

/// Whether this Host is loopback by any port: a tunnel may have another than ours.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: Method, path: &str, headers: &[(&'static str, &'static str)]) -> Result<(), StatusCode> {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        check(&method, path, &headers.collect()).map_err(|problem| problem.into_response().status())
    }

    #[test]
    fn names_of_loopback_only() {
        for host in ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.0.0.9"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]"] {
            assert!(!is_loopback(host), "{host}");
        }
        assert_eq!(checked(Method::GET, "/", &[]), Err(StatusCode::MISDIRECTED_REQUEST));
        assert_eq!(checked(Method::GET, "/", &[("host", "evil.example")]), Err(StatusCode::MISDIRECTED_REQUEST));
        assert_eq!(checked(Method::GET, "/", &[("host", "localhost:1")]), Ok(()));
    }

    #[test]
    fn other_origins_change_nothing_and_read_nothing() {
        let host = ("host", "localhost:1");
        let post = |headers: &[_]| checked(Method::POST, "/api/flood", headers);
        assert_eq!(post(&[host]), Ok(()));
        assert_eq!(post(&[host, ("origin", "http://localhost:1"), ("sec-fetch-site", "same-origin")]), Ok(()));
        for origin in ["http://localhost:2", "https://localhost:1", "http://127.0.0.1:1", "null", "http://evil.example"]
        {
            assert_eq!(post(&[host, ("origin", origin)]), Err(StatusCode::FORBIDDEN), "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(post(&[host, ("sec-fetch-site", site)]), Err(StatusCode::FORBIDDEN), "{site}");
            let read = checked(Method::GET, "/api/live", &[host, ("sec-fetch-site", site)]);
            assert_eq!(read, Err(StatusCode::FORBIDDEN), "{site}");
            assert_eq!(checked(Method::GET, "/", &[host, ("sec-fetch-site", site)]), Ok(()), "a link from {site}");
        }
    }
}
