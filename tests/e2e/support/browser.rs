//! A headless Chromium, driven through chromedriver. Both end with this, also when the test panics.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::wd::TimeoutConfiguration;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::support::PATIENCE;

/// A browser with a window of its own and a profile of its own.
pub(crate) struct Browser {
    pub(crate) client: Client,
    driver: Driver,
    session: String,
}

/// chromedriver and the browsers that it started.
struct Driver {
    process: Child,
    port: u16,
    /// Told on the command line of each process of the browser, so that those that are left over can be found.
    profile: tempfile::TempDir,
}

impl Driver {
    fn start() -> Self {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs a Chromium to drive: apt-get install -y chromium chromium-driver");
        let said = BufReader::new(process.stdout.take().expect("piped"));
        // "ChromeDriver was started successfully on port 12345."
        let port = said
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_suffix('.')?.rsplit_once("successfully on port ")?.1.parse().ok());
        let profile = tempfile::tempdir().expect("a folder for the browser's profile");
        Self { process, port: port.expect("chromedriver says its port"), profile }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Either may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let profile = self.profile.path().to_string_lossy().into_owned();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in processes.filter(|process| command_line(&process.path()).contains(&profile)) {
            let _ = Command::new("kill").arg("-KILL").arg(process.file_name()).stderr(Stdio::null()).status();
        }
    }
}

fn command_line(process: &Path) -> String {
    std::fs::read(process.join("cmdline")).map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default()
}

impl Browser {
    /// A window of this size.
    pub(crate) async fn start(width: u32, height: u32) -> Self {
        let driver = Driver::start();
        let options = json!({
            "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--hide-scrollbars",
                "--force-color-profile=srgb",
                format!("--window-size={width},{height}"),
                format!("--user-data-dir={}", driver.profile.path().display()),
            ],
        });
        let capabilities = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("it is an object") };
        // chromedriver is on loopback and speaks plain HTTP.
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .expect("chromedriver starts Chromium (apt-get install -y chromium chromium-driver)");
        let timeouts = TimeoutConfiguration::new(Some(PATIENCE), Some(PATIENCE), Some(Duration::ZERO));
        client.update_timeouts(timeouts).await.expect("timeouts");
        let session = client.session_id().await.expect("a session").expect("a session's id");
        let browser = Self { client, driver, session };
        browser.screen(width, height, false).await;
        browser
    }

    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("the page loads");
    }

    /// Wait until this expression is true in the page. It is looked at whenever the page changes, not by the clock.
    pub(crate) async fn until(&self, condition: &str) {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             const check = () => {{ if ({condition}) {{ observer.disconnect(); done(true); }} }};
             const observer = new MutationObserver(check);
             observer.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
             document.addEventListener('load', check, true);
             check();"
        );
        if let Err(error) = self.client.execute_async(&script, vec![]).await {
            let text = self.client.find(Locator::Css("body")).await.expect("a body").text().await.expect("text");
            panic!("never true: {condition}: {error}\n{text}\n{:?}", self.console().await);
        }
    }

    /// What this expression is in the page.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        self.client.execute(&format!("return {expression};"), vec![]).await.expect(expression)
    }

    pub(crate) async fn click(&self, selector: &str) {
        let element = self.client.find(Locator::Css(selector)).await.expect(selector);
        element.click().await.unwrap_or_else(|error| panic!("can't click {selector}: {error}"));
    }

    /// The button with this text.
    pub(crate) async fn press(&self, text: &str) {
        let path = format!("//button[normalize-space(.)='{text}']");
        let button = self.client.find(Locator::XPath(&path)).await.expect(text);
        button.click().await.unwrap_or_else(|error| panic!("can't press {text}: {error}"));
    }

    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let field = self.client.find(Locator::Css(selector)).await.expect(selector);
        field.send_keys(text).await.unwrap_or_else(|error| panic!("can't type into {selector}: {error}"));
    }

    /// A screen of this size; a phone's has fingers.
    pub(crate) async fn screen(&self, width: u32, height: u32, phone: bool) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    pub(crate) async fn dark(&self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        // Without motion, so that a screenshot shows no colour on its way to another.
        let features = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")];
        let features = features.map(|(name, value)| json!({ "name": name, "value": value }));
        let media = json!({ "features": features });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Warnings and errors in the console since the last look: also what the page's security policy refused.
    pub(crate) async fn console(&self) -> Vec<String> {
        let log = self.driver("se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG")
            .map(Value::to_string)
            .collect()
    }

    pub(crate) async fn close(self) {
        self.client.close().await.expect("the browser closes");
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.driver("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await;
    }

    /// What chromedriver offers beyond WebDriver.
    async fn driver(&self, path: &str, body: Value) -> Value {
        let url = format!("http://127.0.0.1:{}/session/{}/{path}", self.driver.port, self.session);
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = http.post(url).json(&body).send().await.expect("chromedriver answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json::<Value>().await.expect("JSON")["value"].take()
    }
}
