//! The example site in a real browser: what is edited shows without a reload, and what is durable outlives the server. Ignored unless
//! asked for: `just test-browser`.
//!
//! Pictures of the pages are left in the folder `tmp` of the target folder.

use crate::webdriver::{Browser, ENTER, Window};
use serde_json::json;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use sws::site::{LiveSite, LiveSiteOptions};
use sws::{Log, Running, Server};

/// A copy of the site, with the log beside it. Removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn empty() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("sws-example-site-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Folder(std::env::temp_dir().join(name))
    }

    /// One article, shown by the built-in templates.
    fn bare() -> Folder {
        let folder = Folder::empty();
        for name in ["content", "static"] {
            fs::create_dir_all(folder.0.join("site").join(name)).expect("made");
        }
        folder.write("content/first.md", "# First\n\nText.\n");
        // A browser asks for it.
        folder.write("static/favicon.ico", "");
        folder
    }

    fn new() -> Folder {
        let folder = Folder::empty();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("site"), &folder.0.join("site"));
        folder
    }

    fn serve(&self, addr: &str) -> Running {
        let (log, _) = Log::open(self.0.join("data")).expect("a log");
        let (site, report) =
            LiveSite::open(self.0.join("site"), log, LiveSiteOptions::default()).expect("a site");
        assert_eq!(report.problems, []);
        let server = Server::bind(addr).expect("the port is free");
        site.attach(&server.topics());
        server.spawn(move || site.router()).expect("it serves")
    }

    /// Writes a file in place of the old, as editors do.
    fn write(&self, name: &str, text: &str) {
        let (path, beside) = (self.0.join("site").join(name), self.0.join("new"));
        fs::write(&beside, text).expect("written");
        fs::rename(beside, path).expect("renamed");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join("site").join(name)).expect("read")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("read") {
        let (from, to) = {
            let entry = entry.expect("read");
            (entry.path(), to.join(entry.file_name()))
        };
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).expect("copied");
        }
    }
}

fn url(addr: SocketAddr, path: &str) -> String {
    format!("http://{addr}{path}")
}

const LIVE: &str = "document.getElementById('live-state').textContent";
const ARTICLE: &str = "content/group-commit/group-commit.md";

