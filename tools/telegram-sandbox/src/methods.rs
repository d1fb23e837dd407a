//! The methods of the Bot API.

use std::time::Instant;

use serde_json::{Value, json};

use crate::bot_command::BotCommand;
use crate::events::EventKind;
use crate::files::MAX_DOWNLOAD;
use crate::named::{allowed_updates, named_chat, named_message, open_chat};
use crate::params::Params;
use crate::refusal::Refusal;
use crate::state::World;
use crate::webhook::Webhook;
use crate::{editing, sending};

/// Does one call. `getUpdates`, the only method that waits, is in `polling.rs`.
pub(crate) fn call(world: &mut World, method: &str, params: &Params, now: Instant) -> Result<Value, Refusal> {
    match method {
        "getme" => Ok(me(world)),
        "setwebhook" => set_webhook(world, params),
        "deletewebhook" => delete_webhook(world, params),
        "getwebhookinfo" => Ok(webhook_info(world)),
        "setmycommands" => set_my_commands(world, params),
        "getmycommands" => Ok(json!(world.commands.get(&scope(params)).cloned().unwrap_or_default())),
        "deletemycommands" => {
            world.commands.remove(&scope(params));
            Ok(json!(true))
        }
        "sendmessage" => sending::message(world, params, now),
        "sendphoto" => sending::photo(world, params, now),
        "senddocument" => sending::document(world, params, now),
        "sendmediagroup" => sending::media_group(world, params, now),
        "sendchataction" => chat_action(world, params),
        "editmessagetext" => editing::text(world, params),
        "editmessagecaption" => editing::caption(world, params),
        "editmessagemedia" => editing::media(world, params),
        "editmessagereplymarkup" => editing::reply_markup(world, params),
        "deletemessage" => delete_message(world, params),
        "answercallbackquery" => answer_callback_query(world, params),
        "getfile" => get_file(world, params),
        "getchat" => get_chat(world, params),
        _ => Err(Refusal::no_such_method()),
    }
}

fn me(world: &World) -> Value {
    let mut me = world.bot.to_json();
    me["can_join_groups"] = json!(true);
    me["can_read_all_group_messages"] = json!(!world.quirks.privacy_mode);
    me["supports_inline_queries"] = json!(false);
    me["can_connect_to_business"] = json!(false);
    me["has_main_web_app"] = json!(false);
    me
}

fn set_webhook(world: &mut World, params: &Params) -> Result<Value, Refusal> {
    let url = params.text("url").unwrap_or_default();
    if url.is_empty() {
        return delete_webhook(world, params);
    }
    if reqwest::Url::parse(&url).is_err() {
        return Err(Refusal::bad_request("bad webhook: invalid webhook URL specified"));
    }
    let secret = params.text("secret_token").filter(|secret| !secret.is_empty());
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if let Some(secret) = &secret {
        if secret.len() > 256 {
            return Err(Refusal::bad_request("secret token is too long"));
        }
        if !secret.chars().all(is_allowed) {
            return Err(Refusal::bad_request("secret token contains unallowed characters"));
        }
    }
    if let Some(kinds) = allowed_updates(params)? {
        world.outbox.allow(&kinds);
    }
    if params.flag("drop_pending_updates") {
        world.outbox.clear();
    }
    let certificate = params.text("certificate").unwrap_or_default();
    let attached = params.upload(certificate.strip_prefix("attach://").unwrap_or("certificate"));
    let max_connections = params.integer("max_connections").unwrap_or(40).clamp(1, 100) as usize;
    world.webhook = Webhook {
        url: Some(url),
        secret,
        certificate: attached.map(|upload| upload.bytes.clone()),
        max_connections,
        last_error: None,
    };
    world.outbox.forget_failures();
    Ok(json!(true))
}

fn delete_webhook(world: &mut World, params: &Params) -> Result<Value, Refusal> {
    world.webhook = Webhook::default();
    if params.flag("drop_pending_updates") {
        world.outbox.clear();
    }
    Ok(json!(true))
}

fn webhook_info(world: &World) -> Value {
    let webhook = &world.webhook;
    let mut info = json!({
        "url": webhook.url.clone().unwrap_or_default(),
        "has_custom_certificate": webhook.certificate.is_some(),
        "pending_update_count": world.outbox.pending(),
    });
    if webhook.url.is_some() {
        info["max_connections"] = json!(webhook.max_connections);
    }
    if let Some((date, message)) = &webhook.last_error {
        info["last_error_date"] = json!(date);
        info["last_error_message"] = json!(message);
    }
    if let Some(kinds) = world.outbox.allowed() {
        info["allowed_updates"] = json!(kinds);
    }
    info
}

