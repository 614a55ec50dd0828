//! One HTTP/1.x connection.
//!
//! ```text
//!            head complete            handler returned            answer queued
//!   ┌──────┐ ─────────────▶ ┌──────────┐ ─────────────▶ ┌ respond ┐ ─────────────┐
//!   │ Head │                │ Handling │                └─────────┘              │
//!   └──┬───┘ ◀──────────────┴─────┬────┴──────────────────────────────────────── ┤ keep-alive
//!      │ reject, timeout          │ defer()                                      │ body left unread
//!      ▼                          ▼                                              ▼
//!   ┌─────────┐             ┌──────────┐ answer, from any thread           ┌────────────┐
//!   │ closing │             │ Deferred │ ────────────────▶ respond         │ Discarding │ ──▶ Head, or closing
//!   └─────────┘             └──────────┘                                   └────────────┘
//! ```
//!
//! The state is 64 bytes in the slot's workspace ([`HttpConn`]). A handler runs as a fiber inside `on_data`, over the bytes
//! where they were received. If it waits, the connection is left in `Handling`; what the peer sends meanwhile stays in the
//! slot's input, and the fiber itself finishes the request when it goes on.

mod body;
pub(crate) mod defer;
mod finish;
mod respond;
mod service;
pub(crate) mod takeover;
mod writer;

pub(crate) use service::{HttpService, Shared};

use crate::http1::{ChunkedDecoder, Head};
use http::{Method, Version};
use sws_runtime::{Conn, ConnId, FiberId, turn_time, with_conn};

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The connection is another protocol's, or gone.
    #[default]
    Gone,
    /// Between requests, or within a head.
    Head,
    /// A handler has the request.
    Handling,
    /// A deferred handle has it.
    Deferred,
    /// The answer is queued; the rest of the body is read and dropped.
    Discarding,
    /// The last answer is queued; nothing more is read.
    Closing,
}

/// What is still to come of a request's body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum BodyLeft {
    /// Nothing.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(ChunkedDecoder),
}

/// A connection's state, in its slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HttpConn {
    pub(crate) body: BodyLeft,
    /// The handler, when it waits.
    pub(crate) fiber: Option<FiberId>,
    /// Counts requests, so that a late answer finds its own only.
    pub(crate) sequence: u32,
    /// Bytes of a partial head that hold no line end, so were not worth decoding.
    pub(crate) scanned: u32,
    /// Bytes sent when the deadline was last set, to tell progress.
    pub(crate) sent_mark: u32,
    pub(crate) phase: Phase,
    pub(crate) flags: Flags,
}

const _: () = assert!(size_of::<HttpConn>() <= 64);

impl HttpConn {
    /// A request begins, inside of `on_data`.
    #[inline]
    fn begin(&mut self, body: BodyLeft) {
        self.sequence = self.sequence.wrapping_add(1);
        self.phase = Phase::Handling;
        self.body = body;
        self.scanned = 0;
        let Flags { ended, draining, .. } = self.flags;
        self.flags = Flags { inline: true, ended, draining, ..Flags::default() };
    }
}

/// Yes-or-no facts of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// The handler runs inside `on_data` and has not waited yet.
    pub(crate) inline: bool,
    /// A fiber waits for more of the body.
    pub(crate) reading: bool,
    /// A fiber waits for output to be sent.
    pub(crate) writing: bool,
    /// The body did not come in time.
    pub(crate) timed_out: bool,
    /// The peer waits for a 100 before it sends the body.
    pub(crate) expects: bool,
    /// The peer has ended its side.
    pub(crate) ended: bool,
    /// The worker drains: the next answer is the last.
    pub(crate) draining: bool,
    /// The deadline of a head is running.
    pub(crate) head_timed: bool,
    /// Requests wait until output is sent.
    pub(crate) blocked: bool,
    /// The head of the answer is queued, its body is being sent: there is no other answer any more.
    pub(crate) answering: bool,
}

/// What is to be known of a request when it is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestFacts {
    pub(crate) id: ConnId,
    pub(crate) sequence: u32,
    pub(crate) version: Version,
    pub(crate) keep_alive: bool,
    pub(crate) is_head: bool,
    /// When it came, on the worker's clock.
    pub(crate) began: std::time::Duration,
}

impl RequestFacts {
    #[inline]
    fn new(id: ConnId, sequence: u32, head: &Head) -> RequestFacts {
        RequestFacts {
            id,
            sequence,
            version: head.version(),
            keep_alive: head.keep_alive(),
            is_head: *head.method() == Method::HEAD,
            began: turn_time(),
        }
    }
}

/// Calls `f` with a connection that is still busy with the request of this number.
pub(crate) fn with_request<R>(
    id: ConnId,
    sequence: u32,
    f: impl FnOnce(&mut Conn<'_, HttpConn>) -> R,
) -> Option<R> {
    with_conn::<HttpConn, _>(id, |conn| (conn.update(|state| state.sequence) == sequence).then(|| f(conn)))
        .flatten()
}

/// Looks at a connection's state, or changes it, if it is still there.
#[inline]
pub(crate) fn update<R>(id: ConnId, f: impl FnOnce(&mut HttpConn) -> R) -> Option<R> {
    with_conn::<HttpConn, R>(id, |conn| conn.update(f))
}
