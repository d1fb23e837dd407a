//! The methods that send messages.

use std::time::Instant;

use serde_json::Value;

use crate::chat::Forbidden;
use crate::events::EventKind;
use crate::files::{MAX_PHOTO, MAX_UPLOAD, dimensions};
use crate::message::{AttachmentKind, Content, Message, buttons};
use crate::named::open_chat;
use crate::params::{Params, Upload};
use crate::refusal::Refusal;
use crate::state::{World, unix_seconds};

const MAX_TEXT: usize = 4096;
const MAX_CAPTION: usize = 1024;
const MAX_CALLBACK_DATA: usize = 64;
const MAX_ALBUM: usize = 10;
/// Width and height of a photo together, and how much longer one may be.
const MAX_PHOTO_SIDES: u64 = 10_000;
const MAX_PHOTO_RATIO: u64 = 20;

pub(crate) fn message(world: &mut World, params: &Params, now: Instant) -> Result<Value, Refusal> {
    let content = Content::Text(text(params, "message is too long")?);
    send_one(world, params, "sendMessage", content, now)
}

pub(crate) fn photo(world: &mut World, params: &Params, now: Instant) -> Result<Value, Refusal> {
    open_chat(world, params)?;
    let source = params.text("photo");
    let caption = caption(params.text("caption"))?;
    let content = media_content(world, params, "photo", "photo", source.as_deref(), caption)?;
    send_one(world, params, "sendPhoto", content, now)
}

pub(crate) fn document(world: &mut World, params: &Params, now: Instant) -> Result<Value, Refusal> {
    open_chat(world, params)?;
    let source = params.text("document");
    let caption = caption(params.text("caption"))?;
    let content = media_content(world, params, "document", "document", source.as_deref(), caption)?;
    send_one(world, params, "sendDocument", content, now)
}

pub(crate) fn media_group(world: &mut World, params: &Params, now: Instant) -> Result<Value, Refusal> {
    let chat_id = open_chat(world, params)?;
    let reply_to = reply_to(world, params, chat_id)?;
    let Some(Value::Array(media)) = params.nested("media")? else {
        return Err(Refusal::bad_request("parameter media is required"));
    };
    if media.is_empty() {
        return Err(Refusal::bad_request("there are no messages to send"));
    }
    if media.len() > MAX_ALBUM {
        return Err(Refusal::bad_request("Too much messages to send as an album"));
    }
    let is_document = |item: &Value| item["type"] == "document";
    if media.iter().any(is_document) && !media.iter().all(is_document) {
        return Err(Refusal::bad_request("document can't be mixed with other media types"));
    }
    let mut contents = Vec::new();
    for item in &media {
        contents.push(input_media(world, params, item)?);
    }
    for content in &contents {
        is_allowed(world, chat_id, content)?;
    }
    world.limiter.take(chat_id, contents.len(), now).map_err(Refusal::too_many_requests)?;
    let album = world.new_album();
    let parse_mode = media[0]["parse_mode"].as_str().map(str::to_owned);
    let mut sent = Vec::new();
    for (content, item) in contents.into_iter().zip(&media) {
        let mut draft = draft(world, chat_id, reply_to, content, None, Some(album.clone()));
        draft.thread = thread(world, params, &draft)?;
        draft.spoiler = item["has_spoiler"] == true;
        sent.push(add(world, draft, "sendMediaGroup", parse_mode.clone()));
    }
    Ok(Value::Array(sent))
}

/// One `InputMedia` of an album or of `editMessageMedia`.
pub(crate) fn input_media(world: &mut World, params: &Params, item: &Value) -> Result<Content, Refusal> {
    let kind = item["type"].as_str().unwrap_or_default();
    if !matches!(kind, "photo" | "document") {
        return Err(Refusal::bad_request(format!("the sandbox knows no media of type {kind:?}")));
    }
    let caption = caption(item["caption"].as_str().map(str::to_owned))?;
    media_content(world, params, kind, "media", item["media"].as_str(), caption)
}

