//! Server-Sent Events (WHATWG HTML, section 9.2): a response that goes on, event by event.
//!
//! A handler takes [`Sse`], and opens the stream. While it is open it has no fiber, and no memory but its connection's slot; events come
//! from a topic, or from an [`EventSender`], which other fibers and threads can use.
//!
//! ```no_run
//! use sws::sse::{Event, EventStream, Sse};
//! use sws::{Response, Router, Server};
//!
//! fn ticks(sse: Sse) -> Response {
//!     let last: u64 = sse.last_event_id().and_then(|id| id.parse().ok()).unwrap_or(0);
//!     sse.open(move |stream: &mut EventStream<'_>| {
//!         let sender = stream.sender();
//!         std::thread::spawn(move || {
//!             let mut number = last;
//!             while !sender.is_closed() {
//!                 number += 1;
//!                 // What does not fit is left out: the next one tells as much.
//!                 let _ = sender.send(Event::data(number.to_string()).id(number.to_string()));
//!                 std::thread::sleep(std::time::Duration::from_secs(1));
//!             }
//!         });
//!     })
//! }
//!
//! fn main() -> Result<(), sws::ServeError> {
//!     Server::bind("127.0.0.1:8080")?.serve(|| Router::new().get("/ticks", ticks))
//! }
//! ```

mod event;
mod follow;
mod options;
mod request;
mod sender;
mod service;
mod stream;
mod streams;
mod topic;

pub use event::{Event, EventError};
pub(crate) use follow::MISSED;
pub use follow::RecordFormat;
pub use options::SseOptions;
pub use request::Sse;
pub use sender::EventSender;
pub use stream::EventStream;
pub(crate) use streams::Streams;
