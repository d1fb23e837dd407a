//! The HTTP server of every service: hyper, with a limit on all that a stranger controls.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use tracing::field::Empty;

/// Wait after an accept that failed, as when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a client may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait in the system's backlog.
    pub connections: usize,
    /// All headers of a request, in bytes.
    pub header_bytes: usize,
    /// From connecting to the end of the first request's headers.
    pub first_header_time: Duration,
    /// From one answer to the end of the next request's headers. Longer than a load balancer keeps an idle connection (an
    /// ALB: 60 s), which would otherwise send a request into a connection that closes.
    pub idle_time: Duration,
    /// A request's body, in bytes.
    pub body_bytes: usize,
    /// From a request's headers to the end of its body.
    pub body_time: Duration,
    /// From a request's headers to its answer. Shorter than a load balancer waits (an ALB: 60 s).
    pub request_time: Duration,
    /// From connecting to the end of the request that is then in flight: a client that does not read its responses is cut off
    /// [`request_time`](Self::request_time) later.
    pub connection_time: Duration,
    /// From the shutdown to the end of the last request.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            header_bytes: 16 << 10,
            first_header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            body_bytes: 1 << 20,
            body_time: Duration::from_secs(10),
            request_time: Duration::from_secs(55),
            connection_time: Duration::from_secs(300),
            grace: Duration::from_secs(100),
        }
    }
}

/// For [`serve`]: no request's body is read.
#[must_use]
pub fn no_body(_: &Parts) -> bool {
    false
}

/// Serve until `shutdown`; then accept no more, finish the requests that run, and close. A request that was begun is also
/// finished if its client goes away: a worker that dies while polybot tells a user must not undo half of that.
///
/// `reads` tells by a request's head whether its body is read: that costs [`Limits::body_bytes`] of memory, which a stranger
/// should not be able to ask for. To the routes all other bodies are empty; what comes of them is thrown away, and the
/// connection is closed.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    reads: impl Fn(&Parts) -> bool + Clone + Send + Sync + 'static,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let requests = TaskTracker::new();
    while let Some((stream, slot)) = next(&listener, &slots, &shutdown).await {
        let (routes, reads) = (routes.clone(), reads.clone());
        let (requests, shutdown) = (requests.clone(), shutdown.clone());
        connections.spawn(async move {
            // Small responses should not wait for each other; without it they are only slower.
            let _ = stream.set_nodelay(true);
            if let Err(error) = connection(stream, routes, reads, limits, requests, shutdown).await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    requests.close();
    let finished = async {
        // In this order: a connection may still bring a request.
        connections.wait().await;
        requests.wait().await;
    };
    if tokio::time::timeout(limits.grace, finished).await.is_err() {
        crate::log!(REQUESTS_CUT_OFF, requests = requests.len(), "requests were cut off at the end of the grace time");
    }
}

/// The next connection; `None` at shutdown.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let accept = async {
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, slot)),
                Err(error) => {
                    let listen_addr = listener.local_addr().ok().map(tracing::field::display);
                    tracing::warn!(%error, listen_addr, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        accepted = accept => accepted,
    }
}

async fn connection(
    stream: TcpStream,
    routes: Router,
    reads: impl Fn(&Parts) -> bool + Clone + Send + Sync + 'static,
    limits: Limits,
    requests: TaskTracker,
    shutdown: CancellationToken,
) -> Result<(), hyper::Error> {
    let begun = Arc::new(AtomicBool::new(false));
    let first = Arc::clone(&begun);
    let limited = routes.layer(from_fn(move |request: Request, next| {
        first.store(true, Ordering::Relaxed);
        let (head, body) = request.into_parts();
        let read = reads(&head);
        answer(head, body, read, next, limits, requests.clone())
    }));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle_time)
            .max_buf_size(limits.header_bytes.max(MIN_BUFFER))
            .max_header_size(limits.header_bytes)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(limited))
    );
    let mut too_late = pin!(tokio::time::sleep(limits.first_header_time));
    let mut old = pin!(tokio::time::sleep(limits.connection_time));
    let mut cut_off = pin!(tokio::time::sleep(limits.connection_time + limits.request_time));
    let (mut waiting, mut serving) = (true, true);
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = too_late.as_mut(), if waiting => {
                waiting = false;
                if !begun.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
            () = shutdown.cancelled(), if serving => {
                serving = false;
                connection.as_mut().graceful_shutdown();
            }
            () = old.as_mut(), if serving => {
                serving = false;
                connection.as_mut().graceful_shutdown();
            }
            () = cut_off.as_mut() => return Ok(()),
        }
    }
}

