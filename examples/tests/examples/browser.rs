//! The pages of the examples in a real browser. Ignored unless asked for, since it needs Chromium: `just test-browser`.
//!
//! Pictures of the pages are left in the folder `tmp` of the target folder.

use crate::program::Server;
use crate::webdriver::{BACK_TAB, Browser, ENTER, TAB, Window};
use serde_json::json;

/// The texts of all elements that a selector finds.
fn texts(selector: &str) -> String {
    format!("[...document.querySelectorAll('{selector}')].map((found) => found.textContent)")
}

/// Fills in the form of the chat and enters, by the keyboard alone.
fn enter(window: &Window<'_>, server: &Server, name: &str) {
    window.go(&format!("http://{}/", server.addr));
    window.wait_for("document.activeElement.id", "name");
    window.press(name);
    window.press(TAB);
    window.wait_for("document.activeElement.id", "room");
    window.press(ENTER);
    window.wait_for("document.getElementById('status').textContent", format!("Connected as {name}"));
    window.wait_for("document.activeElement.id", "text");
}

fn say(window: &Window<'_>, words: &str) {
    window.press(words);
    window.press(ENTER);
    window.wait_for("document.getElementById('text').value", "");
}

/// Leaves pictures of a page at the sizes of a desk and of a phone, light and dark; it must fit each time.
fn picture(window: &Window<'_>, name: &str, fits: &str) {
    for (size, width, height) in [("desktop", 1280, 800), ("phone", 360, 640)] {
        for scheme in ["light", "dark"] {
            window.resize(width, height);
            window.prefer(scheme);
            window.wait_for("innerWidth", width);
            window.wait_for(fits, true);
            window.screenshot(&format!("{name}-{size}-{scheme}.png"));
        }
    }
}

