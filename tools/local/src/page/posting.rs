//! What people do in the chats.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::form::Form;
use super::people::{People, Person};
use super::problem::Problem;

fn people(shared: &Shared) -> Result<&People, Problem> {
    shared.people.as_ref().ok_or_else(Problem::no_chat)
}

#[derive(Debug, Deserialize)]
pub(super) struct Newcomer {
    name: String,
}

/// One more person to chat as.
pub(super) async fn meet(
    State(shared): State<Arc<Shared>>,
    Json(newcomer): Json<Newcomer>,
) -> Result<Json<Person>, Problem> {
    people(&shared)?.add(&newcomer.name).map(Json)
}

/// A text, a photo with its caption, or an album.
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<i64>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let user = people(&shared)?.get(id)?;
    let mut posts = Form::read(request).await?.into_posts()?;
    let message_ids = match posts.len() {
        1 => vec![user.post(posts.remove(0))],
        _ => user.post_album(posts),
    };
    Ok(Json(json!({ "message_ids": message_ids })))
}

#[derive(Debug, Deserialize)]
pub(super) struct Pressed {
    message_id: i32,
    data: String,
}

/// A button under a message of the bot's.
pub(super) async fn press(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<i64>,
    Json(pressed): Json<Pressed>,
) -> Result<Json<Value>, Problem> {
    let user = people(&shared)?.get(id)?;
    let press = user.press_button(pressed.message_id, &pressed.data);
    let press = press.map_err(|_| Problem::conflict("This button is gone."))?;
    Ok(Json(json!({ "callback_query_id": press })))
}