/// hyper takes no smaller buffer.
const MIN_BUFFER: usize = 8192;

async fn answer(head: Parts, body: Body, read: bool, next: Next, limits: Limits, requests: TaskTracker) -> Response {
    if !read && !body.is_end_stream() {
        // A client that asks before it sends is answered before it sends.
        if !head.headers.contains_key(header::EXPECT) {
            tokio::spawn(discard(body, limits));
        }
        let mut response = run(Request::from_parts(head, Body::empty()), next, limits, requests).await;
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    // The whole body first, so that a slow or endless one holds nothing but its connection.
    let body = match tokio::time::timeout(limits.body_time, to_bytes(body, limits.body_bytes)).await {
        Ok(Ok(body)) => body,
        // Too long, or the client went away in the middle of it.
        Ok(Err(_)) => return closing(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
        Err(_) => return closing(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"),
    };
    run(Request::from_parts(head, Body::from(body)), next, limits, requests).await
}

/// Throw away what comes of a body, within the limits of one that is read. A connection that is closed before its bytes
/// are taken is reset, and the client may then not see its answer.
async fn discard(mut body: Body, limits: Limits) {
    let within_limits = async {
        let mut left = limits.body_bytes;
        while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            match left.checked_sub(frame.data_ref().map_or(0, |data| data.len())) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Over or not: dropped with the body, the connection goes no further.
    let _ = tokio::time::timeout(limits.body_time, within_limits).await;
}

/// The routes' answer, on a task that outlives the connection. A route that knows what its request is about
/// [records](tracing::Span::record) that in the span, so that a panic names it, too.
async fn run(request: Request, next: Next, limits: Limits, requests: TaskTracker) -> Response {
    let path = request.uri().path().to_owned();
    let span =
        tracing::info_span!("request", path, query = request.uri().query(), update_id = Empty, prediction_id = Empty);
    let work = requests.spawn(next.run(request).instrument(span.clone()));
    match tokio::time::timeout(limits.request_time, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            span.in_scope(|| crate::log!(REQUEST_PANICKED, path, %error, "a request failed inside"));
            closing(StatusCode::INTERNAL_SERVER_ERROR, "this failed")
        }
        Err(_) => {
            span.in_scope(|| crate::log!(REQUEST_TIMED_OUT, path, "a request took too long"));
            closing(StatusCode::GATEWAY_TIMEOUT, "this took too long; try again")
        }
    }
}

/// A refusal after which the connection is not used again.
fn closing(status: StatusCode, reason: &'static str) -> Response {
    (status, [("connection", "close")], reason).into_response()
}

/// Ask the service that listens at `port` of this machine whether it is well, as a container's health check does.
///
/// # Errors
/// If it can't be reached within a few seconds, or returns anything but 200.
pub async fn check_health(port: u16) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = within(Duration::from_secs(5), asked).await?;
    let line = String::from_utf8_lossy(answer.split(|&byte| byte == b'\r').next().unwrap_or_default()).into_owned();
    if line.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(io::Error::other(format!("it answers {line:?}"))) }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    use super::*;

    struct Server {
        port: u16,
        shutdown: CancellationToken,
        served: tokio::task::JoinHandle<()>,
    }

    async fn server(routes: Router, limits: Limits) -> Server {
        server_that(|_| true, routes, limits).await
    }

    async fn server_that(reads: fn(&Parts) -> bool, routes: Router, limits: Limits) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("address").port();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(listener, routes, reads, limits, shutdown.clone()));
        Server { port, shutdown, served }
    }

    fn echo() -> Router {
        Router::new().route("/", post(|body: String| async { body })).route("/healthz", get(|| async { "ok" }))
    }

    /// What the server says until it closes the connection.
    async fn talk(port: u16, words: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connect");
        stream.write_all(words).await.expect("write");
        let mut answer = Vec::new();
        // Closing with our bytes unread may reset the connection; what came before counts.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Longer than any test runs.
    const FOREVER: Duration = Duration::from_secs(3600);

    fn short() -> Limits {
        let moment = Duration::from_millis(200);
        Limits {
            header_bytes: MIN_BUFFER,
            first_header_time: moment,
            idle_time: moment,
            body_time: moment,
            connection_time: Duration::from_secs(1),
            request_time: Duration::from_secs(1),
            body_bytes: 100,
            ..Limits::default()
        }
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_or_stops_in_the_middle_is_cut_off() {
        let server = server(echo(), short()).await;
        assert_eq!(talk(server.port, b"").await, "");
        assert_eq!(talk(server.port, b"POST / HTTP/1.1\r\nhost: x\r\n").await, "");
        let slow_body = talk(server.port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\nabc").await;
        assert!(slow_body.starts_with("HTTP/1.1 408"), "{slow_body}");
        let idle = talk(server.port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc").await;
        assert!(idle.starts_with("HTTP/1.1 200") && idle.ends_with("abc"), "{idle}");
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut_off() {
        let large = || async { "x".repeat(64 << 20) };
        let server = server(Router::new().route("/", get(large)), Limits { connections: 1, ..short() }).await;
        let mut deaf = TcpStream::connect(("127.0.0.1", server.port)).await.expect("connect");
        deaf.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
        deaf.readable().await.expect("the answer begins");
        // The only connection is free again.
        talk(server.port, b"GET /other HTTP/1.1\r\nhost: x\r\n\r\n").await;
    }

    #[tokio::test]
    async fn bodies_and_headers_have_a_limit() {
        let server = server(echo(), short()).await;
        let long = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 101\r\n\r\n{}", "x".repeat(101));
        assert!(talk(server.port, long.as_bytes()).await.starts_with("HTTP/1.1 413"));
        let endless =
            format!("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{}", "x".repeat(255));
        assert!(talk(server.port, endless.as_bytes()).await.starts_with("HTTP/1.1 413"));
        let header = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(MIN_BUFFER));
        assert!(talk(server.port, header.as_bytes()).await.starts_with("HTTP/1.1 431"));
    }

    /// The head of a stranger's request, without a secret.
    fn strange(length: usize, more: &str) -> String {
        format!("POST / HTTP/1.1\r\nhost: x\r\n{more}content-length: {length}\r\n\r\n")
    }

    fn by_secret(head: &Parts) -> bool {
        head.headers.get("secret").is_some_and(|secret| secret == "right")
    }

    /// What is said to a stranger, here by a route that says what it was sent.
    fn said_nothing(answer: &str) -> bool {
        answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close") && answer.ends_with("\r\n\r\n")
    }

    #[tokio::test]
    async fn a_stranger_is_answered_before_the_body() {
        let server = server_that(by_secret, echo(), Limits { body_time: FOREVER, ..Limits::default() }).await;
        for expect in ["", "expect: 100-continue\r\n"] {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.expect("connect");
            stream.write_all(strange(1000, expect).as_bytes()).await.expect("write");
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut answer).await.expect("an answer"), 0, "{answer:?}");
            }
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(said_nothing(&answer), "{answer}");
            // Then it is over, whether the rest comes or not.
            if expect.is_empty() {
                stream.write_all(&[b'x'; 1000]).await.expect("the rest is taken");
            }
            assert_eq!(stream.read(&mut [0]).await.expect("the end, not a reset"), 0);
        }
        let known = "POST / HTTP/1.1\r\nhost: x\r\nsecret: right\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc";
        assert!(talk(server.port, known.as_bytes()).await.ends_with("abc"));
    }

    #[tokio::test]
    async fn a_stranger_who_sends_all_before_reading_sees_the_answer() {
        let limits = Limits { body_bytes: 1 << 20, body_time: FOREVER, ..short() };
        let server = server_that(no_body, echo(), limits).await;
        let mut words = strange(1 << 20, "").into_bytes();
        words.resize(words.len() + (1 << 20), b'x');
        let answer = talk(server.port, &words).await;
        assert!(said_nothing(&answer), "{answer}");
    }

    #[tokio::test]
    async fn a_strangers_body_has_its_limits() {
        // Either limit alone: by bytes, with all the time there is; by time, with a body that does not come.
        let endless = Limits { body_time: FOREVER, connection_time: FOREVER, ..short() };
        let server = server_that(no_body, echo(), endless).await;
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.expect("connect");
        stream.write_all(strange(1 << 30, "").as_bytes()).await.expect("write");
        let mut taken = 0_usize;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {
            taken += 4096;
        }
        // What the limit allows, and what the sockets hold.
        assert!(taken < 64 << 20, "{taken} bytes");
        let slow = Limits { connection_time: FOREVER, ..short() };
        let server = server_that(no_body, echo(), slow).await;
        let answer = talk(server.port, strange(50, "").as_bytes()).await;
        assert!(said_nothing(&answer), "{answer}");
    }

    #[tokio::test]
    async fn a_request_that_runs_at_shutdown_is_finished_and_nothing_else_accepted() {
        let (entered, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (inside, go_on) = (Arc::clone(&entered), Arc::clone(&finish));
        let wait = get(move || async move {
            inside.notify_one();
            go_on.notified().await;
            "done"
        });
        let server = server(Router::new().route("/wait", wait), Limits::default()).await;
        let port = server.port;
        let asked = tokio::spawn(async move { talk(port, b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await });
        entered.notified().await;
        server.shutdown.cancel();
        while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            tokio::task::yield_now().await;
        }
        finish.notify_one();
        assert!(asked.await.expect("asked").ends_with("done"));
        server.served.await.expect("served");
    }

    #[tokio::test]
    async fn a_request_is_finished_when_its_client_goes_away() {
        let (entered, finish, finished) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (inside, go_on, done) = (Arc::clone(&entered), Arc::clone(&finish), Arc::clone(&finished));
        let wait = get(move || async move {
            inside.notify_one();
            go_on.notified().await;
            done.notify_one();
        });
        let server = server(Router::new().route("/wait", wait), Limits::default()).await;
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.expect("connect");
        stream.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
        entered.notified().await;
        drop(stream);
        // It is waited for at the end, too.
        server.shutdown.cancel();
        finish.notify_one();
        finished.notified().await;
        server.served.await.expect("served");
    }

    #[tokio::test]
    async fn more_connections_than_allowed_wait_their_turn() {
        let server = server(echo(), Limits { connections: 1, ..short() }).await;
        let _silent = TcpStream::connect(("127.0.0.1", server.port)).await.expect("connect");
        // Served when the silent one was cut off.
        check_health(server.port).await.expect("healthy");
    }

    #[tokio::test]
    async fn health_is_checked() {
        let server = server(Router::new(), Limits::default()).await;
        let error = check_health(server.port).await.expect_err("there is no such route");
        assert!(error.to_string().contains("404"), "{error}");
        server.shutdown.cancel();
        server.served.await.expect("served");
        check_health(server.port).await.expect_err("nobody listens");
    }
}
