//! What the sockets of a worker hold at one moment.

use super::sockets::Sockets;
use sws_runtime::find_local;

/// What the sockets of a worker hold. When all of them have ended, everything but the panics is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketStats {
    /// Sockets, those included that are closing.
    pub sockets: usize,
    /// Messages that came in part.
    pub partial_messages: usize,
    /// Their memory, in bytes.
    pub partial_bytes: usize,
    /// Sockets with compression contexts of their own.
    pub contexts: usize,
    /// Their memory, in bytes.
    pub context_bytes: usize,
    /// Sockets that a [`Sender`](super::Sender) was made for.
    pub senders: usize,
    /// Callbacks that panicked.
    pub panics: u64,
}

/// Counts the sockets of the worker on whose thread it is called; elsewhere there are none.
///
/// ```
/// use sws::websocket::{SocketStats, stats};
///
/// let router = sws::Router::new().get("/sockets", || stats().sockets.to_string());
/// # assert_eq!(sws::TestClient::new(router).get("/sockets").send().text(), "0");
/// # assert_eq!(stats(), SocketStats::default());
/// ```
pub fn stats() -> SocketStats {
    find_local::<Sockets>().map_or_else(SocketStats::default, |sockets| sockets.stats())
}