fn scope(params: &Params) -> String {
    let scope = params.nested("scope").ok().flatten().unwrap_or_else(|| json!({ "type": "default" }));
    format!("{scope} {}", params.text("language_code").unwrap_or_default())
}

fn set_my_commands(world: &mut World, params: &Params) -> Result<Value, Refusal> {
    let commands = params.nested("commands")?.ok_or_else(|| Refusal::bad_request("commands are not specified"))?;
    let commands: Vec<BotCommand> =
        serde_json::from_value(commands).map_err(|_| Refusal::bad_request("can't parse commands"))?;
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    for BotCommand { command, description } in &commands {
        let name = command.trim_start_matches('/');
        if name.is_empty() || name.len() > 32 || !name.chars().all(is_allowed) {
            return Err(Refusal::bad_request("BOT_COMMAND_INVALID"));
        }
        if description.is_empty() || description.chars().count() > 256 {
            return Err(Refusal::bad_request("BOT_COMMAND_DESCRIPTION_INVALID"));
        }
    }
    if commands.len() > 100 {
        return Err(Refusal::bad_request("BOT_COMMANDS_TOO_MUCH"));
    }
    world.commands.insert(scope(params), commands);
    Ok(json!(true))
}

fn chat_action(world: &mut World, params: &Params) -> Result<Value, Refusal> {
    const ACTIONS: [&str; 11] = [
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    ];
    let chat_id = open_chat(world, params)?;
    let action = params.text("action").unwrap_or_default();
    if !ACTIONS.contains(&action.as_str()) {
        return Err(Refusal::bad_request("wrong parameter action in request"));
    }
    world.log(EventKind::ChatAction { chat_id, action });
    Ok(json!(true))
}

fn delete_message(world: &mut World, params: &Params) -> Result<Value, Refusal> {
    let chat_id = named_chat(world, params)?;
    let message_id = named_message(params)?;
    let Some(message) = world.message(chat_id, message_id) else {
        return Err(Refusal::bad_request("message to delete not found"));
    };
    // In a private chat a bot may delete the person's messages too; in a group only an administrator may.
    if !message.from_bot && chat_id < 0 {
        return Err(Refusal::bad_request("message can't be deleted"));
    }
    world.remove_message(chat_id, message_id);
    world.log(EventKind::Deleted { chat_id, message_id });
    Ok(json!(true))
}

fn answer_callback_query(world: &mut World, params: &Params) -> Result<Value, Refusal> {
    let id = params.text("callback_query_id").unwrap_or_default();
    let Some(press) = world.presses.get(&id).cloned() else {
        return Err(Refusal::bad_request("query is too old and response timeout expired or query id is invalid"));
    };
    let text = params.text("text").filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| text.chars().count() > 200) {
        return Err(Refusal::bad_request("MESSAGE_TOO_LONG"));
    }
    world.log(EventKind::CallbackAnswered {
        callback_query_id: id,
        chat_id: press.chat_id,
        message_id: press.message_id,
        text,
        show_alert: params.flag("show_alert"),
    });
    Ok(json!(true))
}

fn get_file(world: &World, params: &Params) -> Result<Value, Refusal> {
    let id = params.text("file_id").unwrap_or_default();
    let file = world.files.get(&id).ok_or_else(|| Refusal::bad_request("invalid file_id"))?;
    if file.reference.size > MAX_DOWNLOAD {
        return Err(Refusal::bad_request("file is too big"));
    }
    let mut shown = json!({
        "file_id": file.reference.id,
        "file_unique_id": file.reference.unique_id,
        "file_size": file.reference.size,
        "file_path": file.path,
    });
    if world.quirks.no_file_sizes {
        shown.as_object_mut().and_then(|fields| fields.remove("file_size"));
    }
    Ok(shown)
}

fn get_chat(world: &World, params: &Params) -> Result<Value, Refusal> {
    let chat_id = named_chat(world, params)?;
    let mut chat = world.chats.get(&chat_id).ok_or_else(Refusal::chat_not_found)?.to_json();
    chat["accent_color_id"] = json!(0);
    chat["max_reaction_count"] = json!(11);
    chat["accepted_gift_types"] = json!({
        "unlimited_gifts": false, "limited_gifts": false, "unique_gifts": false, "premium_subscription": false,
    });
    Ok(chat)
}
