//! One Chromium with a profile of its own, driven by WebDriver.

use anyhow::{Context, Result, bail};
use fantoccini::ClientBuilder;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use hyper_util::client::legacy::connect::HttpConnector;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// A call into a page may take this long.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(30);

/// One browser window.
#[derive(Debug)]
pub struct Browser {
    session: fantoccini::Client,
    /// Gone with the browser.
    _profile: TempDir,
}

impl Browser {
    /// Starts `chromium` through the WebDriver at `driver`; pages of `origins` may use camera and microphone.
    ///
    /// # Errors
    /// The WebDriver or Chromium refuses.
    pub async fn open(driver: &str, chromium: &Path, origins: &[String]) -> Result<Self> {
        let profile =
            tempfile::Builder::new().prefix("plenum-browser-").tempdir().context("making a browser profile")?;
        let capabilities = capabilities(chromium, profile.path(), origins)?;
        let session = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(driver)
            .await
            .context("starting Chromium")?;
        let mut timeouts = session.get_timeouts().await.context("reading timeouts")?;
        timeouts.set_script(Some(SCRIPT_TIMEOUT));
        timeouts.set_page_load(Some(SCRIPT_TIMEOUT));
        session.update_timeouts(timeouts).await.context("setting timeouts")?;
        Ok(Self { session, _profile: profile })
    }

    /// Loads a page.
    ///
    /// # Errors
    /// The page does not load.
    pub async fn go(&self, url: &str) -> Result<()> {
        // What stands after `#` is a token.
        let shown = url.split('#').next().unwrap_or_default();
        self.session.goto(url).await.with_context(|| format!("loading {shown}"))
    }

    /// Runs the body of an async function in the page with `args`, and returns what it resolves to.
    ///
    /// # Errors
    /// It throws, takes longer than 30 s, or resolves to another shape.
    pub async fn run<T: DeserializeOwned>(&self, body: &str, args: &[Value]) -> Result<T> {
        #[derive(Deserialize)]
        struct Outcome {
            value: Option<Value>,
            error: Option<String>,
        }
        let script = format!(
            "const done = arguments[arguments.length - 1], args = Array.from(arguments).slice(0, -1);\n\
             (async () => {{ {body} }})().then(\n\
               value => done({{value: value === undefined ? null : value}}),\n\
               error => done({{error: String(error && error.stack || error)}}));"
        );
        let raw = self
            .session
            .execute_async(&script, args.to_vec())
            .await
            .with_context(|| format!("running in the page: {body}"))?;
        let outcome: Outcome = serde_json::from_value(raw).context("reading what a script returned")?;
        if let Some(error) = outcome.error {
            bail!("the page threw in `{body}`: {error}");
        }
        let value = outcome.value.unwrap_or(Value::Null);
        serde_json::from_value(value.clone()).with_context(|| format!("`{body}` returned {value}"))
    }

    /// What the page wrote to its console since the last call.
    ///
    /// # Errors
    /// The WebDriver refuses.
    pub async fn console(&self) -> Result<Vec<String>> {
        let lines = self.session.issue_cmd(ConsoleLog).await.context("reading the console")?;
        let text = |line: &Value| Some(format!("{} {}", line.get("level")?.as_str()?, line.get("message")?.as_str()?));
        Ok(lines.as_array().map(|lines| lines.iter().filter_map(text).collect()).unwrap_or_default())
    }

    /// A picture of the page (PNG).
    ///
    /// # Errors
    /// The WebDriver refuses.
    pub async fn picture(&self) -> Result<Vec<u8>> {
        self.session.screenshot().await.context("taking a picture")
    }

    /// Closes the browser. A browser that is only dropped ends with its WebDriver.
    ///
    /// # Errors
    /// The WebDriver refuses.
    pub async fn close(self) -> Result<()> {
        self.session.close().await.context("closing a browser")
    }
}

fn capabilities(chromium: &Path, profile: &Path, origins: &[String]) -> Result<Capabilities> {
    let mut args: Vec<String> = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        // Lines that run cost a page as much as its video.
        "--force-prefers-reduced-motion",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-default-apps",
        // Windows that nobody looks at must decode and run timers like any other.
        "--disable-background-timer-throttling",
        "--disable-renderer-backgrounding",
        "--disable-backgrounding-occluded-windows",
        "--use-fake-device-for-media-stream=fps=20",
        "--use-fake-ui-for-media-stream",
        "--autoplay-policy=no-user-gesture-required",
        "--disable-features=WebRtcHideLocalIpsWithMdns,MediaRouter,OptimizationHints",
        "--window-size=400,300",
    ]
    .map(str::to_owned)
    .to_vec();
    args.push(format!("--user-data-dir={}", profile.display()));
    if !origins.is_empty() {
        args.push(format!("--unsafely-treat-insecure-origin-as-secure={}", origins.join(",")));
    }
    let wanted = json!({
        "browserName": "chrome",
        "goog:chromeOptions": {"args": args, "binary": chromium},
        "goog:loggingPrefs": {"browser": "ALL"},
    });
    match wanted {
        Value::Object(map) => Ok(map),
        _ => bail!("capabilities are an object"),
    }
}

/// Chromedriver's own command for the page's console.
#[derive(Debug)]
struct ConsoleLog;

impl WebDriverCompatibleCommand for ConsoleLog {
    fn endpoint(
        &self,
        base: &reqwest::Url,
        session: Option<&str>,
    ) -> Result<reqwest::Url, <reqwest::Url as std::str::FromStr>::Err> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _url: &reqwest::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}
