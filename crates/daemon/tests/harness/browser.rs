//! Chromium without a window, driven through Debian's chromedriver: pages as an operator sees them.
//!
//! Each browser has a profile of its own, and all that it says about a page (errors of scripts, refusals by the content security policy)
//! and each request that it makes are kept, for [`Browser::complaints`]. It and its driver end by their own ids.

use super::{Process, SOON, Site, until};
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::runtime::Runtime;

/// A browser with one page.
pub struct Browser {
    life: Runtime,
    client: Option<Client>,
    origin: String,
    _driver: Process,
}

/// A command of Chromium's driver that no standard has: its path below the session, and what goes there.
#[derive(Debug)]
struct Own(&'static str, Value);

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.1.to_string()))
    }
}

impl Browser {
    /// Starts one, for pages of this origin (`http://127.0.0.1:8025`).
    pub fn start(site: &Site, name: &str, origin: &str) -> Browser {
        let said = site.folder.join(format!("{name}.driver"));
        let out = File::create(&said).unwrap();
        let mut command = Command::new("chromedriver");
        // What it keeps for itself goes into the test's folder.
        command.arg("--port=0").env("TMPDIR", site.folder.path()).env("HOME", site.folder.path());
        let mut driver = Process::start(command.stdout(out).stderr(Stdio::null()));
        let port = until(SOON, "chromedriver says where it listens", || {
            assert_eq!(driver.0.try_wait().unwrap(), None, "chromedriver ended: {:?}", fs::read_to_string(&said));
            let text = fs::read_to_string(&said).unwrap_or_default();
            let rest = text.split("started successfully on port ").nth(1)?;
            rest.split('.').next()?.parse::<u16>().ok()
        });
        let profile = site.folder.join(format!("{name}.profile"));
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--disable-gpu".into(),
            "--disable-dev-shm-usage".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            "--no-first-run".into(),
            "--no-default-browser-check".into(),
            "--force-color-profile=srgb".into(),
            "--lang=en-GB".into(),
            format!("--user-data-dir={}", profile.display()),
        ];
        if nix::unistd::geteuid().is_root() {
            arguments.push("--no-sandbox".into());
        }
        let wanted = json!({
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "args": arguments },
        });
        let life = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = life.block_on(async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(wanted.as_object().unwrap().clone());
            builder.connect(&format!("http://127.0.0.1:{port}")).await
        });
        let client = client.unwrap_or_else(|error| panic!("no browser: {error}"));
        let browser = Browser { life, client: Some(client), origin: origin.to_owned(), _driver: driver };
        browser.looks_like(1280, false);
        browser
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("the browser was closed")
    }

    fn own(&self, command: &'static str, body: Value) -> Value {
        self.life.block_on(self.client().issue_cmd(Own(command, body))).unwrap()
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.own("goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }

    /// The window's width (a phone's below 600), and which colours its owner prefers.
    pub fn looks_like(&self, width: u32, dark: bool) {
        let (height, mobile) = if width < 600 { (844, true) } else { (800, false) };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &media);
    }

    /// Opens a page of ours.
    pub fn go(&self, path: &str) {
        let address = format!("{}{path}", self.origin);
        self.life.block_on(self.client().goto(&address)).unwrap_or_else(|error| panic!("{address}: {error}"));
    }

    /// The address's path and query.
    pub fn path(&self) -> String {
        let address = self.life.block_on(self.client().current_url()).unwrap();
        address.as_str().strip_prefix(&self.origin).unwrap_or(address.as_str()).to_owned()
    }

    /// Runs a script as its page would, and waits for what it returns; not bound by the page's policy.
    pub fn script(&self, text: &str) -> Value {
        self.life.block_on(self.client().execute(text, Vec::new())).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The same for a script that calls `done(...)`.
    pub fn script_until_done(&self, text: &str) -> Value {
        let text = format!("const done = arguments[arguments.length - 1]; {text}");
        self.life.block_on(self.client().execute_async(&text, Vec::new())).unwrap()
    }

    /// Does something with an element as soon as there is one; a page that is just renewed is waited for.
    fn with<T, F>(&self, locator: Locator<'_>, mut act: impl FnMut(Element) -> F) -> T
    where
        F: Future<Output = Result<T, fantoccini::error::CmdError>>,
    {
        let mut last = String::new();
        let what = format!("{locator:?}");
        let found = until_some(|| {
            let done = self.life.block_on(async { act(self.client().find(locator).await?).await });
            done.map_err(|error| last = error.to_string()).ok()
        });
        found.unwrap_or_else(|| panic!("{what} on {}: {last}\n{}", self.path(), self.all_text()))
    }

    /// Presses what has this style-sheet selector.
    pub fn click(&self, selector: &str) {
        self.with(Locator::Css(selector), |element| async move { element.click().await });
    }

    /// Presses the button or the link that says this.
    pub fn press(&self, label: &str) {
        let quoted = format!("'{label}'");
        let path = format!(
            "//*[self::main or self::header]//button[normalize-space()={quoted}] | //main//a[normalize-space()={quoted}] | \
             //button[@aria-label={quoted}]"
        );
        self.with(Locator::XPath(&path), |element| async move { element.click().await });
    }

    /// Writes into a field.
    pub fn fill(&self, selector: &str, value: &str) {
        self.with(Locator::Css(selector), |element| async move {
            element.clear().await?;
            element.send_keys(value).await
        });
    }

    /// Chooses from a list by its value.
    pub fn choose(&self, selector: &str, value: &str) {
        self.with(Locator::Css(selector), |element| async move { element.select_by_value(value).await });
    }

    /// The text of an element as it is shown.
    pub fn text(&self, selector: &str) -> String {
        self.with(Locator::Css(selector), |element| async move { element.text().await })
    }

    /// How many elements there are.
    pub fn count(&self, selector: &str) -> usize {
        self.life.block_on(self.client().find_all(Locator::Css(selector))).unwrap().len()
    }

    /// What the whole page says.
    pub fn all_text(&self) -> String {
        let text = self.script("return document.body ? document.body.innerText : ''");
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page says this.
    pub fn see(&self, text: &str) {
        let seen = until_some(|| self.all_text().contains(text).then_some(()));
        assert!(seen.is_some(), "no {text:?} on {}:\n{}", self.path(), self.all_text());
    }

    /// Waits until the page does not say this (any more).
    pub fn see_no(&self, text: &str) {
        let gone = until_some(|| (!self.all_text().contains(text)).then_some(()));
        assert!(gone.is_some(), "still {text:?} on {}:\n{}", self.path(), self.all_text());
    }

    /// Sets a first password by a link, or logs on, as somebody with a keyboard would.
    pub fn log_on(&self, name: &str, password: &str) {
        self.go("/log-on");
        self.fill("input[name=name]", name);
        self.fill("input[name=password]", password);
        self.click("main button[type=submit]");
        self.see("Log off");
    }

    /// A picture of the page as the window shows it.
    pub fn picture(&self, file: &Path) {
        let answer = self.devtools("Page.captureScreenshot", &json!({}));
        let text = answer["data"].as_str().expect("a picture");
        fs::write(file, smtp::sasl::base64::decode(text.as_bytes()).unwrap()).unwrap();
    }

    /// What the browser has to say against the pages since it was asked last: errors of scripts, what the policy refused, requests to
    /// anybody but us. `but`: what is expected.
    pub fn complaints(&self, but: &[&str]) -> Vec<String> {
        let mut complaints = Vec::new();
        let log = self.own("se/log", json!({ "type": "browser" }));
        for entry in log.as_array().into_iter().flatten() {
            let text = entry["message"].as_str().unwrap_or_default();
            if matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")) {
                complaints.push(text.to_owned());
            }
        }
        let log = self.own("se/log", json!({ "type": "performance" }));
        for entry in log.as_array().into_iter().flatten() {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap_or_default()).unwrap();
            let message = &message["message"];
            if message["method"] == "Network.requestWillBeSent" {
                let address = message["params"]["request"]["url"].as_str().unwrap_or_default();
                let is_ours = address.strip_prefix(&self.origin).is_some_and(|rest| rest.starts_with('/'));
                if !is_ours && !address.starts_with("data:") && !address.starts_with("chrome:") {
                    complaints.push(format!("a request to {address}"));
                }
            }
        }
        complaints.retain(|text| !but.iter().any(|but| text.contains(but)));
        complaints
    }
}

/// Asks again and again, for as long as should be enough.
fn until_some<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = std::time::Instant::now();
    while start.elapsed() < SOON {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // The driver ends its browser with the session.
            let _ = self.life.block_on(async { tokio::time::timeout(Duration::from_secs(10), client.close()).await });
        }
    }
}
