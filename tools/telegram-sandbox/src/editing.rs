//! The methods that change a message which the bot sent.

use serde_json::Value;

use crate::events::EventKind;
use crate::message::{Content, Message};
use crate::named::{named_message, open_chat};
use crate::params::Params;
use crate::refusal::Refusal;
use crate::sending;
use crate::state::{World, unix_seconds};

pub(crate) fn text(world: &mut World, params: &Params) -> Result<Value, Refusal> {
    edit(world, params, "editMessageText", |_, message| {
        let Content::Text(text) = &mut message.content else {
            return Err(Refusal::bad_request("there is no text in the message to edit"));
        };
        *text = sending::text(params, "MESSAGE_TOO_LONG")?;
        Ok(())
    })
}

pub(crate) fn caption(world: &mut World, params: &Params) -> Result<Value, Refusal> {
    edit(world, params, "editMessageCaption", |_, message| {
        let Some(caption) = message.content.caption_mut() else {
            return Err(Refusal::bad_request("there is no caption in the message to edit"));
        };
        *caption = sending::caption(params.text("caption"))?;
        Ok(())
    })
}

pub(crate) fn media(world: &mut World, params: &Params) -> Result<Value, Refusal> {
    edit(world, params, "editMessageMedia", |world, message| {
        let media = params.nested("media")?.ok_or_else(|| Refusal::bad_request("parameter media is required"))?;
        message.content = sending::input_media(world, params, &media)?;
        Ok(())
    })
}

pub(crate) fn reply_markup(world: &mut World, params: &Params) -> Result<Value, Refusal> {
    edit(world, params, "editMessageReplyMarkup", |_, _| Ok(()))
}

/// Every edit sets the inline keyboard anew: a call without one takes it away.
fn edit(
    world: &mut World,
    params: &Params,
    method: &str,
    change: impl FnOnce(&mut World, &mut Message) -> Result<(), Refusal>,
) -> Result<Value, Refusal> {
    let chat_id = open_chat(world, params)?;
    let message_id = named_message(params)?;
    let Some(before) = world.message(chat_id, message_id).cloned() else {
        return Err(Refusal::bad_request("message to edit not found"));
    };
    if !before.from_bot {
        return Err(Refusal::bad_request("message can't be edited"));
    }
    let mut after = before.clone();
    change(world, &mut after)?;
    after.markup = sending::markup(params)?;
    if after == before {
        return Err(Refusal::bad_request(
            "message is not modified: specified new message content and reply markup are exactly the same as a \
             current content and reply markup of the message",
        ));
    }
    after.edit_date = Some(unix_seconds());
    world.replace_message(after.clone());
    let seen = world.chat_message(&after, method, params.text("parse_mode"));
    world.log(EventKind::Edited(seen));
    Ok(world.message_json(&after))
}
