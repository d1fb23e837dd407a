//! The page in a real browser: a headless Chromium, as a person would use it.
//!
//! `UPDATE=1` writes the screenshots that README shows.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::Locator;
use local::page::{self, Page};
use local::{LocalFleet, Options, ScalingPolicy, ScalingSettings, TimeScale};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::browser::Browser;
use crate::support::{self, EXECUTABLE, PATIENCE};

/// A fleet with its page.
struct Shown {
    stack: LocalFleet,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<anyhow::Result<()>>,
}

impl Shown {
    async fn start(options: Options) -> Self {
        let stack = support::stack(options).await;
        let page = Page::of(&stack);
        Self::serve(stack, page).await
    }

    async fn serve(stack: LocalFleet, page: Page) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let server = tokio::spawn(page::serve(listener, page, stop.clone()));
        Self { stack, address, stop, server }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.server).await;
        ended.expect("the page ends although browsers are connected").expect("no panic").expect("no error");
        self.stack.stop().await;
    }
}

/// The real model where it is fast enough: not in a debug build. A group of one to three workers.
fn with_model() -> Options {
    let stand_in = || Options { model: "stand-in:200".into(), ..support::stand_in() };
    let options = if cfg!(debug_assertions) { stand_in() } else { support::options() };
    Options { scaling: Some(scaling()), ..options }
}

fn scaling() -> ScalingSettings {
    ScalingSettings {
        max_size: 3,
        policy: ScalingPolicy::Backlog,
        backlog_target: 4.0,
        time_scale: TimeScale::MINUTE_A_SECOND,
        boot: Duration::from_secs(60),
        ..ScalingSettings::default()
    }
}

/// As a browser wants it.
fn photo_path(name: &str) -> String {
    let path = support::photo_path(name).canonicalize().expect("a photo");
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Whether the screenshots are to be made: only when asked for, so that a test leaves the tree as it was.
fn is_portrait_wanted() -> bool {
    std::env::var_os("UPDATE").is_some()
}

async fn screenshot(browser: &Browser, name: &str) {
    let png = browser.client.screenshot().await.expect("a screenshot");
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images");
    std::fs::create_dir_all(&folder).expect("a folder for the screenshots");
    std::fs::write(folder.join(name), png).expect("the screenshot is written");
}

/// As a person sees them in a conversation: the bot's photos that are there to be seen.
const BOTS_PHOTOS: &str =
    "[...document.querySelectorAll('.message.bot .photo img')].filter((photo) => photo.naturalWidth > 0)";

/// Nothing sticks out to the side.
async fn fits(browser: &Browser) {
    let overflow = browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
    assert_eq!(overflow, 0, "the page is wider than its screen");
}

/// The page as README shows it: a chat, and beside it a fleet that a flood has made grow.
async fn portray(browser: &Browser) {
    browser.screen(390, 844, true).await;
    browser.until("getComputedStyle(document.querySelector('#fleet')).display === 'none'").await;
    screenshot(browser, "page-phone.png").await;

    browser.screen(1440, 1240, false).await;
    let photos = browser.value(&format!("{BOTS_PHOTOS}.length")).await;
    browser.type_into("#files", &photo_path("motorcycle_left.png")).await;
    browser.until("document.querySelectorAll('#attached img').length === 1").await;
    browser.click("#send").await;
    browser.until(&format!("{BOTS_PHOTOS}.length > {photos}")).await;
    start_flood(browser, "24", "15").await;
    browser.until(&workers(3)).await;
    browser.until("document.querySelector('#flood-text').textContent.includes('all were sent')").await;
    browser.until("Number(document.querySelector('[data-tile=visible] dd').textContent) < 60").await;
    screenshot(browser, "page.png").await;
    browser.dark(true).await;
    screenshot(browser, "page-dark.png").await;
    browser.dark(false).await;
    browser.screen(390, 844, true).await;
    browser.click("[data-show=fleet]").await;
    browser.until("getComputedStyle(document.querySelector('#chat')).display === 'none'").await;
    screenshot(browser, "page-phone-fleet.png").await;
}

/// So many workers are in service, as the page shows it.
fn workers(number: u32) -> String {
    format!("document.querySelector('[data-tile=workers] dd').textContent === '{number}'")
}

async fn start_flood(browser: &Browser, rate: &str, seconds: &str) {
    for (field, value) in [("rate", rate), ("seconds", seconds)] {
        let field = format!("#flood input[name={field}]");
        let found = browser.client.find(Locator::Css(&field)).await.expect("a field");
        found.clear().await.expect("cleared");
        browser.type_into(&field, value).await;
    }
    browser.press("Start a flood").await;
}

/// Every control has a name and every photo its words, for those who listen.
async fn can_be_heard(browser: &Browser) {
    let nameless = browser
        .value(
            "[...document.querySelectorAll('button, a[href], input, select, textarea')].filter((control) => {
               const labels = [...(control.labels ?? [])].map((label) => label.textContent).join('');
               const photos = [...control.querySelectorAll('img')].map((photo) => photo.alt).join('');
               return !(control.getAttribute('aria-label') || labels.trim() || control.textContent.trim() || photos);
             }).map((control) => control.outerHTML)",
        )
        .await;
    assert_eq!(nameless, Value::Array(vec![]), "controls without a name");
    assert_eq!(browser.value("document.querySelectorAll('img:not([alt])').length").await, 0, "photos without words");
}

