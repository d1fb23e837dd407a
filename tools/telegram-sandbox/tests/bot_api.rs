//! The sandbox as teloxide's own client sees it.

use std::error::Error;
use std::io::Cursor;
use std::time::Duration;

use image::{DynamicImage, ImageFormat, RgbImage};
use telegram_sandbox::{EventKind, Fault, Post, RateLimits, Sandbox, SandboxOptions};
use teloxide::net::Download;
use teloxide::prelude::*;
use teloxide::types::{
    AllowedUpdate, BotCommand, ChatAction, FileId, InlineKeyboardButton, InlineKeyboardMarkup, InputFile, InputMedia,
    InputMediaDocument, InputMediaPhoto, MessageId, ReplyParameters, UpdateKind,
};
use teloxide::{ApiError, RequestError};

type Done = Result<(), Box<dyn Error>>;

const SOON: Duration = Duration::from_secs(10);

async fn start() -> Result<(Sandbox, Bot), Box<dyn Error>> {
    let sandbox = Sandbox::start(SandboxOptions::default()).await?;
    let bot = Bot::new(sandbox.token()).set_api_url(sandbox.api_url().parse()?);
    Ok((sandbox, bot))
}

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let pixels = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 90]));
    DynamicImage::from(pixels).write_to(&mut bytes, format).expect("an image in memory can be written");
    bytes.into_inner()
}

fn reply(message_id: i32) -> ReplyParameters {
    ReplyParameters::new(MessageId(message_id))
}

fn keyboard(text: &str, data: &str) -> InlineKeyboardMarkup {
    InlineKeyboardMarkup::new([[InlineKeyboardButton::callback(text, data)]])
}

async fn one_message(bot: &Bot, offset: i32) -> Result<Message, Box<dyn Error>> {
    let updates = bot.get_updates().offset(offset).timeout(5).await?;
    match updates.into_iter().next().map(|update| update.kind) {
        Some(UpdateKind::Message(message) | UpdateKind::EditedMessage(message)) => Ok(message),
        other => Err(format!("no message but {other:?}").into()),
    }
}

