//! The HTTP server of every service: hyper, with a limit on all that a stranger controls.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
    /// From connecting to the end of the request that is then under way: a client that does not read its answers is cut off
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

/// Serve until `shutdown`; then accept no more, finish the requests that run, and close. A request that was begun is also
/// finished if its client goes away: a worker that dies while polybot tells a user must not undo half of that.
pub async fn serve(listener: TcpListener, routes: Router, limits: Limits, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let requests = TaskTracker::new();
    while let Some((stream, slot)) = next(&listener, &slots, &shutdown).await {
        let (routes, requests, shutdown) = (routes.clone(), requests.clone(), shutdown.clone());
        connections.spawn(async move {
            // Small answers should not wait for each other; without it they are only slower.
            let _ = stream.set_nodelay(true);
            if let Err(error) = connection(stream, routes, limits, requests, shutdown).await {
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
        tracing::warn!(requests = requests.len(), "requests were cut off at the end of the grace time");
    }
}

/// The next connection, or nothing at shutdown.
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
                    tracing::warn!(%error, "can't accept a connection");
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
    limits: Limits,
    requests: TaskTracker,
    shutdown: CancellationToken,
) -> Result<(), hyper::Error> {
    let begun = Arc::new(AtomicBool::new(false));
    let first = Arc::clone(&begun);
    let limited = routes.layer(from_fn(move |request, next| {
        first.store(true, Ordering::Relaxed);
        answer(request, next, limits, requests.clone())
    }));
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle_time)
            .max_buf_size(limits.header_bytes.max(MIN_BUFFER))
            .max_header_size(limits.header_bytes)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(limited))
    );
    let mut too_late = std::pin::pin!(tokio::time::sleep(limits.first_header_time));
    let mut old = std::pin::pin!(tokio::time::sleep(limits.connection_time));
    let mut cut_off = std::pin::pin!(tokio::time::sleep(limits.connection_time + limits.request_time));
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

/// The whole body first, so that a slow or endless one holds nothing but its connection.
async fn answer(request: Request, next: Next, limits: Limits, requests: TaskTracker) -> Response {
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(limits.body_time, to_bytes(body, limits.body_bytes)).await {
        Ok(Ok(body)) => body,
        // Too long, or the client went away in the middle of it.
        Ok(Err(_)) => return closing(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
        Err(_) => return closing(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"),
    };
    let path = head.uri.path().to_owned();
    let work = requests.spawn(next.run(Request::from_parts(head, Body::from(body))));
    match tokio::time::timeout(limits.request_time, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(path, %error, "a request failed inside");
            closing(StatusCode::INTERNAL_SERVER_ERROR, "this failed; it was reported")
        }
        Err(_) => {
            tracing::warn!(path, "a request took too long");
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
/// If it can't be reached within a few seconds, or answers anything but 200.
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
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("address").port();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(listener, routes, limits, shutdown.clone()));
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