#[tokio::test]
async fn a_photo_is_sent_and_its_answer_seen() {
    let shown = Shown::start(with_model()).await;
    let browser = Browser::start(1440, 900).await;
    browser.open(&shown.url()).await;
    browser.until("document.querySelector('#chat').dataset.ready && !document.querySelector('#welcome').hidden").await;
    can_be_heard(&browser).await;

    // A photo, picked.
    browser.type_into("#files", &photo_path("coffee.png")).await;
    browser.until("document.querySelectorAll('#attached img').length === 1").await;
    browser.click("#send").await;
    browser.until(&format!("{BOTS_PHOTOS}.length === 1")).await;
    browser.until("document.querySelector('#messages').innerText.includes('I see ')").await;
    browser.until("!document.querySelector('#messages').innerText.includes('being processed')").await;
    if !cfg!(debug_assertions) {
        let said = browser.value("document.querySelector('.message.bot .words').textContent").await;
        assert_eq!(said, "I see 1 cup, 1 dining table, 1 spoon.");
    }
    assert_eq!(browser.value(&format!("{BOTS_PHOTOS}[0].naturalWidth")).await, 600, "the photo in its own size");

    // Its buttons, down to another filter on the same photo.
    browser.press("Another filter…").await;
    browser
        .until("[...document.querySelectorAll('.keyboard button')].some((it) => it.textContent === 'contour')")
        .await;
    let focused = browser.value("document.activeElement.closest('.keyboard') !== null").await;
    assert_eq!(focused, true, "whoever pressed goes on from there, without a mouse");
    browser.press("contour").await;
    browser.until(&format!("{BOTS_PHOTOS}.length === 2")).await;

    // An album with a caption, sent with the Enter key.
    browser.type_into("#files", &format!("{}\n{}", photo_path("chelsea.png"), photo_path("astronaut.png"))).await;
    browser.until("document.querySelectorAll('#attached img').length === 2").await;
    browser.type_into("#text", "concat\u{E007}").await;
    browser.until(&format!("{BOTS_PHOTOS}.length === 3")).await;
    assert_eq!(
        browser.value("document.querySelectorAll('.me .photos[data-count=\"2\"]').length").await,
        1,
        "one album"
    );

    // Another person sees none of this, and is told apart.
    browser.click("input[name=person]:not(:checked)").await;
    browser.until("!document.querySelector('#welcome').hidden").await;
    assert_eq!(browser.value("document.querySelectorAll('#messages li').length").await, 0);
    browser.press("/help").await;
    browser.click("#send").await;
    browser.until("document.querySelector('.message.bot')?.innerText.includes('salt and pepper')").await;
    browser.click("#newcomer").await;
    browser.type_into("#newcomer-form input", "Zoë\u{E007}").await;
    browser.until("document.querySelector('.person:has(:checked)')?.innerText.includes('Zoë')").await;

    // A photo of the page's own, a dropped one, and the caption of a button; sent as an album of two.
    browser.click("[data-sample='cat.png']").await;
    browser.until("document.querySelectorAll('#attached img').length === 1").await;
    let drop = "const [done] = arguments;
        fetch('coffee.png').then((photo) => photo.blob()).then((photo) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([photo], 'coffee.png', { type: 'image/png' }));
          const event = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true });
          document.querySelector('#chat').dispatchEvent(event);
          done(event.defaultPrevented);
        });";
    let taken = browser.client.execute_async(drop, vec![]).await.expect("dropped");
    assert_eq!(taken, true, "the browser must not leave the page for the photo");
    browser.until("document.querySelectorAll('#attached img').length === 2").await;
    browser.press("predict").await;
    browser.click("#send").await;
    browser.until(&format!("{BOTS_PHOTOS}.length === 2")).await;
    browser.until("document.querySelector('.message.bot .words')?.textContent.startsWith('1. I see ')").await;
    browser.click(".message.bot .photo").await;
    browser.until("document.querySelector('#viewer').open").await;
    browser.click("#viewer .close").await;
    browser.until("!document.querySelector('#viewer').open").await;

    // Back to the first, where all is as it was; also after loading the page anew.
    browser.click("input[name=person]").await;
    browser.until(&format!("{BOTS_PHOTOS}.length === 3")).await;
    browser.open(&shown.url()).await;
    browser.until(&format!("document.querySelector('#chat').dataset.ready && {BOTS_PHOTOS}.length === 3")).await;
    can_be_heard(&browser).await;
    fits(&browser).await;

    browser.screen(390, 844, true).await;
    browser.until("getComputedStyle(document.querySelector('#fleet')).display === 'none'").await;
    fits(&browser).await;
    let bright = async || {
        let colour = browser.value("getComputedStyle(document.body).backgroundColor").await;
        let colour = colour.as_str().expect("a colour").trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
        colour.split(", ").map(|part| part.parse::<u32>().expect("rgb(…)")).sum::<u32>()
    };
    let light = bright().await;
    browser.dark(true).await;
    browser.until("matchMedia('(prefers-color-scheme: dark)').matches").await;
    assert!(bright().await < 150 && light > 600, "dark is dark and light is light");
    browser.dark(false).await;
    if is_portrait_wanted() {
        portray(&browser).await;
    }
    assert_eq!(browser.console().await, Vec::<String>::new(), "nothing to complain about");
    browser.close().await;
    shown.stop().await;
}