fn is_seen(text: &str) -> String {
    format!("document.getElementById('main').innerText.includes('{text}')")
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn an_edited_article_shows_without_a_reload() {
    let folder = Folder::new();
    let server = folder.serve("127.0.0.1:0");
    let browser = Browser::start();
    let window = browser.first_window();
    window.go(&url(server.addr(), "/group-commit/"));
    window.wait_for(LIVE, "live");
    window.eval("window.isTheSame = true");
    let old = folder.read(ARTICLE);
    folder.write(ARTICLE, &format!("{old}\n\nA sentence that was not there.\n"));
    window.wait_for(&is_seen("A sentence that was not there."), true);

    folder.write(ARTICLE, "---\ntitle: [oops\n---\n");
    let problems = "document.getElementById('problems').innerText";
    window.wait_for(&format!("{problems}.includes('content/group-commit/group-commit.md:2')"), true);
    window.wait_for(&is_seen("A sentence that was not there."), true);
    window.screenshot("site-problem.png");
    folder.write(ARTICLE, &format!("{old}\n\nMended.\n"));
    window.wait_for(&is_seen("Mended."), true);
    window.wait_for(problems, "");

    // What changes while the server is away shows when it is back.
    let addr = server.addr().to_string();
    server.shutdown();
    window.wait_for(LIVE, "reconnecting");
    folder.write(ARTICLE, &format!("{old}\n\nWritten in between.\n"));
    let server = folder.serve(&addr);
    window.wait_for(&is_seen("Written in between."), true);
    window.wait_for(LIVE, "live");

    fs::remove_file(folder.0.join("site").join(ARTICLE)).expect("removed");
    window.wait_for(&is_seen("This page has been removed."), true);
    // The same file again, as a checkout of another branch and back leaves it.
    folder.write(ARTICLE, &format!("{old}\n\nWritten in between.\n"));
    window.wait_for(&is_seen("This page has been removed."), false);
    window.wait_for(&is_seen("Written in between."), true);
    window.wait_for("window.isTheSame", true);
    // The browser itself says that the server was not there.
    let complaints: Vec<_> = window.complaints().into_iter().filter(|said| !said.contains("ERR_")).collect();
    assert_eq!(complaints, Vec::<String>::new());
    drop(browser);
    server.shutdown();
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn a_new_article_that_does_not_parse_says_so_where_it_is_to_be() {
    let folder = Folder::new();
    let server = folder.serve("127.0.0.1:0");
    let browser = Browser::start();
    let window = browser.first_window();
    window.go(&url(server.addr(), "/"));
    window.wait_for(LIVE, "live");
    folder.write("content/fresh.md", "---\ntitle: [oops\n---\n");
    let asked = "(() => { const asked = new XMLHttpRequest(); asked.open('GET', '/fresh/', false); asked.send(); return asked.responseText; })()";
    window.wait_for(&format!("{asked}.includes('fresh.md')"), true);
    for path in ["/", "/fresh/"] {
        window.go(&url(server.addr(), path));
        window.wait_for(LIVE, "live");
        window.wait_for(&is_seen("content/fresh.md:2"), true);
        window.screenshot(if path == "/" { "site-not-yet-index.png" } else { "site-not-yet.png" });
    }
    folder.write("content/fresh.md", "# Fresh\n\nMended.\n");
    window.wait_for(&is_seen("Mended."), true);
    window.wait_for(&is_seen("content/fresh.md"), false);
    drop(browser);
    server.shutdown();
}

/// What a page shows beside its text: a new stylesheet, site.json and base template.
#[test]
#[ignore = "needs Chromium: just test-browser"]
fn what_all_pages_share_shows_without_a_reload() {
    let folder = Folder::new();
    let server = folder.serve("127.0.0.1:0");
    let browser = Browser::start();
    let window = browser.first_window();
    window.go(&url(server.addr(), "/group-commit/"));
    window.wait_for(LIVE, "live");
    window.eval("window.isTheSame = true");
    window.eval("void (document.getElementById('find').value = 'half a word')");
    window.eval("void document.getElementById('find').focus()");

    let style = folder.read("static/style.css");
    let sheets = "document.querySelectorAll('link[rel=\"stylesheet\"]').length";
    for width in ["7px", "9px"] {
        folder.write("static/style.css", &format!("{style}\nfooter.foot {{ border-top: {width} solid }}\n"));
        let border = "getComputedStyle(document.querySelector('footer.foot')).borderTopWidth";
        window.wait_for(border, width);
        window.wait_for(sheets, 1);
    }
    let config = folder.read("site.json");
    folder.write("site.json", &config.replacen("\"sws\"", "\"Another name\"", 1));
    window.wait_for("document.querySelector('header.top').innerText.includes('Another name')", true);
    window.wait_for("document.title.includes('Another name')", true);
    let base = folder.read("templates/base.html");
    folder.write("templates/base.html", &base.replacen("served by sws", "served anew", 1));
    window.wait_for("document.querySelector('footer.foot').innerText.includes('served anew')", true);

    // What the reader and the script have put there is there.
    window.wait_for(LIVE, "live");
    window.wait_for(
        "[document.activeElement.id, document.getElementById('find').value]",
        json!(["find", "half a word"]),
    );
    window.wait_for("document.getElementById('theme').hidden", false);
    let theme = "document.documentElement.dataset.theme || ''";
    window.eval("void document.getElementById('theme').click()");
    window.wait_for(&format!("['dark', 'light'].includes({theme})"), true);
    window.wait_for("window.isTheSame", true);
    assert_eq!(window.complaints(), Vec::<String>::new());
    drop(browser);
    server.shutdown();
}

/// The same with the built-in templates and their script.
#[test]
#[ignore = "needs Chromium: just test-browser"]
fn the_built_in_theme_follows_what_all_pages_share() {
    let folder = Folder::bare();
    let server = folder.serve("127.0.0.1:0");
    let browser = Browser::start();
    let window = browser.first_window();
    window.go(&url(server.addr(), "/first/"));
    window.eval("window.isTheSame = true");
    folder.write("static/theme.css", "footer { border-top: 7px solid }");
    window.wait_for("getComputedStyle(document.querySelector('footer')).borderTopWidth", "7px");
    folder.write("site.json", "{ \"title\": \"Another name\" }");
    window.wait_for("document.querySelector('header').innerText.includes('Another name')", true);
    window.wait_for("document.querySelector('footer').innerText.includes('Another name')", true);
    window.wait_for("document.title", "First · Another name");
    window.wait_for("window.isTheSame", true);
    assert_eq!(window.complaints(), Vec::<String>::new());
    drop(browser);
    server.shutdown();
}

fn say(window: &Window<'_>, words: &str) {
    window.eval("void document.getElementById('chat-text').focus()");
    window.press(words);
    window.press(ENTER);
    let sent =
        "[document.getElementById('chat-text').value, document.getElementById('chat-note').textContent]";
    window.wait_for(sent, json!(["", ""]));
}

const SAID: &str = "[...document.querySelectorAll('#chat-log .said p')].map((found) => found.textContent)";

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn the_chat_goes_on_after_a_restart() {
    let folder = Folder::new();
    let server = folder.serve("127.0.0.1:0");
    let browser = Browser::start();
    let (ada, bob) = (browser.first_window(), browser.open_window());
    for (window, name) in [(&ada, "Ada"), (&bob, "Bob")] {
        window.go(&url(server.addr(), "/chat/"));
        window.wait_for("document.getElementById('chat-state').textContent", "connected");
        window.eval("void (document.getElementById('chat-name').value = '')");
        window.eval("void document.getElementById('chat-name').focus()");
        window.press(name);
    }
    ada.wait_for("document.getElementById('chat-count').textContent", "2 are here");
    say(&ada, "Hello, Bob!");
    say(&bob, "<b>Hello</b>");
    let said = json!(["AdaHello, Bob!", "Bob<b>Hello</b>"]);
    ada.wait_for(SAID, said.clone());
    bob.wait_for(SAID, said);

    let addr = server.addr().to_string();
    server.shutdown();
    bob.wait_for("document.getElementById('chat-state').textContent.startsWith('disconnected')", true);
    let server = folder.serve(&addr);
    for window in [&ada, &bob] {
        window.wait_for("document.getElementById('chat-state').textContent", "connected");
    }
    say(&bob, "Again");
    let said = json!(["AdaHello, Bob!", "Bob<b>Hello</b>", "BobAgain"]);
    ada.wait_for(SAID, said.clone());
    bob.wait_for(SAID, said.clone());
    bob.screenshot("site-chat.png");
    bob.reload();
    bob.wait_for(SAID, said);
    drop(browser);
    server.shutdown();
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn the_live_log_resumes_without_a_gap() {
    let folder = Folder::new();
    let server = folder.serve("127.0.0.1:0");
    let browser = Browser::start();
    let window = browser.first_window();
    window.go(&url(server.addr(), "/live-log/"));
    let click = |id: &str| drop(window.eval(&format!("void document.getElementById('log-{id}').click()")));
    let acked = |offset: &str| window.wait_for("document.getElementById('log-acked').textContent", offset);
    let seen = |offset: &str| window.wait_for("document.getElementById('log-seen').textContent", offset);
    window.wait_for("document.getElementById('log-state').textContent", "following");
    click("produce");
    acked("0");
    seen("0");
    click("follow");
    window.wait_for("document.getElementById('log-state').textContent", "disconnected");
    for offset in ["1", "2", "3"] {
        click("produce");
        acked(offset);
    }
    seen("0");
    click("follow");
    seen("3");
    window.wait_for("document.getElementById('log-check').textContent", "offsets 0 to 3: no gap, no repeat");
    let came = "[...document.querySelectorAll('#log-rows td:last-child')].map((cell) => cell.textContent)";
    window.wait_for(came, json!(["replayed", "replayed", "replayed", "live"]));
    window.screenshot("site-live-log.png");
    assert_eq!(window.complaints(), Vec::<String>::new());
    drop(browser);
    server.shutdown();
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn every_page_fits_and_complains_of_nothing() {
    let folder = Folder::new();
    let server = folder.serve("127.0.0.1:0");
    let browser = Browser::start();
    let window = browser.first_window();
    let addr = server.addr();
    let articles = fs::read_dir(folder.0.join("site/content")).expect("read");
    let names = articles.map(|entry| entry.expect("read").file_name().to_string_lossy().into_owned());
    let mut paths: Vec<String> = names.map(|name| format!("/{name}/")).collect();
    paths.extend(["/", "/tags/", "/search/?q=ring", "/-/admin"].map(str::to_owned));
    assert!(paths.len() > 15, "{paths:?}");
    for path in &paths {
        window.resize(390, 844);
        window.go(&url(addr, path));
        window.wait_for("document.documentElement.scrollWidth <= innerWidth", true);
        assert_eq!(window.complaints(), Vec::<String>::new(), "{path}");
        let name = path.trim_matches('/').replace(['/', '?'], "-");
        for (size, width, height) in [("phone", 390, 844), ("desktop", 1280, 800)] {
            for scheme in ["light", "dark"] {
                window.resize(width, height);
                window.prefer(scheme);
                window.wait_for("innerWidth", width);
                window.screenshot(&format!("site-{name}-{size}-{scheme}.png"));
            }
        }
    }
    drop(browser);
    server.shutdown();
}