fn send_one(
    world: &mut World,
    params: &Params,
    method: &str,
    content: Content,
    now: Instant,
) -> Result<Value, Refusal> {
    let chat_id = open_chat(world, params)?;
    is_allowed(world, chat_id, &content)?;
    let reply_to = reply_to(world, params, chat_id)?;
    let markup = markup(params)?;
    world.limiter.take(chat_id, 1, now).map_err(Refusal::too_many_requests)?;
    let mut draft = draft(world, chat_id, reply_to, content, markup, None);
    draft.thread = thread(world, params, &draft)?;
    draft.spoiler = params.flag("has_spoiler");
    Ok(add(world, draft, method, params.text("parse_mode")))
}

fn draft(
    world: &World,
    chat_id: i64,
    reply_to: Option<i32>,
    content: Content,
    markup: Option<Value>,
    media_group: Option<String>,
) -> Message {
    Message {
        id: 0,
        chat_id,
        from: world.bot.id,
        from_bot: true,
        date: unix_seconds(),
        edit_date: None,
        reply_to,
        content,
        markup,
        media_group,
        thread: None,
        spoiler: false,
    }
}

/// Whether the bot may send that here.
fn is_allowed(world: &World, chat_id: i64, content: &Content) -> Result<(), Refusal> {
    let kind = match content {
        Content::Text(_) => Forbidden::Texts,
        Content::Photo { .. } => Forbidden::Photos,
        _ => Forbidden::Documents,
    };
    let is_forbidden = world.chats.get(&chat_id).is_some_and(|chat| chat.forbidden.contains(&kind));
    if is_forbidden { Err(Refusal::no_rights(kind.words())) } else { Ok(()) }
}

/// The topic that a message goes to: the one it names, else that of the message it replies to.
fn thread(world: &World, params: &Params, draft: &Message) -> Result<Option<i32>, Refusal> {
    let answered = draft.reply_to.and_then(|id| world.message(draft.chat_id, id));
    let named = params.integer("message_thread_id").and_then(|id| i32::try_from(id).ok());
    if named.is_some_and(|id| world.closed_topics.contains(&(draft.chat_id, id))) {
        return Err(Refusal::bad_request("message thread not found"));
    }
    Ok(named.or_else(|| answered.and_then(|answered| answered.thread)))
}

fn add(world: &mut World, draft: Message, method: &str, parse_mode: Option<String>) -> Value {
    let message = world.add_message(draft);
    let seen = world.chat_message(&message, method, parse_mode);
    world.log(EventKind::Sent(seen));
    world.message_json(&message)
}

pub(crate) fn text(params: &Params, too_long: &str) -> Result<String, Refusal> {
    let text = params.text("text").unwrap_or_default();
    if text.trim().is_empty() {
        return Err(Refusal::bad_request("message text is empty"));
    }
    if text.chars().count() > MAX_TEXT {
        return Err(Refusal::bad_request(too_long));
    }
    Ok(text)
}

pub(crate) fn caption(caption: Option<String>) -> Result<Option<String>, Refusal> {
    let caption = caption.filter(|caption| !caption.is_empty());
    if caption.as_ref().is_some_and(|caption| caption.chars().count() > MAX_CAPTION) {
        return Err(Refusal::bad_request("message caption is too long"));
    }
    Ok(caption)
}

/// The inline keyboard of a call. Other keyboards are taken and belong to no message.
pub(crate) fn markup(params: &Params) -> Result<Option<Value>, Refusal> {
    let Some(markup) = params.nested("reply_markup")? else { return Ok(None) };
    let rows = buttons(Some(&markup));
    if rows
        .iter()
        .flatten()
        .any(|button| button.callback_data.as_ref().is_some_and(|data| data.len() > MAX_CALLBACK_DATA))
    {
        return Err(Refusal::bad_request("BUTTON_DATA_INVALID"));
    }
    let raw = markup["inline_keyboard"].as_array().into_iter().flatten().filter_map(Value::as_array).flatten();
    // A button of an inline keyboard must do something: have a field beside its text.
    if raw.into_iter().any(|button| button.as_object().is_none_or(|fields| fields.len() < 2)) {
        return Err(Refusal::bad_request(
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
        ));
    }
    Ok(Some(markup).filter(|_| rows.iter().any(|row| !row.is_empty())))
}

