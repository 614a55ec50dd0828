//! A chat for browsers: rooms that know who is there and keep what was said last. A member costs its connection's slot, its name and
//! no fiber; topics do the rest.
//!
//! `cargo run --release -p examples --example chat -- --listen 127.0.0.1:8080`, then open `http://127.0.0.1:8080/` in several windows
//!
//! A socket at `/rooms/{room}?name={name}` is a member. What it says are texts; what it hears are JSON texts with an `event`:
//!
//! | event | meaning |
//! |---|---|
//! | `said` | `member` said `text`; `stamp`, in microseconds since 1970, names the message |
//! | `join`, `leave` | `member` has come, or has left |
//! | `here` | `members` are in the room: sent behind what the room kept, so it ends the beginning |
//! | `busy` | what was said last was not passed on |
//!
//! A name is not a login: two sockets of one name are one member with two windows.

#![forbid(unsafe_code)]

use serde::Deserialize;
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use sws::websocket::{Message, Socket, SocketHandler, SocketOptions, WebSocketUpgrade};
use sws::{Context, Next, Path, Query, Response, Router, ServeError, Server, TopicOptions, topics};

/// Messages that a room keeps for those who come later.
const HISTORY: usize = 50;
const NAME_CHARS_MAX: usize = 24;
/// Members of a room: each hears of every other's coming and going.
const MEMBERS_MAX: usize = 500;
/// Bytes of what is said at once; the page allows 500 letters.
const TEXT_BYTES_MAX: usize = 2048;
/// Closes a socket whose names do not fit. Browsers do not tell a page why a handshake failed, but why a socket was closed.
const CLOSE_NAME: u16 = 4000;

/// A socket's own data.
struct Member {
    topic: String,
    name: String,
}

impl SocketHandler for Member {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        if !is_name(&self.name) || !self.topic.strip_prefix("room/").is_some_and(is_name) {
            return socket.close(CLOSE_NAME, "Names have 1 to 24 letters, digits, spaces, and - _ . '");
        }
        if topics().member_count(&self.topic) >= MEMBERS_MAX {
            return socket.close(1013, "The room is full.");
        }
        if socket.join(&self.topic, &self.name).is_err() {
            return socket.close(1013, "There are too many rooms.");
        }
        let members: Vec<String> =
            topics().members(&self.topic).iter().map(|(name, _)| name.to_string()).collect();
        // A socket that is closing has nobody who waits for it.
        let _ = socket.send(&json!({ "event": "here", "members": members }).to_string());
    }

    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        let text = message.as_text().unwrap_or_default().trim();
        // What is kept for others to come is what can be seen.
        if text.is_empty() || text.contains(|letter: char| letter.is_control() && !"\n\t".contains(letter)) {
            return;
        }
        let said = json!({ "event": "said", "member": self.name, "text": text, "stamp": stamp() });
        if socket.publish(&self.topic, said.to_string()).is_err() {
            let _ = socket.send(r#"{"event":"busy"}"#);
        }
    }
}

/// Whether a room or a member may be called so: something that can be seen, and nothing that changes what stands beside it.
fn is_name(name: &str) -> bool {
    let fits = |letter: char| letter.is_alphanumeric() || " -_.'".contains(letter);
    name.chars().count() <= NAME_CHARS_MAX
        && name.chars().all(fits)
        && name.chars().any(char::is_alphanumeric)
        && name.trim() == name
}

/// Microseconds since 1970, and more than at any call before.
fn stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    let last = LAST.update(Ordering::Relaxed, Ordering::Relaxed, |last| now.max(last + 1));
    now.max(last + 1)
}

#[derive(Deserialize)]
struct Entry {
    name: String,
}

fn enter(Path(room): Path<String>, Query(entry): Query<Entry>, upgrade: WebSocketUpgrade) -> Response {
    let options = SocketOptions {
        message_bytes_max: TEXT_BYTES_MAX,
        frame_bytes_max: TEXT_BYTES_MAX,
        ..SocketOptions::default()
    };
    let member = Member { topic: format!("room/{room}"), name: entry.name };
    // Other sites' pages may not speak for their visitors.
    upgrade.same_origin().options(options).accept(member)
}

/// A browser loads nothing for the page but what is served here, and runs no script that stands in it.
fn restrict(ctx: &mut Context, next: Next<'_>) -> Response {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
    next.run(ctx)
        .with_header("content-security-policy", policy)
        .with_header("x-content-type-options", "nosniff")
}

fn router() -> Router {
    Router::new()
        .get("/", || Response::html(include_str!("page.html")))
        .get("/chat.css", || Response::with_type("text/css; charset=utf-8", include_str!("chat.css")))
        .get("/chat.js", || Response::with_type("text/javascript; charset=utf-8", include_str!("chat.js")))
        .get("/rooms/{room}", enter)
        .layer(restrict)
}

fn main() -> Result<(), ServeError> {
    let server = Server::bind(examples::listen_addr())?;
    server.topics().configure("room/*", TopicOptions::default().history(HISTORY).presence(true));
    println!("listening on http://{}", server.addr());
    server.serve(router)
}