#[tokio::test]
async fn a_flood_makes_the_fleet_grow_and_a_dead_worker_is_replaced() {
    // Slow enough to need a fleet, on any machine.
    let options = Options { model: "stand-in:400".into(), scaling: Some(scaling()), ..support::stand_in() };
    let shown = Shown::start(options).await;
    let browser = Browser::start(1440, 1000).await;
    browser.open(&shown.url()).await;
    browser.until(&workers(1)).await;
    browser.until("document.querySelector('[data-tile=metric] .note').textContent.endsWith('target 4')").await;

    start_flood(&browser, "8", "15").await;
    browser.until("document.querySelector('#flood-text').textContent.includes('outstanding')").await;
    browser.until(&workers(3)).await;
    browser
        .until(
            "[...document.querySelectorAll('#alarms [data-state=ALARM]')].some((it) => it.innerText.includes('High'))",
        )
        .await;

    // The oldest dies; the group finds out and starts another.
    let oldest = browser.value("document.querySelector('#instances [data-state=InService] code').textContent").await;
    let oldest = oldest.as_str().expect("an id").to_owned();
    browser.click("#kill").await;
    browser.until(&format!("!document.querySelector('#instances').innerText.includes('{oldest}')")).await;
    browser
        .until(&format!(
            "document.querySelector('#activities').innerText.includes('Terminating EC2 instance: {oldest}')"
        ))
        .await;

    // All is answered, and the fleet shrinks again.
    browser.until("document.querySelector('#flood-text').textContent.endsWith('over')").await;
    let said = browser.value("document.querySelector('#flood-text').textContent").await;
    let said = said.as_str().expect("a text");
    assert!(said.contains(" 0 outstanding") && !said.contains("failed"), "{said}");
    browser.until(&workers(1)).await;
    can_be_heard(&browser).await;
    fits(&browser).await;

    browser.screen(390, 844, true).await;
    browser.press("Fleet 1 of 1").await;
    browser.until("getComputedStyle(document.querySelector('#chat')).display === 'none'").await;
    fits(&browser).await;
    assert_eq!(browser.console().await, Vec::<String>::new(), "nothing to complain about");
    browser.close().await;
    shown.stop().await;
}

