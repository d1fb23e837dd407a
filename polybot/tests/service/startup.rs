//! What Telegram says no to at first, and later.

use std::net::{Ipv4Addr, TcpListener};

use polybot::reply;
use serde_json::json;
use telegram_sandbox::Fault;

use crate::harness::{PATIENCE, Setup, bot};

/// A port that is free now, for a program whose address has to be known before it says it.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).expect("a port").port()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_pass_is_waited_out_at_start() {
    let port = free_port();
    let unknown = "Bad Request: bad webhook: Failed to resolve host: Name or service not known";
    let setup = Setup::default()
        .setting("LISTEN_ADDR", format!("127.0.0.1:{port}"))
        .fault("getMe", Fault::too_many_requests(1))
        .fault("getMe", Fault::refuse(502, "Bad Gateway"))
        .fault("setMyCommands", Fault::too_many_requests(1))
        .fault("setWebhook", Fault::refuse(400, unknown));
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await;
        answer.map(|answer| answer.status().as_u16()).unwrap_or_default()
    };
    let watch = async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            looks.tick().await;
            if get("/healthz").await == 503 {
                return get("/").await;
            }
        }
    };
    let watch = async { tokio::time::timeout(PATIENCE, watch).await.expect("it is seen before it is ready") };
    let (bot, alive) = tokio::join!(bot(setup), watch);
    assert_eq!(alive, 200, "a load balancer keeps it");
    assert_eq!(get("/healthz").await, 200);
    let ann = bot.telegram.user("Ann");
    let help = ann.post_text("/help");
    assert_eq!(bot.answer(&ann, help).await.words(), reply::help(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_somebody_set_wrongly_is_set_anew() {
    let bot = bot(Setup::default()).await;
    let url = format!("{}/bot{}/setWebhook", bot.telegram.api_url(), bot.telegram.token());
    let wrong = json!({"url": "https://polybot.invalid/webhook", "secret_token": "of_another_program"});
    let set = reqwest::Client::new().post(url).json(&wrong).send().await.expect("the sandbox answers");
    assert!(set.status().is_success());
    let ann = bot.telegram.user("Ann");
    let help = ann.post_text("/help");
    assert_eq!(bot.answer(&ann, help).await.words(), reply::help(true));
    assert!(bot.has_logged("webhook_set_again"));
    let metrics = reqwest::get(format!("http://{}/metrics", bot.address)).await.expect("metrics");
    assert!(metrics.text().await.expect("text").contains("polybot_webhook_failing"));
}
