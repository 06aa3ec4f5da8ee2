//! As much of the Chrome DevTools Protocol as it takes to use a page: messages of JSON, each ended
//! by a zero byte, over two pipes.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;
use tools::setup::{self, Need};
use tools::workspace::Workspace;

/// Chromium without a screen, with one page open.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    messages: u64,
    is_loaded: bool,
    /// Errors on the console, and exceptions.
    pub complaints: Vec<String>,
    /// The addresses that the page asked for.
    pub requests: Vec<String>,
    _profile: TempDir,
}

/// What may be set of the screen.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Width in pixels.
    pub width: u32,
    /// Whether the person prefers dark.
    pub is_dark: bool,
    /// Whether the page is being printed.
    pub is_paper: bool,
}

impl Browser {
    /// Opens the file at this path.
    pub fn open(page: &Path) -> Browser {
        static SET_UP: OnceLock<()> = OnceLock::new();
        SET_UP.get_or_init(|| {
            setup::ensure(&Workspace::find(), &[Need::Browser]).expect("set-up");
        });
        let profile = tempfile::tempdir().expect("a temporary folder");
        // The browser reads from descriptor 3 and writes to 4. No test takes a tenth of the time.
        let script = "exec timeout 300 chromium --headless --no-sandbox --disable-gpu \
            --disable-dev-shm-usage --disable-background-networking --remote-debugging-pipe \
            --user-data-dir=\"$0\" about:blank 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a browser");
        let mut browser = Browser {
            to: child.stdin.take().expect("a pipe"),
            from: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
            session: String::new(),
            messages: 0,
            is_loaded: false,
            complaints: Vec::new(),
            requests: Vec::new(),
            _profile: profile,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.ask(
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = attached["sessionId"].as_str().expect("a session").into();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser.load(page, "");
        browser
    }

    /// Opens the file at this path anew, at a fragment such as `#f/vintr`.
    pub fn load(&mut self, page: &Path, fragment: &str) {
        // A page that is left behind makes the next one load even if only the fragment differs.
        for url in [
            "about:blank",
            &format!("file://{}{fragment}", page.display()),
        ] {
            self.is_loaded = false;
            self.ask("Page.navigate", json!({ "url": url }));
            while !self.is_loaded {
                self.receive();
            }
        }
    }

    /// The value of an expression of JavaScript in the page.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let answer = self.ask(
            "Runtime.evaluate",
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
        );
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].clone()
    }

    /// The same, of an expression that is a string.
    #[track_caller]
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.value(expression);
        value
            .as_str()
            .map(str::to_string)
            .unwrap_or_else(|| panic!("{expression} is {value}"))
    }

    /// Goes to a view of the page, as a link to it does.
    pub fn go(&mut self, hash: &str) {
        // The view changes in a task of its own, after this one.
        self.value(&format!(
            "new Promise((done) => {{ if (location.hash === {0}) return done(); \
             addEventListener('hashchange', () => done(), {{ once: true }}); \
             location.hash = {0}; }}).then(() => 0)",
            json!(hash)
        ));
    }

    /// Types text where the cursor is.
    pub fn type_text(&mut self, text: &str) {
        self.ask("Input.insertText", json!({ "text": text }));
    }

    /// Presses a key: `Enter`, `ArrowDown`, `/`, ` `.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            " " => (32, " "),
            "ArrowUp" => (38, ""),
            "ArrowDown" => (40, ""),
            "/" => (191, ""),
            other => panic!("{other} is a key that no test has pressed yet"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.ask("Input.dispatchKeyEvent", event);
        }
    }

    /// Presses the tabulator until this expression holds.
    #[track_caller]
    pub fn tab_to(&mut self, condition: &str) {
        /// More than there are stops on any view.
        const STOPS: usize = 300;
        for _ in 0..STOPS {
            self.press("Tab");
            if self.value(condition) == json!(true) {
                return;
            }
        }
        panic!("the tabulator never comes to where {condition}");
    }

    /// Clicks at a place, its x and y.
    pub fn click(&mut self, place: &Value) {
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
            });
            self.ask("Input.dispatchMouseEvent", event);
        }
    }

    /// A picture of what is on the screen, PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let picture = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        decoded(&picture["data"])
    }

    /// The page as it would be printed, PDF.
    pub fn print(&mut self) -> Vec<u8> {
        let printed = self.ask("Page.printToPDF", json!({ "printBackground": false }));
        decoded(&printed["data"])
    }

    /// Shows the page so.
    pub fn show_on(&mut self, screen: Screen) {
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": screen.width, "height": 900, "deviceScaleFactor": 1, "mobile": false }),
        );
        let scheme = if screen.is_dark { "dark" } else { "light" };
        self.ask(
            "Emulation.setEmulatedMedia",
            json!({
                "media": if screen.is_paper { "print" } else { "screen" },
                "features": [{ "name": "prefers-color-scheme", "value": scheme }],
            }),
        );
    }

    /// Sends a command and waits for its result.
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.messages += 1;
        let id = self.messages;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("a message to the browser");
        loop {
            let message = self.receive();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    /// The next message; events are noted.
    fn receive(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from
            .read_until(0, &mut bytes)
            .expect("a message of the browser");
        assert_eq!(bytes.pop(), Some(0), "the browser has gone");
        let message: Value = serde_json::from_slice(&bytes).expect("JSON");
        let about = &message["params"];
        match message["method"].as_str() {
            Some("Page.loadEventFired") => self.is_loaded = true,
            Some("Runtime.exceptionThrown") => self.complaints.push(about.to_string()),
            Some("Runtime.consoleAPICalled") if about["type"] == "error" => {
                self.complaints.push(about.to_string());
            }
            Some("Log.entryAdded") if about["entry"]["level"] == "error" => {
                self.complaints.push(about.to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = about["request"]["url"].as_str().unwrap_or_default();
                self.requests.push(url.to_string());
            }
            _ => {}
        }
        message
    }
}

/// The bytes behind base64.
fn decoded(text: &Value) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = text.as_str().expect("base64").trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut kept) = (0u32, 0);
    for character in text.chars() {
        let digit = DIGITS.find(character).expect("a digit of base64");
        bits = bits << 6 | digit as u32;
        kept += 6;
        if kept >= 8 {
            kept -= 8;
            bytes.push((bits >> kept) as u8);
        }
    }
    bytes
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self
            .to
            .write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.child.wait();
    }
}
