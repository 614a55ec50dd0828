//! The bounds and times of a socket, by name, with their defaults.

use super::codec::DeflateConfig;
use std::time::Duration;
use sws_runtime::Overflow;

/// Bounds and times of one socket, set by [`WebSocketUpgrade::options`](super::WebSocketUpgrade::options).
///
/// ```
/// use sws::runtime::Overflow;
/// use sws::websocket::SocketOptions;
///
/// let ticker = SocketOptions {
///     message_bytes_max: 4096,
///     overflow: Overflow::KeepLatest,
///     ..SocketOptions::default()
/// };
/// assert_eq!(ticker.ping_interval.unwrap().as_secs(), 30);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SocketOptions {
    /// Bytes of a message from the peer, after it is inflated; over that the socket is closed with 1009. 1 MiB.
    pub message_bytes_max: usize,
    /// Bytes of a frame from the peer; over that the socket is closed with 1009. 1 MiB.
    pub frame_bytes_max: usize,
    /// Bytes that may wait to be sent to the peer. 1 MiB. The kernel holds more: up to 64 KB unsent where `overflow` drops or replaces
    /// messages, up to megabytes otherwise, and what the peer's own kernel has.
    pub output_bytes_max: usize,
    /// What becomes of a message over that. By default the socket is closed with 1013, so that no peer misses a message without
    /// being told.
    pub overflow: Overflow,
    /// A socket from which nothing came for so long (a tenth more or less, so that not all are asked at once) is pinged; `None` for
    /// never. 30 seconds.
    pub ping_interval: Option<Duration>,
    /// A socket that shows no sign of life for so long after a ping is closed. So is one that takes none of its output between two
    /// looks, which are a `ping_interval` apart (a minute without pings), and for so long after them. A peer that has more to read of
    /// what it was sent than it reads in this time does not come to the ping: for such, raise it. 20 seconds.
    pub pong_timeout: Duration,
    /// How long a close frame of ours may wait for the peer's. 5 seconds.
    pub close_timeout: Duration,
    /// Compression of messages (RFC 7692), for peers that offer it; `None`, the default, for none.
    pub deflate: Option<DeflateConfig>,
}

impl Default for SocketOptions {
    fn default() -> SocketOptions {
        SocketOptions {
            message_bytes_max: 1024 * 1024,
            frame_bytes_max: 1024 * 1024,
            output_bytes_max: 1024 * 1024,
            overflow: Overflow::Close,
            ping_interval: Some(Duration::from_secs(30)),
            pong_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            deflate: None,
        }
    }
}

/// Bytes of messages that came in part only, of all sockets of a worker; over that a socket is closed with 1013.
pub(super) const PARTIAL_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Beyond that there is still room for small parts, so that few peers with large ones lock nobody else out.
pub(super) const PARTIAL_BYTES_SMALL: usize = 16 * 1024;
pub(super) const PARTIAL_BYTES_RESERVE: usize = 32 * 1024 * 1024;
/// Different kinds of sockets (handler type and options) of one worker.
pub(super) const ROUTES_MAX: usize = 1024;
/// Bytes of the memory that all messages of usual size share; what is larger goes to the worker's spares.
pub(super) const SCRATCH_BYTES_KEPT: usize = 256 * 1024;
/// Bytes of the memory that messages are inflated into, which is kept for the next.
pub(super) const INFLATED_BYTES_KEPT: usize = 2 * 1024 * 1024;
/// Bytes of received messages that wait for a straight-line handler; over that its socket's input pauses.
pub(super) const INBOX_BYTES_MAX: usize = 64 * 1024;
/// Received messages that wait for a straight-line handler, likewise.
pub(super) const INBOX_MESSAGES_MAX: usize = 64;
/// Bytes of compression contexts of all sockets of a worker; once there are so many, further sockets get none of their own.
pub(super) const CONTEXT_BYTES_MAX: usize = 64 * 1024 * 1024;
