//! `/-/live`: what changes, over Server-Sent Events and WebSocket.

use super::filter::Filter;
use super::hub::{Hub, Member, To, change_event, message, problem_event};
use super::pages::NO_CACHE;
use super::shared::Shared;
use crate::context::Context;
use crate::extract::FromRequest;
use crate::into_response::IntoResponse;
use crate::response::Response;
use crate::sse::{Event, Sse, SseOptions};
use crate::websocket::{Socket, SocketHandler, WebSocketUpgrade};
use http::StatusCode;
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use std::sync::Arc;
use std::time::Duration;
use sws_runtime::sleep;

/// How long is waited for a site that is just beginning, and how often it is looked at.
const READY_WAIT: Duration = Duration::from_secs(5);
const READY_PAUSE: Duration = Duration::from_millis(5);
/// How long a browser waits before it comes again.
const RETRY: Duration = Duration::from_secs(1);

/// The script of the built-in theme.
const SCRIPT: &str = include_str!("live.js");

pub(super) fn script() -> Response {
    Response::with_type("text/javascript; charset=utf-8", SCRIPT).with_header(CACHE_CONTROL, NO_CACHE)
}

pub(super) fn live(shared: &Arc<Shared>, ctx: &mut Context) -> Response {
    if !wait_ready(shared) {
        return Response::reason(StatusCode::SERVICE_UNAVAILABLE).with_header(RETRY_AFTER, "1");
    }
    let query = ctx.request().query().unwrap_or_default();
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let filter = Filter::of_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let named = pairs.iter().find(|(name, _)| name == "version").and_then(|(_, value)| value.parse().ok());
    let shared = Arc::clone(shared);
    if ctx.request().is_upgrade() {
        return match WebSocketUpgrade::from_request(ctx) {
            Ok(upgrade) => upgrade.accept(LiveSocket { shared, filter, since: named }),
            Err(error) => error.into_response(),
        };
    }
    let Ok(sse) = Sse::from_request(ctx);
    let since = sse.last_sequence().or(named);
    sse.options(SseOptions { retry: Some(RETRY), ..SseOptions::default() }).open(move |stream| {
        let sender = stream.sender();
        begin(&shared, filter, since, To::Stream(sender), |greeting| {
            // A new stream has room; one that has none is closed by its policy.
            let _ = stream.send(greeting.event());
        });
    })
}

fn wait_ready(shared: &Shared) -> bool {
    let mut waited = Duration::ZERO;
    while !shared.is_ready() {
        if waited >= READY_WAIT || sleep(READY_PAUSE).is_err() {
            return false;
        }
        waited += READY_PAUSE;
    }
    true
}

/// What a subscriber is told first.
enum Greeting<'a> {
    /// The version of the site, which is what the subscriber has from here on.
    Version(u64),
    /// Not all that was missed is known any more.
    Missed,
    /// Of what was wrong when the subscriber was here last, nothing may be any more.
    NothingWrong,
    Change(&'a super::history::Told),
    Problem(&'a super::shared::Shown),
}

impl Greeting<'_> {
    fn event(&self) -> Event<'_> {
        match self {
            Greeting::Version(version) => {
                Event::data(format!(r#"{{"version":{version}}}"#)).event("version").id(version.to_string())
            }
            Greeting::Missed => Event::data("{}").event("missed"),
            Greeting::NothingWrong => Event::data(r#"{"file":""}"#).event("solved"),
            Greeting::Change(told) => change_event(told),
            Greeting::Problem(shown) => problem_event(shown),
        }
    }

    fn message(&self) -> String {
        match self {
            Greeting::Version(version) => message("version", &format!(r#"{{"version":{version}}}"#)),
            Greeting::Missed => message("missed", "{}"),
            Greeting::NothingWrong => message("solved", r#"{"file":""}"#),
            Greeting::Change(told) => message("change", &told.json),
            Greeting::Problem(shown) => message("problem", &shown.json),
        }
    }
}

/// Tells a subscriber what it missed and what is wrong, and has it told what follows, without a gap.
fn begin(shared: &Shared, filter: Filter, since: Option<u64>, to: To, mut greet: impl FnMut(Greeting<'_>)) {
    let state = shared.state();
    if let Some(since) = since {
        match state.history.since(since, &filter) {
            Some(told) => told.for_each(|told| greet(Greeting::Change(told))),
            None => greet(Greeting::Missed),
        }
        greet(Greeting::NothingWrong);
    }
    greet(Greeting::Version(state.history.version()));
    for shown in state.problems.values().filter(|shown| shown.is_for(&filter)) {
        greet(Greeting::Problem(shown));
    }
    let after = state.sequence;
    drop(state);
    Hub::of(shared.id).add(Member { after, filter, to });
}

struct LiveSocket {
    shared: Arc<Shared>,
    filter: Filter,
    since: Option<u64>,
}

impl SocketHandler for LiveSocket {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        let to = To::Socket(socket.sender());
        begin(&self.shared, std::mem::take(&mut self.filter), self.since, to, |greeting| {
            // As above.
            let _ = socket.send(&greeting.message());
        });
    }
}