#[tokio::test]
async fn who_the_bot_is_and_what_it_offers() -> Done {
    let (sandbox, bot) = start().await?;
    let me = bot.get_me().await?;
    assert!(me.is_bot);
    assert_eq!(me.username(), "polybot_sandbox_bot");
    bot.set_my_commands([BotCommand::new("help", "what I can do")]).await?;
    assert_eq!(bot.get_my_commands().await?[0].command, "help");
    assert_eq!(sandbox.commands()[0].description, "what I can do");
    assert_eq!(sandbox.calls("setMyCommands"), 1);

    let stranger = Bot::new("1:wrong").set_api_url(sandbox.api_url().parse()?);
    assert!(matches!(stranger.get_me().await, Err(RequestError::Api(ApiError::InvalidToken))));
    sandbox.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_text_comes_by_long_polling_and_is_answered() -> Done {
    let (sandbox, bot) = start().await?;
    let ada = sandbox.user("Ada");
    let (asked, ()) = tokio::join!(one_message(&bot, 0), async {
        // The poll is under way before there is anything to get.
        sandbox.wait_for_webhook(|_| sandbox.calls("getUpdates") == 1, SOON).await.expect("the bot polls");
        ada.post_text("/start now");
    });
    let asked = asked?;
    assert_eq!(asked.text(), Some("/start now"));
    assert_eq!(asked.entities().map(<[_]>::len), Some(1));
    assert!(asked.chat.is_private());

    let answer = bot.send_message(asked.chat.id, "hello").reply_parameters(reply(asked.id.0)).await?;
    assert_eq!(answer.reply_to_message().map(|message| message.id), Some(asked.id));
    let seen = sandbox.wait_for_reply(ada.chat_id(), asked.id.0, SOON).await?;
    assert_eq!((seen.words(), seen.method.as_str()), ("hello", "sendMessage"));
    assert_eq!(sandbox.replies_to(ada.chat_id(), asked.id.0), [seen]);
    Ok(())
}

#[tokio::test]
async fn a_photo_can_be_downloaded_in_its_largest_size_as_it_was_posted() -> Done {
    let (sandbox, bot) = start().await?;
    let photo = picture(1000, 500, ImageFormat::Jpeg);
    sandbox.user("Ada").post_photo(photo.clone(), Some("predict"));
    let message = one_message(&bot, 0).await?;
    assert_eq!(message.caption(), Some("predict"));
    let sizes = message.photo().expect("a photo");
    let largest = sizes.iter().max_by_key(|size| size.width).expect("sizes");
    assert_eq!((sizes.len(), largest.width, largest.height, largest.file.size as usize), (4, 1000, 500, photo.len()));

    let file = bot.get_file(largest.file.id.clone()).await?;
    let mut fetched = Vec::new();
    bot.download_file(&file.path, &mut fetched).await?;
    assert_eq!(fetched, photo);

    let file = bot.get_file(sizes[0].file.id.clone()).await?;
    let mut thumbnail = Vec::new();
    bot.download_file(&file.path, &mut thumbnail).await?;
    let thumbnail = image::load_from_memory(&thumbnail)?;
    assert_eq!((thumbnail.width(), thumbnail.height()), (90, 45));
    Ok(())
}

#[tokio::test]
async fn everything_a_person_can_post_is_understood() -> Done {
    let (sandbox, bot) = start().await?;
    let ada = sandbox.user("Ada");
    let group = sandbox.supergroup("Street photos");
    let text = ada.post_text("first");
    ada.edit_text(text, "second")?;
    ada.post_document(picture(9, 9, ImageFormat::Png), "street.heic", Some("blur"));
    ada.post(Post::sticker(vec![1]));
    ada.post(Post::voice(vec![2]));
    ada.post(Post::text("and this?").reply_to(text));
    ada.in_chat(group).post_text("hi all");
    let album = ada.post_album((0..3).map(|_| Post::photo(picture(30, 20, ImageFormat::Png))));

    let updates = bot.get_updates().await?;
    let messages: Vec<&Message> = updates
        .iter()
        .map(|update| match &update.kind {
            UpdateKind::Message(message) | UpdateKind::EditedMessage(message) => message,
            other => panic!("teloxide did not understand {other:?}"),
        })
        .collect();
    assert!(matches!(updates[1].kind, UpdateKind::EditedMessage(_)));
    assert_eq!(messages[1].text(), Some("second"));
    let document = messages[2].document().expect("a document");
    assert_eq!(document.file_name.as_deref(), Some("street.heic"));
    assert_eq!(document.mime_type.as_ref().map(ToString::to_string).as_deref(), Some("image/heic"));
    assert!(messages[3].sticker().is_some() && messages[4].voice().is_some());
    assert_eq!(messages[5].reply_to_message().map(|message| message.id.0), Some(text));
    assert!(messages[6].chat.is_supergroup());
    assert_eq!(messages[7..].iter().map(|message| message.id.0).collect::<Vec<_>>(), album);
    assert!(messages[7].media_group_id().is_some());
    assert!(messages[7..].iter().all(|message| message.media_group_id() == messages[7].media_group_id()));
    Ok(())
}

#[tokio::test]
async fn photos_documents_and_albums_arrive_with_their_bytes() -> Done {
    let (sandbox, bot) = start().await?;
    let ada = sandbox.user("Ada");
    let asked = ada.post_text("show me");
    let chat = ChatId(ada.chat_id());
    let photo = picture(60, 40, ImageFormat::Jpeg);
    let sent = bot
        .send_photo(chat, InputFile::memory(photo.clone()).file_name("out.jpg"))
        .caption("4 persons, 1 bus")
        .reply_markup(keyboard("Original", "original:1"))
        .reply_parameters(reply(asked))
        .await?;
    let seen = sandbox.wait_for_reply(chat.0, asked, SOON).await?;
    assert_eq!(seen.photo().map(|bytes| bytes.to_vec()), Some(photo.clone()));
    assert_eq!(seen.words(), "4 persons, 1 bus");
    assert_eq!(seen.button("Original").and_then(|button| button.callback_data.as_deref()), Some("original:1"));

    // By its id again; but not as a document, which Telegram doesn't do either.
    let id = sent.photo().and_then(|sizes| sizes.last()).expect("sizes").file.id.clone();
    bot.send_photo(chat, InputFile::file_id(id.clone())).await?;
    assert!(bot.send_document(chat, InputFile::file_id(id)).await.is_err());

    let sent = bot.send_document(chat, InputFile::memory(photo.clone()).file_name("original.jpg")).await?;
    assert_eq!(sent.document().and_then(|document| document.file_name.as_deref()), Some("original.jpg"));
    let seen = sandbox.message(chat.0, sent.id.0).expect("it is there");
    assert_eq!(seen.document().map(|bytes| bytes.to_vec()), Some(photo.clone()));

    let media = |caption: &str| {
        InputMedia::Photo(InputMediaPhoto::new(InputFile::memory(photo.clone())).caption(caption.to_owned()))
    };
    let album = bot.send_media_group(chat, [media("one"), media("two")]).reply_parameters(reply(asked)).await?;
    assert_eq!(album.len(), 2);
    let replies = sandbox.replies_to(chat.0, asked);
    assert_eq!(replies[1..].iter().map(|message| message.words()).collect::<Vec<_>>(), ["one", "two"]);
    assert!(replies[1].media_group.is_some() && replies[1].media_group == replies[2].media_group);
    assert!(replies[1..].iter().all(|message| message.photo().is_some()));

    let too_many: Vec<_> = (0..11).map(|_| media("")).collect();
    assert!(matches!(bot.send_media_group(chat, too_many).await, Err(RequestError::Api(ApiError::TooMuchMessages))));
    Ok(())
}

#[tokio::test]
async fn messages_are_edited_and_deleted() -> Done {
    let (sandbox, bot) = start().await?;
    let ada = sandbox.user("Ada");
    let chat = ChatId(ada.chat_id());
    let text = bot.send_message(chat, "being processed").await?.id;
    bot.edit_message_text(chat, text, "done").reply_markup(keyboard("Again", "again")).await?;
    assert!(matches!(
        bot.edit_message_text(chat, text, "done").reply_markup(keyboard("Again", "again")).await,
        Err(RequestError::Api(ApiError::MessageNotModified))
    ));
    bot.edit_message_reply_markup(chat, text).await?;
    assert_eq!(sandbox.message(chat.0, text.0).map(|message| message.buttons.len()), Some(0));
    assert!(bot.edit_message_caption(chat, text).caption("no").await.is_err());

    let photo = bot.send_photo(chat, InputFile::memory(picture(60, 40, ImageFormat::Jpeg))).await?.id;
    bot.edit_message_caption(chat, photo).caption("a caption").await?;
    let png = picture(10, 10, ImageFormat::Png);
    let media = InputMedia::Document(InputMediaDocument::new(InputFile::memory(png.clone()).file_name("b.png")));
    bot.edit_message_media(chat, photo, media).await?;
    let now = sandbox.message(chat.0, photo.0).expect("it is there");
    assert_eq!((now.document().map(|bytes| bytes.to_vec()), now.caption), (Some(png), None));

    bot.delete_message(chat, text).await?;
    sandbox
        .wait_for(|event| matches!(event.kind, EventKind::Deleted { message_id, .. } if message_id == text.0), SOON)
        .await?;
    let refused = |error| matches!(error, Err(RequestError::Api(ApiError::MessageToDeleteNotFound)));
    assert!(refused(bot.delete_message(chat, text).await.map(drop)));
    assert!(matches!(
        bot.edit_message_text(chat, text, "x").await,
        Err(RequestError::Api(ApiError::MessageToEditNotFound))
    ));
    let edits: Vec<_> = sandbox.events().iter().filter_map(|event| Some(event.edited()?.method.clone())).collect();
    assert_eq!(edits, ["editMessageText", "editMessageReplyMarkup", "editMessageCaption", "editMessageMedia"]);
    Ok(())
}

#[tokio::test]
async fn a_pressed_button_comes_and_is_answered() -> Done {
    let (sandbox, bot) = start().await?;
    let ada = sandbox.user("Ada");
    let chat = ChatId(ada.chat_id());
    bot.send_chat_action(chat, ChatAction::UploadPhoto).await?;
    let sent = bot.send_message(chat, "choose").reply_markup(keyboard("Blur", "blur:1")).await?;
    assert!(ada.press_button(sent.id.0, "other").is_err());
    let press = ada.press_button(sent.id.0, "blur:1")?;
    let updates = bot.get_updates().timeout(5).await?;
    let UpdateKind::CallbackQuery(query) = &updates[0].kind else { panic!("no press but {updates:?}") };
    assert_eq!((query.data.as_deref(), query.id.0.as_str()), (Some("blur:1"), press.as_str()));
    assert_eq!(query.regular_message().map(|message| message.id), Some(sent.id));
    bot.answer_callback_query(query.id.clone()).text("coming").await?;
    let answered = sandbox.wait_for(|event| matches!(event.kind, EventKind::CallbackAnswered { .. }), SOON).await?;
    assert!(matches!(answered.kind, EventKind::CallbackAnswered { text: Some(text), .. } if text == "coming"));
    assert!(matches!(
        bot.answer_callback_query("no such".into()).await,
        Err(RequestError::Api(ApiError::InvalidQueryId))
    ));
    assert!(
        sandbox
            .events()
            .iter()
            .any(|event| matches!(&event.kind, EventKind::ChatAction { action, .. } if action == "upload_photo"))
    );
    let too_much = bot.send_message(chat, "x").reply_markup(keyboard("x", &"d".repeat(65))).await;
    assert!(matches!(too_much, Err(RequestError::Api(ApiError::ButtonDataInvalid))));
    Ok(())
}

#[tokio::test]
async fn refusals_are_in_telegrams_words() -> Done {
    let (sandbox, bot) = start().await?;
    let ada = sandbox.user("Ada");
    let chat = ChatId(ada.chat_id());
    let refused = async |text: String, to: ChatId, answering: Option<i32>| {
        let call = bot.send_message(to, text);
        let call = match answering {
            Some(id) => call.reply_parameters(reply(id)),
            None => call,
        };
        match call.await {
            Err(RequestError::Api(error)) => error,
            other => panic!("not refused: {other:?}"),
        }
    };
    assert_eq!(refused("x".into(), ChatId(5), None).await, ApiError::ChatNotFound);
    assert_eq!(refused(" ".into(), chat, None).await, ApiError::MessageTextIsEmpty);
    assert_eq!(refused("ä".repeat(4097), chat, None).await, ApiError::MessageIsTooLong);
    assert_eq!(refused("x".into(), chat, Some(99)).await, ApiError::MessageToReplyNotFound);
    bot.send_message(chat, "ä".repeat(4096)).reply_parameters(reply(99).allow_sending_without_reply()).await?;

    let small = || InputFile::memory(picture(20, 20, ImageFormat::Png));
    let long = bot.send_photo(chat, small()).caption("c".repeat(1025)).await;
    assert!(
        matches!(long, Err(RequestError::Api(ApiError::Unknown(text))) if text == "Bad Request: message caption is too long")
    );
    let no_image = bot.send_photo(chat, InputFile::memory("no image")).await;
    assert!(matches!(no_image, Err(RequestError::Api(ApiError::ImageProcessFailed))));
    let thin = bot.send_photo(chat, InputFile::memory(picture(2100, 100, ImageFormat::Png))).await;
    assert!(
        matches!(thin, Err(RequestError::Api(ApiError::Unknown(text))) if text.contains("PHOTO_INVALID_DIMENSIONS"))
    );
    let mut heavy = picture(20, 20, ImageFormat::Png);
    heavy.resize(10 * 1024 * 1024 + 1, 0);
    let heavy = bot.send_photo(chat, InputFile::memory(heavy)).await;
    assert!(matches!(heavy, Err(RequestError::Api(ApiError::RequestEntityTooLarge))));

    ada.post_document(vec![0; 20 * 1024 * 1024 + 1], "big.png", None);
    let posted = one_message(&bot, 0).await?;
    let id = posted.document().expect("a document").file.id.clone();
    let big = bot.get_file(id).await;
    assert!(matches!(big, Err(RequestError::Api(ApiError::Unknown(text))) if text == "Bad Request: file is too big"));
    assert!(bot.get_file(FileId("none".into())).await.is_err());

    ada.block_bot(true);
    assert_eq!(refused("x".into(), chat, None).await, ApiError::BotBlocked);
    Ok(())
}

#[tokio::test]
async fn polling_and_a_webhook_exclude_each_other() -> Done {
    let (sandbox, bot) = start().await?;
    bot.set_webhook("http://127.0.0.1:9/hook".parse()?)
        .secret_token("a-secret_1")
        .max_connections(7)
        .allowed_updates([AllowedUpdate::Message])
        .certificate(InputFile::memory("-----BEGIN CERTIFICATE-----").file_name("cert.pem"))
        .await?;
    let info = bot.get_webhook_info().await?;
    assert_eq!(info.url.map(String::from).as_deref(), Some("http://127.0.0.1:9/hook"));
    assert!(info.has_custom_certificate);
    assert_eq!((info.max_connections, info.allowed_updates), (Some(7), Some(vec![AllowedUpdate::Message])));
    assert_eq!(sandbox.webhook().secret.as_deref(), Some("a-secret_1"));
    assert!(bot.get_updates().await.is_err());
    assert!(bot.set_webhook("http://127.0.0.1:9/".parse()?).secret_token("no spaces").await.is_err());
    bot.delete_webhook().await?;
    assert_eq!(bot.get_webhook_info().await?.url, None);

    // A second poll sends the first one away.
    let (first, second) = tokio::join!(bot.get_updates().timeout(10).send(), async {
        sandbox.wait_for_webhook(|_| sandbox.calls("getUpdates") == 2, SOON).await.expect("the bot polls");
        let second = bot.get_updates().send().await;
        second.map(|updates| updates.len())
    });
    assert!(matches!(first, Err(RequestError::Api(ApiError::TerminatedByOtherGetUpdates))));
    assert_eq!(second?, 0);
    Ok(())
}

#[tokio::test]
async fn sending_too_fast_is_told_with_the_time_to_wait() -> Done {
    let (sandbox, bot) = start().await?;
    sandbox.limit(Some(RateLimits::default()));
    let (ada, bob) = (ChatId(sandbox.user("Ada").chat_id()), ChatId(sandbox.user("Bob").chat_id()));
    bot.send_message(ada, "one").await?;
    bot.send_message(bob, "one").await?;
    let fast = bot.send_message(ada, "two").await;
    assert!(matches!(fast, Err(RequestError::RetryAfter(seconds)) if seconds.seconds() == 1));
    Ok(())
}

#[tokio::test]
async fn calls_fail_on_demand() -> Done {
    let (sandbox, bot) = start().await?;
    let chat = ChatId(sandbox.user("Ada").chat_id());
    sandbox.fail_next("sendMessage", 1, Fault::too_many_requests(3));
    sandbox.fail_next("sendMessage", 1, Fault::refuse(403, "Forbidden: user is deactivated"));
    sandbox.fail_next("sendMessage", 1, Fault::Drop);
    sandbox.fail_next("sendMessage", 1, Fault::LoseAnswer);
    let mut outcomes = Vec::new();
    for number in 0..5 {
        outcomes.push(bot.send_message(chat, number.to_string()).await.map(drop));
    }
    assert!(matches!(&outcomes[0], Err(RequestError::RetryAfter(seconds)) if seconds.seconds() == 3));
    assert!(matches!(&outcomes[1], Err(RequestError::Api(ApiError::UserDeactivated))));
    assert!(matches!(&outcomes[2], Err(RequestError::Network(_))), "{:?}", outcomes[2]);
    assert!(matches!(&outcomes[3], Err(RequestError::Network(_))), "{:?}", outcomes[3]);
    assert!(outcomes[4].is_ok());
    let sent: Vec<_> = sandbox.events().iter().filter_map(|event| Some(event.sent()?.words().to_owned())).collect();
    assert_eq!(sent, ["3", "4"], "the lost answer's message is there");
    Ok(())
}
