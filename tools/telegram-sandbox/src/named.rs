//! What a call's parameters name: a chat, a message, kinds of updates.

use crate::params::Params;
use crate::refusal::Refusal;
use crate::state::World;

/// The chat a call names; a private chat whose person blocked the bot refuses.
pub(crate) fn open_chat(world: &World, params: &Params) -> Result<i64, Refusal> {
    let chat_id = named_chat(world, params)?;
    let Some(chat) = world.chats.get(&chat_id) else { return Ok(chat_id) };
    if let Some(supergroup) = chat.migrated_to {
        return Err(Refusal::migrated(supergroup));
    }
    if chat.bot_blocked {
        return Err(Refusal::new(403, "Forbidden: bot was blocked by the user"));
    }
    Ok(chat_id)
}

pub(crate) fn named_chat(world: &World, params: &Params) -> Result<i64, Refusal> {
    let Some(name) = params.text("chat_id").filter(|name| !name.is_empty()) else {
        return Err(Refusal::bad_request("chat_id is empty"));
    };
    let chat_id = name.parse().map_err(|_| Refusal::chat_not_found())?;
    if world.chats.contains_key(&chat_id) { Ok(chat_id) } else { Err(Refusal::chat_not_found()) }
}

pub(crate) fn named_message(params: &Params) -> Result<i32, Refusal> {
    let id = params.integer("message_id").and_then(|id| i32::try_from(id).ok());
    id.ok_or_else(|| Refusal::bad_request("message identifier is not specified"))
}

/// The kinds of updates a call asks for, if it says anything about them.
pub(crate) fn allowed_updates(params: &Params) -> Result<Option<Vec<String>>, Refusal> {
    let Some(kinds) = params.nested("allowed_updates")? else { return Ok(None) };
    serde_json::from_value(kinds).map(Some).map_err(|_| Refusal::bad_request("can't parse allowed updates list"))
}
