//! Chromium, driven by WebDriver (W3C): each command is one JSON request to the program `chromedriver`.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The longest that a test waits for anything of the browser; its first start is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys that are no letters (WebDriver, 17.4.2).
pub const TAB: &str = "\u{E004}";
/// Tab while Shift is held.
pub const BACK_TAB: &str = "\u{E008}\u{E004}";
pub const ENTER: &str = "\u{E007}";

/// The key of an element's name in JSON (WebDriver, 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with a new, empty profile. Dropped, it ends.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: PathBuf,
}

/// The path of an installed program.
fn installed(name: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: run .ci/browser"))
}

impl Browser {
    pub fn start() -> Browser {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let chromium = installed("chromium");
        let mut driver = Command::new(installed("chromedriver"))
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut lines = BufReader::new(driver.stdout.take().expect("it was piped")).lines();
        let port = lines.find_map(|line| {
            let line = line.expect("it prints text");
            line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("chromium-{}-{number}", std::process::id()));
        let port = port.expect("it says where it listens");
        let mut browser = Browser { driver, port, session: String::new(), profile };
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", browser.profile.display()),
        ];
        let answer = browser.ask(
            "POST",
            "",
            &json!({ "capabilities": { "alwaysMatch": {
                "goog:chromeOptions": { "binary": chromium, "args": args },
                "goog:loggingPrefs": { "browser": "ALL" },
            } } }),
        );
        browser.session = answer["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    /// The window that the browser opened at its start.
    pub fn first_window(&self) -> Window<'_> {
        Window { browser: self, handle: self.ask("GET", "/window", &Value::Null) }
    }

    pub fn open_window(&self) -> Window<'_> {
        let opened = self.ask("POST", "/window/new", &json!({ "type": "window" }));
        Window { browser: self, handle: opened["handle"].clone() }
    }

    /// What a command of this session answers.
    fn ask(&self, method: &str, command: &str, body: &Value) -> Value {
        let (status, answer) = self.send(method, command, body).expect("chromedriver answers");
        assert_eq!(status, 200, "{method} {command} {body}: {answer}");
        answer
    }

    fn send(&self, method: &str, command: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let separator = if self.session.is_empty() { "" } else { "/" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        write!(
            stream,
            "{method} /session{separator}{}{command} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            self.session,
            body.len(),
        )?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let mut len = 0;
        while line.trim_end() != "" {
            line.clear();
            reader.read_line(&mut line)?;
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                len = value.trim().parse().expect("a length");
            }
        }
        let mut answer = vec![0; len];
        reader.read_exact(&mut answer)?;
        Ok((status, serde_json::from_slice::<Value>(&answer)?["value"].take()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its session, and is the driver's to end; one that is gone needs no more.
        if !self.session.is_empty() {
            let _ = self.send("DELETE", "", &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// A window of a browser.
pub struct Window<'a> {
    browser: &'a Browser,
    handle: Value,
}

impl Window<'_> {
    fn ask(&self, method: &str, command: &str, body: Value) -> Value {
        self.browser.ask("POST", "/window", &json!({ "handle": self.handle }));
        self.browser.ask(method, command, &body)
    }

    /// A command of the DevTools protocol, for what WebDriver has no words for.
    fn tell_devtools(&self, command: &str, params: Value) {
        self.ask("POST", "/goog/cdp/execute", json!({ "cmd": command, "params": params }));
    }

    /// Goes to a page, and waits until it has loaded.
    pub fn go(&self, url: &str) {
        self.ask("POST", "/url", json!({ "url": url }));
    }

    pub fn reload(&self) {
        self.ask("POST", "/refresh", json!({}));
    }

    pub fn close(self) {
        self.ask("DELETE", "/window", Value::Null);
    }

    /// The value of a JavaScript expression.
    pub fn eval(&self, expression: &str) -> Value {
        self.ask("POST", "/execute/sync", json!({ "script": format!("return {expression}"), "args": [] }))
    }

    /// Waits until a JavaScript expression has a value.
    #[track_caller]
    pub fn wait_for(&self, expression: &str, wanted: impl Into<Value>) {
        let (began, wanted) = (Instant::now(), wanted.into());
        loop {
            let value = self.eval(expression);
            if value == wanted {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{expression} is {value}, not {wanted}");
            std::thread::yield_now();
        }
    }

    /// Types on the keyboard: to the element that has the focus.
    pub fn press(&self, keys: &str) {
        let focused = self.ask("GET", "/element/active", Value::Null);
        let element = focused[ELEMENT].as_str().expect("something has the focus");
        self.ask("POST", &format!("/element/{element}/value"), json!({ "text": keys }));
    }

    /// Sets the size of the page.
    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.tell_devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Has the page see that its reader prefers light or dark.
    pub fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.tell_devtools("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    /// Takes a picture of what is seen, into the folder for the files of tests.
    pub fn screenshot(&self, name: &str) {
        let picture = self.ask("GET", "/screenshot", Value::Null);
        let bytes = decode_base64(picture.as_str().expect("a picture"));
        assert!(bytes.starts_with(b"\x89PNG"), "{name} is a picture");
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(path, bytes).expect("the folder is there");
    }

    /// The warnings and errors on the console since it was asked last.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.ask("POST", "/se/log", json!({ "type": "browser" }));
        let entries = entries.as_array().expect("entries").iter();
        let bad = entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        bad.map(|entry| entry["message"].to_string()).collect()
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.bytes().filter(|&byte| byte != b'=') {
        let value = DIGITS.iter().position(|&known| known == digit).expect("a digit of base64");
        (bits, count) = (bits << 6 | value as u32, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
