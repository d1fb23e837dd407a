//! Updates posted to a webhook, as a bot behind it sees them.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use telegram_sandbox::{Sandbox, SandboxOptions};
use teloxide::prelude::*;
use tokio::sync::mpsc;

type Done = Result<(), Box<dyn Error>>;

const SOON: Duration = Duration::from_secs(10);

/// One post to the webhook: the instance it came to, the secret, the update.
type Got = (usize, Option<String>, Update);

/// Stands for one instance of the bot; returns 500 to its first `failures` posts.
async fn instance(number: usize, failures: usize, got: mpsc::UnboundedSender<Got>) -> Result<String, Box<dyn Error>> {
    let left = Arc::new(AtomicUsize::new(failures));
    let hook = post(async move |headers: HeaderMap, body: Bytes| {
        let secret = headers.get("x-telegram-bot-api-secret-token").and_then(|it| it.to_str().ok()).map(str::to_owned);
        let update = serde_json::from_slice(&body).expect("teloxide understands every update");
        let _ = got.send((number, secret, update));
        let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/webhook", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/webhook", hook)).await });
    Ok(url)
}

async fn start() -> Result<(Sandbox, Bot), Box<dyn Error>> {
    let sandbox = Sandbox::start(SandboxOptions::default()).await?;
    let bot = Bot::new(sandbox.token()).set_api_url(sandbox.api_url().parse()?);
    Ok((sandbox, bot))
}

async fn next(posts: &mut mpsc::UnboundedReceiver<Got>) -> Got {
    tokio::time::timeout(SOON, posts.recv()).await.expect("posted in time").expect("the instance lives")
}

fn text(got: &Got) -> String {
    match &got.2.kind {
        teloxide::types::UpdateKind::Message(message) => message.text().unwrap_or_default().to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn updates_come_with_the_secret_and_again_until_taken() -> Done {
    let (sandbox, bot) = start().await?;
    let (sender, mut posts) = mpsc::unbounded_channel();
    let url = instance(1, 2, sender).await?;
    let ada = sandbox.user("Ada");
    ada.post_text("first");
    ada.post_text("second");
    bot.set_webhook(url.parse()?).secret_token("open-sesame").await?;
    let mut texts = Vec::new();
    for _ in 0..4 {
        let got = next(&mut posts).await;
        assert_eq!(got.1.as_deref(), Some("open-sesame"));
        texts.push(text(&got));
    }
    assert_eq!(texts, ["first", "first", "first", "second"], "one chat's updates stay in order");
    let status = sandbox.wait_for_webhook(|status| status.pending == 0, SOON).await?;
    assert_eq!(status.last_error.as_deref(), Some("Wrong response from the webhook: 500 Internal Server Error"));
    let info = bot.get_webhook_info().await?;
    assert!(info.last_error_date.is_some() && info.last_error_message.is_some());
    sandbox.stop().await;
    Ok(())
}

#[tokio::test]
async fn instances_get_updates_in_turn_and_both_get_a_duplicate() -> Done {
    let (sandbox, bot) = start().await?;
    let (sender, mut posts) = mpsc::unbounded_channel();
    let urls = vec![instance(1, 0, sender.clone()).await?, instance(2, 0, sender).await?];
    sandbox.deliver_to(urls);
    bot.set_webhook("https://polybot.example/webhook".parse()?).secret_token("s").await?;
    let ada = sandbox.user("Ada");
    for number in 0..4 {
        ada.post_text(number.to_string());
    }
    let mut seen = Vec::new();
    for _ in 0..4 {
        let got = next(&mut posts).await;
        seen.push((got.0, text(&got)));
    }
    let expected = [(1, "0"), (2, "1"), (1, "2"), (2, "3")].map(|(instance, text)| (instance, text.to_owned()));
    assert_eq!(seen, expected);

    sandbox.deliver_twice(true);
    ada.post_text("twice");
    let (one, other) = (next(&mut posts).await, next(&mut posts).await);
    assert_eq!((text(&one), one.2.id), (text(&other), other.2.id));
    assert_ne!(one.0, other.0);
    sandbox.wait_for_webhook(|status| status.pending == 0, SOON).await?;
    Ok(())
}

#[tokio::test]
async fn never_more_posts_at_once_than_the_bot_allows() -> Done {
    let (sandbox, bot) = start().await?;
    let gauge = Arc::new(Mutex::new((0_usize, 0_usize)));
    let (enter, mut entered) = mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let hook = {
        let (gauge, gate) = (gauge.clone(), gate.clone());
        post(async move || {
            {
                let mut gauge = gauge.lock().expect("no panic inside");
                gauge.0 += 1;
                gauge.1 = gauge.1.max(gauge.0);
            }
            let _ = enter.send(());
            gate.acquire().await.expect("the gate stays").forget();
            gauge.lock().expect("no panic inside").0 -= 1;
        })
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", hook)).await });
    bot.set_webhook(url.parse()?).max_connections(3).await?;
    for number in 0..9 {
        sandbox.user(&format!("user{number}")).post_text("hi");
    }
    for _ in 0..3 {
        tokio::time::timeout(SOON, entered.recv()).await?;
    }
    gate.add_permits(9);
    sandbox.wait_for_webhook(|status| status.pending == 0, SOON).await?;
    assert_eq!(gauge.lock().expect("no panic inside").1, 3);
    Ok(())
}

#[tokio::test]
async fn a_webhook_that_nobody_serves_keeps_its_updates() -> Done {
    let (sandbox, bot) = start().await?;
    bot.set_webhook("http://127.0.0.1:1/".parse()?).await?;
    sandbox.user("Ada").post_text("hello?");
    let status = sandbox.wait_for_webhook(|status| status.last_error.is_some(), SOON).await?;
    assert_eq!((status.pending, status.last_error.as_deref()), (1, Some("Connection refused")));
    bot.delete_webhook().await?;
    assert_eq!(bot.get_updates().await?.len(), 1);
    Ok(())
}