#[tokio::test]
async fn where_people_chat_in_telegram_itself_the_fleet_is_shown_alone() {
    let stack = support::stack(support::stand_in()).await;
    let page = Page { telegram: None, ..Page::of(&stack) };
    let shown = Shown::serve(stack, page).await;
    let browser = Browser::start(1200, 800).await;
    browser.open(&shown.url()).await;
    browser.until(&workers(1)).await;
    let is_shown = async |id: &str| browser.value(&format!("document.querySelector('{id}').checkVisibility()")).await;
    assert_eq!((is_shown("#fleet").await, is_shown("#chat").await), (true.into(), false.into()));
    assert_eq!(is_shown("#kill").await, false, "nobody holds these workers");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let form = reqwest::multipart::Form::new().text("text", "hello");
    let sent = http.post(format!("{}api/people/1000001/messages", shown.url())).multipart(form).send().await;
    assert_eq!(sent.expect("an answer").status(), StatusCode::CONFLICT);
    assert_eq!(browser.console().await, Vec::<String>::new(), "nothing to complain about");
    browser.close().await;
    shown.stop().await;
}

#[tokio::test]
async fn only_the_page_itself_may_ask() {
    let shown = Shown::start(support::stand_in()).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let origin = format!("http://{}", shown.address);

    let page = http.get(shown.url()).send().await.expect("an answer");
    let policy = page.headers()["content-security-policy"].to_str().expect("a policy").to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = page.text().await.expect("HTML");
    assert!(!html.contains("http://") && !html.contains("https://"), "nothing comes from elsewhere");

    let meet = async |headers: &[(&str, &str)], name: &str| {
        let mut request = http.post(format!("{origin}/api/people")).json(&serde_json::json!({ "name": name }));
        for (header, value) in headers {
            request = request.header(*header, *value);
        }
        request.send().await.expect("an answer").status()
    };
    assert_eq!(meet(&[("origin", "https://evil.example")], "Mallory").await, StatusCode::FORBIDDEN);
    assert_eq!(meet(&[("sec-fetch-site", "same-site")], "Mallory").await, StatusCode::FORBIDDEN);
    assert_eq!(meet(&[("host", "evil.example")], "Mallory").await, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(meet(&[("origin", &origin), ("sec-fetch-site", "same-origin")], "Grace").await, StatusCode::OK);
    assert_eq!(meet(&[("origin", &origin)], "Grace").await, StatusCode::CONFLICT, "she is here already");
    assert_eq!(meet(&[("origin", &origin)], &"x".repeat(20_000)).await, StatusCode::PAYLOAD_TOO_LARGE);

    // A file of somebody's that would run as this page is handed out to be saved only.
    let app = shown.stack.telegram.app();
    let user = app.user("Mallory");
    user.post_document(b"<script>alert(1)</script>".to_vec(), "a.html", None);
    let found = |event: &telegram_sandbox::Event| match &event.kind {
        telegram_sandbox::EventKind::Posted(message) => message.attachment.is_some(),
        _ => false,
    };
    let event = shown.stack.telegram.wait_for(found, PATIENCE).await.expect("posted");
    let telegram_sandbox::EventKind::Posted(message) = event.kind else { unreachable!("it was found as one") };
    let file = message.attachment.expect("a file").file_id;
    let file = http.get(format!("{origin}/api/files/{file}")).send().await.expect("an answer");
    assert_eq!(file.headers()["content-type"], "application/octet-stream");
    assert_eq!(file.headers()["content-disposition"], "attachment");
    assert!(file.headers()["content-security-policy"].to_str().expect("a policy").contains("sandbox"));

    // More than Telegram takes.
    let people = http.post(format!("{origin}/api/people")).json(&serde_json::json!({ "name": "Hedy" }));
    let hedy: Value = people.send().await.expect("an answer").json().await.expect("JSON");
    let large = reqwest::multipart::Part::bytes(vec![0; 21 * 1024 * 1024]).file_name("large.png");
    let form = reqwest::multipart::Form::new().part("photo", large);
    let sent = http.post(format!("{origin}/api/people/{}/messages", hedy["id"])).multipart(form).send().await;
    assert_eq!(sent.expect("an answer").status(), StatusCode::PAYLOAD_TOO_LARGE);
    shown.stop().await;
}

/// The numbers of the chat events that a browser is told before it is told the news; `last` is the one it saw last.
async fn past(shown: &Shown, last: Option<&str>) -> Vec<String> {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut request = http.get(format!("{}api/live", shown.url()));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut told = request.send().await.expect("an answer");
    let mut text = String::new();
    while !text.contains("event: caught-up") {
        let chunk = tokio::time::timeout(PATIENCE, told.chunk()).await.expect("more").expect("no error");
        text.push_str(&String::from_utf8_lossy(&chunk.expect("the stream goes on")));
    }
    text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_browser_that_was_cut_off_goes_on_where_it_was() {
    let shown = Shown::start(support::stand_in()).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let person = serde_json::json!({ "name": "Grace" });
    let person = http.post(format!("{}api/people", shown.url())).json(&person).send().await.expect("an answer");
    let person: Value = person.json().await.expect("JSON");
    // Somebody who is not on the page: their chat is nobody's business.
    shown.stack.telegram.user("Somebody else").post_text("/help");
    for text in ["one", "two", "three"] {
        let form = reqwest::multipart::Form::new().text("text", text);
        let url = format!("{}api/people/{}/messages", shown.url(), person["id"]);
        assert!(http.post(url).multipart(form).send().await.expect("an answer").status().is_success());
    }
    let answers = |event: &telegram_sandbox::Event| event.sent().is_some_and(|sent| sent.words().contains("three"));
    shown.stack.telegram.wait_for(answers, PATIENCE).await.expect("all are answered");

    let all = past(&shown, None).await;
    let events = shown.stack.telegram.events();
    let of_grace = events.iter().filter(|event| Some(event.chat_id()) == person["id"].as_i64()).count();
    assert_eq!(all.len(), of_grace, "all of hers and nothing else");
    assert_eq!(past(&shown, Some(&all[1])).await, all[2..], "what came after the one it saw");
    assert_eq!(past(&shown, Some("another-run-1")).await, all, "a number of another run says nothing");
    shown.stop().await;
}

#[test]
fn the_program_tells_where_the_page_is() {
    let mut program = std::process::Command::new(EXECUTABLE)
        .args(["--port", "0", "--model", "stand-in"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let said = BufReader::new(program.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let said: Vec<String> = said.take_while(|line| !line.contains("ctrl-c")).collect();
    let address = said.iter().find_map(|line| line.strip_prefix("page")).expect("a line for the page").trim();
    let http = reqwest::blocking::Client::builder().no_proxy().build().expect("a client");
    let html = http.get(address).send().expect("an answer").text().expect("HTML");
    assert!(html.contains("<title>Polybot</title>"), "{html}");
    let interrupted = std::process::Command::new("kill").args(["-INT", &program.id().to_string()]).status();
    assert!(interrupted.expect("kill runs").success());
    assert!(program.wait().expect("it ends").success());
}
