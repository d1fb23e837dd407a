//! The HTTP side: connections, which service a request is for, and what fault rules do to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auto_scaling::AutoScaling;
use crate::call::Call;
use crate::calls::Calls;
use crate::cloudwatch::CloudWatch;
use crate::dynamo_db::DynamoDb;
use crate::failure::Failure;
use crate::faults::{End, Faults};
use crate::reply::Reply;
use crate::s3::S3;
use crate::secrets_manager::SecretsManager;
use crate::service::Service;
use crate::sqs::{Keeper, Sqs};

/// Larger than any photo that the fleet lets through, and small enough for memory.
const LARGEST_BODY: usize = 64 << 20;
/// How long a stopping endpoint waits for requests that are in flight.
const STOP_GRACE: Duration = Duration::from_millis(500);

pub(crate) struct Gateway {
    pub(crate) s3: S3,
    pub(crate) dynamo_db: DynamoDb,
    pub(crate) secrets_manager: SecretsManager,
    pub(crate) sqs: Arc<Sqs>,
    /// Where the queues are kept on disk.
    pub(crate) keeper: Option<Arc<Keeper>>,
    pub(crate) cloudwatch: CloudWatch,
    pub(crate) auto_scaling: AutoScaling,
    pub(crate) faults: Faults,
    pub(crate) calls: Calls,
}

/// The connection is to be closed without an answer: a fault rule said so.
#[derive(Debug, thiserror::Error)]
#[error("a fault rule closed the connection")]
struct Cut;

/// Serves connections until told to stop.
pub(crate) async fn run(gateway: Arc<Gateway>, listener: TcpListener, tasks: TaskTracker, stopping: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection(Arc::clone(&gateway), stream, stopping.clone()));
            }
            Err(error) => {
                // Out of file descriptors, most likely: others will be closed meanwhile.
                tracing::warn!(%error, "the embedded AWS could not accept a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn connection(gateway: Arc<Gateway>, stream: TcpStream, stopping: CancellationToken) {
    // Small responses must not wait for more data.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let gateway = Arc::clone(&gateway);
        async move { gateway.serve(request).await }
    });
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(STOP_GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        // A client that was killed, or a fault rule: both are part of the game.
        tracing::debug!(%error, "a connection to the embedded AWS broke");
    }
}

impl Gateway {
    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
        let (parts, body) = request.into_parts();
        let body = match Limited::new(body, LARGEST_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())),
        };
        let call = match Call::read(parts, body) {
            Ok(call) => call,
            Err(message) => {
                tracing::warn!(message, "the embedded AWS can't tell what is asked");
                return Ok(plain(StatusCode::FORBIDDEN, message));
            }
        };
        let user_agent = call.header("x-amz-user-agent").or_else(|| call.header("user-agent"));
        self.calls.record(call.service, &call.operation, user_agent);
        let verdict = self.faults.judge(call.service, &call.operation);
        if !verdict.delay.is_zero() {
            tokio::time::sleep(verdict.delay).await;
        }
        let (service, bodiless) = (call.service, call.method == Method::HEAD);
        let reply = match verdict.end {
            Some(End::Drop) => return Err(Cut),
            Some(End::Fail(failure)) => failure.render(service),
            Some(End::DropAfter) => {
                self.answer(call).await;
                return Err(Cut);
            }
            None => self.answer(call).await,
        };
        Ok(response(reply, bodiless))
    }

    async fn answer(&self, call: Call) -> Reply {
        let service = call.service;
        let reply = match service {
            Service::S3 => self.s3.handle(call).await,
            Service::DynamoDb => self.dynamo_db.handle(&call),
            Service::SecretsManager => self.secrets_manager.handle(&call),
            Service::Sqs => self.sqs(&call).await,
            Service::CloudWatch => self.cloudwatch.handle(&call),
            Service::AutoScaling => self.auto_scaling.handle(&call),
        };
        reply.unwrap_or_else(|failure| failure.render(service))
    }

    /// A message counts as sent once it is kept.
    async fn sqs(&self, call: &Call) -> Result<Reply, Failure> {
        let reply = self.sqs.handle(call).await?;
        if let Some(keeper) = &self.keeper {
            match call.operation.as_str() {
                read if read.starts_with("Get") || read.starts_with("List") => {}
                "ReceiveMessage" | "DeleteMessage" | "DeleteMessageBatch" => {
                    keeper.changed();
                }
                "ChangeMessageVisibility" | "ChangeMessageVisibilityBatch" => {}
                _ => keeper.keep().await?,
            }
        }
        Ok(reply)
    }
}

fn response(reply: Reply, bodiless: bool) -> Response<Full<Bytes>> {
    let mut headers = reply.headers;
    // An answer to HEAD has no body and may well tell the length of the object; all others are measured by hyper.
    if !bodiless {
        headers.remove(hyper::header::CONTENT_LENGTH);
    }
    headers.remove(hyper::header::TRANSFER_ENCODING);
    if !headers.contains_key("x-amzn-requestid")
        && let Ok(id) = uuid::Uuid::now_v7().to_string().parse()
    {
        headers.insert("x-amzn-requestid", id);
    }
    let mut response = Response::new(Full::new(if bodiless { Bytes::new() } else { reply.body }));
    *response.status_mut() = reply.status;
    *response.headers_mut() = headers;
    response
}

fn plain(status: StatusCode, message: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(message.into()));
    *response.status_mut() = status;
    response
}