/// Whether the chat is no wider than its window, nothing in it lies outside, and the end of its log is in sight.
const FITS: &str = "log.scrollHeight - log.scrollTop - log.clientHeight < 2 && document.documentElement.scrollWidth <= innerWidth && [...document.querySelectorAll('.chat > *, .chat button, .chat input')].every((part) => { const { left, right, bottom } = part.getBoundingClientRect(); return left >= 0 && right <= innerWidth && bottom <= innerHeight; })";

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn chat_page() {
    let server = Server::start("chat");
    let browser = Browser::start();
    let ada = browser.first_window();
    enter(&ada, &server, "Ada");
    let bob = browser.open_window();
    enter(&bob, &server, "Bob");
    ada.wait_for(&texts("#members li"), json!(["Ada (you)", "Bob"]));
    bob.wait_for(&texts("#members li"), json!(["Ada", "Bob (you)"]));
    ada.wait_for(&texts("#count"), json!(["Here: 2"]));
    ada.wait_for(&texts(".note"), json!(["Ada is here.", "Bob is here."]));

    say(&ada, "Hello, Bob!");
    bob.wait_for(&texts(".said .text"), json!(["Hello, Bob!"]));
    bob.wait_for(&texts(".said .by"), json!(["Ada"]));
    // What looks like HTML is text.
    say(&bob, "<img src=x onerror=alert(1)> & <b>bold</b>");
    let said = json!(["Hello, Bob!", "<img src=x onerror=alert(1)> & <b>bold</b>"]);
    for window in [&ada, &bob] {
        window.wait_for(&texts(".said .text"), said.clone());
        window.wait_for("document.querySelectorAll('#log img, #log b').length", 0);
    }

    let cy = browser.open_window();
    enter(&cy, &server, "Cy");
    cy.wait_for(&texts(".said .text"), said.clone());
    cy.wait_for(&texts("#members li"), json!(["Ada", "Bob", "Cy (you)"]));
    // A page that is loaded again is where it was.
    cy.reload();
    cy.wait_for("document.getElementById('status').textContent", "Connected as Cy");
    cy.wait_for(&texts(".said .text"), said.clone());
    cy.wait_for("document.activeElement.id", "text");
    cy.close();
    ada.wait_for(&texts("#count"), json!(["Here: 2"]));
    ada.wait_for(&format!("{}.at(-1)", texts(".note")), "Cy has left.");

    // Everything is reached by the keyboard: from the field for messages forth to its button, and back to the one that leaves.
    bob.press(TAB);
    bob.wait_for("document.activeElement.textContent", "Send");
    for reached in ["text", "log", "members", "leave"] {
        bob.press(BACK_TAB);
        bob.wait_for("document.activeElement.id", reached);
    }
    bob.press(ENTER);
    bob.wait_for("document.activeElement.id", "name");
    ada.wait_for(&texts("#members li"), json!(["Ada (you)"]));
    assert_eq!((ada.complaints(), bob.complaints()), (vec![], vec![]));
    drop(browser);
    server.stop();
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn chat_page_says_why_a_name_is_refused() {
    let server = Server::start("chat");
    let browser = Browser::start();
    let window = browser.first_window();
    window.go(&format!("http://{}/", server.addr));
    window.press("<Ada>");
    window.press(ENTER);
    let refusal = "Names have 1 to 24 letters, digits, spaces, and - _ . '";
    window.wait_for("document.getElementById('refusal').textContent", refusal);
    window.wait_for("document.activeElement.id", "name");
    assert_eq!(window.complaints(), Vec::<String>::new());
    drop(browser);
    server.stop();
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn chat_page_comes_back_by_itself() {
    let server = Server::start("chat");
    let (browser, addr) = (Browser::start(), server.addr);
    let window = browser.first_window();
    enter(&window, &server, "Ada");
    say(&window, "before");
    window.wait_for(&texts(".said .text"), json!(["before"]));
    // What the room kept comes again with a new connection, and is not shown again.
    window.eval("socket.close()");
    window.wait_for(&texts(".note"), json!(["Ada is here.", "Ada is here."]));
    window.wait_for(&texts(".said .text"), json!(["before"]));
    server.stop();
    window.wait_for("document.getElementById('chat').classList.contains('lost')", true);
    // What is typed meanwhile stays where it is.
    window.press("after");
    window.press(ENTER);
    window.wait_for("document.getElementById('text').value", "after");

    let server = Server::start_on("chat", addr);
    window.wait_for("document.getElementById('status').textContent", "Connected as Ada");
    window.press(ENTER);
    window.wait_for(&texts(".said .text"), json!(["before", "after"]));
    drop(browser);
    server.stop();
}

/// Everything is in sight, whoever says what.
#[test]
#[ignore = "needs Chromium: just test-browser"]
fn chat_page_fits() {
    let server = Server::start("chat");
    let browser = Browser::start();
    let ada = browser.first_window();
    ada.go(&format!("http://{}/", server.addr));
    picture(&ada, "chat-door", FITS);
    enter(&ada, &server, "Ada");
    let others: Vec<Window<'_>> = ["Bob", "Grace H.", "Ken", "Margaret", "Радиа", "ليلى"]
        .into_iter()
        .map(|name| {
            let window = browser.open_window();
            enter(&window, &server, name);
            say(&window, "Good evening.");
            window
        })
        .collect();
    say(
        &ada,
        "What a long message does: it goes over several lines, whether or not there-are-spaces-in-it-to-break-at-and-however-narrow-the-window-may-be.",
    );
    say(&others[5], "مساء الخير");
    say(
        &others[0],
        "https://example.invalid/a/very/long/address/without/any/space/which/has/to/be/broken/somewhere",
    );
    ada.wait_for(&format!("{}.length", texts(".said")), 9);
    picture(&ada, "chat", FITS);
    // The keyboard of a phone takes half of its screen.
    ada.resize(360, 320);
    ada.wait_for("innerHeight", 320);
    ada.wait_for(FITS, true);
    drop(browser);
    server.stop();
}

/// Each page of the station's site loads with all that it needs.
#[test]
#[ignore = "needs Chromium: just test-browser"]
fn station_loads_without_errors() {
    let server = Server::start("static_site");
    let browser = Browser::start();
    let window = browser.first_window();
    // Each page, and what its script shows when it has loaded what it needs.
    let pages = [
        ("home", "/", "document.querySelector('#day-plot svg') !== null"),
        ("tides", "/tides/", "document.querySelector('caption').textContent.includes('of 1411 turns')"),
        (
            "records",
            "/records/",
            "document.getElementById('record-note').textContent.includes('answered a range request')",
        ),
        ("station", "/station/", "document.querySelector('h1').textContent === 'The station'"),
    ];
    for (name, path, shown) in pages {
        window.go(&format!("http://{}{path}", server.addr));
        window.wait_for(shown, true);
        window.wait_for(
            "[...document.images].every((image) => image.complete && image.naturalWidth > 0)",
            true,
        );
        assert_eq!(window.complaints(), Vec::<String>::new(), "{path}");
        window.screenshot(&format!("station-{name}.png"));
    }
    drop(browser);
    server.stop();
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn dashboard_page() {
    let server = Server::start("dashboard_sse");
    let (browser, addr) = (Browser::start(), server.addr);
    let url = format!("http://{addr}/");
    let first = browser.first_window();
    first.go(&url);
    first.wait_for("document.getElementById('state').textContent", "live");
    let second = browser.open_window();
    second.go(&url);
    first.wait_for("document.getElementById('viewers').textContent", "2");
    second.close();
    picture(&first, "dashboard", "document.documentElement.scrollWidth <= innerWidth");
    assert_eq!(first.complaints(), Vec::<String>::new());

    server.stop();
    first.wait_for("document.getElementById('state').textContent", "reconnecting");
    let server = Server::start_on("dashboard_sse", addr);
    first.wait_for("document.getElementById('state').textContent", "live");
    drop(browser);
    server.stop();
}
