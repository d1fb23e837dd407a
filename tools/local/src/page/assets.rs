//! What the browser loads: files beside this one, compiled in.

use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, media type, content.
const ASSETS: [(&str, &str, &[u8]); 15] = [
    ("index.html", "text/html; charset=utf-8", include_bytes!("assets/index.html")),
    ("style.css", "text/css; charset=utf-8", include_bytes!("assets/style.css")),
    ("favicon.svg", "image/svg+xml", include_bytes!("assets/favicon.svg")),
    ("main.js", JAVASCRIPT, include_bytes!("assets/main.js")),
    ("live.js", JAVASCRIPT, include_bytes!("assets/live.js")),
    ("api.js", JAVASCRIPT, include_bytes!("assets/api.js")),
    ("dom.js", JAVASCRIPT, include_bytes!("assets/dom.js")),
    ("chat.js", JAVASCRIPT, include_bytes!("assets/chat.js")),
    ("message.js", JAVASCRIPT, include_bytes!("assets/message.js")),
    ("composer.js", JAVASCRIPT, include_bytes!("assets/composer.js")),
    ("fleet.js", JAVASCRIPT, include_bytes!("assets/fleet.js")),
    ("chart.js", JAVASCRIPT, include_bytes!("assets/chart.js")),
    // For people without a photo at hand.
    ("cat.png", "image/png", include_bytes!("../../../../tests/photos/chelsea.png")),
    ("coffee.png", "image/png", include_bytes!("../../../../tests/photos/coffee.png")),
    ("motorcycle.png", "image/png", include_bytes!("../../../../tests/photos/motorcycle_left.png")),
];

pub(super) async fn index() -> Response {
    serve("index.html")
}

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    serve(&name)
}

fn serve(name: &str) -> Response {
    match ASSETS.iter().find(|(known, _, _)| *known == name) {
        Some((_, media_type, content)) => ([(CONTENT_TYPE, *media_type)], *content).into_response(),
        None => Problem::not_found("There is no such file.").into_response(),
    }
}
