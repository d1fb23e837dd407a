//! The Bot API over HTTP.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use bytes::Bytes;
use http_body_util::{Full, Limited};
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::files::{MAX_DOWNLOAD, MAX_UPLOAD};
use crate::params::Params;
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::{methods, polling};

/// Room for the other parts of a form beside the largest file.
const MAX_BODY: usize = MAX_UPLOAD + 1024 * 1024;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/{bot}/{method}", any(call))
        .route("/file/{bot}/{*path}", get(download))
        .fallback(async || answer(Err(Refusal::new(404, "Not Found"))))
        .with_state(shared)
}

async fn call(
    State(shared): State<Arc<Shared>>,
    Path((bot, method)): Path<(String, String)>,
    request: Request,
) -> Response {
    if !is_our_bot(&shared, &bot) {
        return answer(Err(Refusal::unauthorized()));
    }
    let method = method.to_ascii_lowercase();
    let params = match read(request).await {
        Ok(params) => params,
        Err(refusal) => return answer(Err(refusal)),
    };
    let fault = shared.change(|world| {
        *world.calls.entry(method.clone()).or_default() += 1;
        world.faults.take(&method)
    });
    match fault {
        Some(Fault::Refuse { status, description, retry_after }) => {
            answer(Err(Refusal { status, description, retry_after, migrate_to: None }))
        }
        Some(Fault::Drop) => broken(),
        Some(Fault::LoseAnswer) => {
            let _ = perform(&shared, &method, &params).await;
            broken()
        }
        Some(Fault::Hold) => held(&shared).await,
        Some(Fault::HoldAnswer) => {
            let _ = perform(&shared, &method, &params).await;
            held(&shared).await
        }
        None => answer(perform(&shared, &method, &params).await),
    }
}

/// Waits until the caller is gone, or the sandbox stops.
async fn held(shared: &Shared) -> Response {
    shared.stop.cancelled().await;
    broken()
}

async fn perform(shared: &Shared, method: &str, params: &Params) -> Result<Value, Refusal> {
    if method == "getupdates" {
        return polling::get_updates(shared, params).await;
    }
    let answer = shared.change(|world| methods::call(world, method, params, Instant::now()))?;
    match &shared.local_files {
        Some(folder) if method == "getfile" => on_disk(shared, folder.clone(), answer).await,
        _ => Ok(answer),
    }
}

/// The result of `getFile` on a server with `--local`: the file is in its folder, and named by its absolute path.
async fn on_disk(shared: &Shared, folder: PathBuf, mut answer: Value) -> Result<Value, Refusal> {
    let name = answer["file_path"].as_str().unwrap_or_default().to_owned();
    let Some(file) = shared.world().files.at_path(&name).cloned() else { return Ok(answer) };
    let path = folder.join(name);
    answer["file_path"] = json!(path);
    let write = move || {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(path, file.render())
    };
    let is_written = tokio::task::spawn_blocking(write).await.is_ok_and(|written| written.is_ok());
    if is_written { Ok(answer) } else { Err(Refusal::new(500, "Internal Server Error")) }
}

async fn download(State(shared): State<Arc<Shared>>, Path((bot, path)): Path<(String, String)>) -> Response {
    if !is_our_bot(&shared, &bot) {
        return answer(Err(Refusal::unauthorized()));
    }
    let (file, fault) = shared.change(|world| {
        *world.calls.entry("download".into()).or_default() += 1;
        (world.files.at_path(&path).cloned(), world.faults.take("download"))
    });
    match fault {
        Some(Fault::Refuse { status, description, retry_after }) => {
            return answer(Err(Refusal { status, description, retry_after, migrate_to: None }));
        }
        Some(Fault::Drop | Fault::LoseAnswer) => return broken(),
        Some(Fault::Hold | Fault::HoldAnswer) => return held(&shared).await,
        None => {}
    }
    let Some(file) = file.filter(|file| file.reference.size <= MAX_DOWNLOAD) else {
        return answer(Err(Refusal::new(404, "Not Found")));
    };
    match tokio::task::spawn_blocking(move || file.render()).await {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        Err(_) => answer(Err(Refusal::new(500, "Internal Server Error"))),
    }
}

fn is_our_bot(shared: &Shared, bot: &str) -> bool {
    bot.strip_prefix("bot") == Some(&shared.token)
}

async fn read(request: Request) -> Result<Params, Refusal> {
    if request.method() == Method::GET {
        let pairs: Query<HashMap<String, String>> =
            Query::try_from_uri(request.uri()).map_err(|_| Refusal::bad_request("can't parse the query"))?;
        return Ok(Params::from_pairs(pairs.0));
    }
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|value| multer::parse_boundary(value).ok());
    let body = to_bytes(request.into_body(), MAX_BODY).await.map_err(|_| Refusal::too_large())?;
    match boundary {
        Some(boundary) => Params::from_form(body, boundary).await,
        None => Params::from_json(&body),
    }
}

fn answer(result: Result<Value, Refusal>) -> Response {
    let (status, body) = match result {
        Ok(result) => (StatusCode::OK, json!({ "ok": true, "result": result })),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, refusal.to_json())
        }
    };
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// An answer that breaks off: its length is promised as one byte, and then two come, so that hyper gives the
/// connection up.
fn broken() -> Response {
    Response::new(Body::new(Limited::new(Full::new(Bytes::from_static(b"..")), 1)))
}