fn reply_to(world: &World, params: &Params, chat_id: i64) -> Result<Option<i32>, Refusal> {
    let (wanted, forgiving) = match params.nested("reply_parameters")? {
        Some(reply) => (reply["message_id"].as_i64(), reply["allow_sending_without_reply"] == true),
        None => (params.integer("reply_to_message_id"), params.flag("allow_sending_without_reply")),
    };
    let Some(wanted) = wanted.filter(|id| *id != 0) else { return Ok(None) };
    let found = i32::try_from(wanted).ok().filter(|id| world.message(chat_id, *id).is_some());
    if found.is_none() && !forgiving {
        return Err(Refusal::bad_request("message to be replied not found"));
    }
    Ok(found)
}

/// The file that a call names: attached to it, or known by its id.
fn media_content(
    world: &mut World,
    params: &Params,
    kind: &str,
    field: &str,
    source: Option<&str>,
    caption: Option<String>,
) -> Result<Content, Refusal> {
    let attached = match source.and_then(|source| source.strip_prefix("attach://")) {
        Some(name) => params.upload(name),
        None => params.upload(field).filter(|upload| upload.file_name.is_some()),
    };
    if let Some(upload) = attached.cloned() {
        return uploaded(world, kind, upload, caption);
    }
    let source = source.unwrap_or_default();
    if source.is_empty() || source.starts_with("attach://") {
        return Err(Refusal::bad_request(format!("there is no {kind} in the request")));
    }
    if source.starts_with("http://") || source.starts_with("https://") {
        // The real server would fetch it; the sandbox never leaves the machine.
        return Err(Refusal::bad_request("failed to get HTTP URL content"));
    }
    let Some(file) = world.files.get(source) else {
        return Err(Refusal::bad_request("wrong file identifier/HTTP URL specified"));
    };
    // Nor does the real server turn a photo into a document, or the other way round.
    let wrong_kind = |is: &str, wanted: &str| Refusal::bad_request(format!("can't use file of type {is} as {wanted}"));
    match (kind, file.kind) {
        ("photo", AttachmentKind::Photo) => Ok(Content::Photo { sizes: file.sizes.clone(), caption }),
        ("document", AttachmentKind::Document) => Ok(Content::Document {
            file: file.reference.clone(),
            name: file.name.clone(),
            mime: file.mime.clone(),
            caption,
        }),
        ("photo", is) => Err(wrong_kind(&format!("{is:?}"), "Photo")),
        (_, is) => Err(wrong_kind(&format!("{is:?}"), "Document")),
    }
}

fn uploaded(world: &mut World, kind: &str, upload: Upload, caption: Option<String>) -> Result<Content, Refusal> {
    let Upload { file_name, bytes } = upload;
    if bytes.is_empty() {
        return Err(Refusal::bad_request("file must be non-empty"));
    }
    if kind == "photo" {
        if bytes.len() > MAX_PHOTO {
            return Err(Refusal::too_large());
        }
        let Some((width, height)) = dimensions(&bytes) else {
            return Err(Refusal::bad_request("IMAGE_PROCESS_FAILED"));
        };
        let (longer, shorter) = (u64::from(width.max(height)), u64::from(width.min(height)));
        if longer + shorter > MAX_PHOTO_SIDES || longer > shorter * MAX_PHOTO_RATIO {
            return Err(Refusal::bad_request("PHOTO_INVALID_DIMENSIONS"));
        }
        return Ok(Content::Photo { sizes: world.files.add_photo(bytes, (width, height)), caption });
    }
    if bytes.len() > MAX_UPLOAD {
        return Err(Refusal::too_large());
    }
    let (file, mime) = world.files.add(AttachmentKind::Document, bytes, file_name.as_deref());
    Ok(Content::Document { file, name: file_name, mime, caption })
}
