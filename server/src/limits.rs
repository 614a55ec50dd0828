//! The bounds and times of an HTTP server, by name, with their defaults.

use crate::http1::HeadLimits;
use std::time::Duration;

/// Bounds of an HTTP server. Those of the loop below it (connections, fibers, buffers) are `sws_runtime::Limits`.
///
/// ```
/// use std::time::Duration;
/// use sws::HttpLimits;
///
/// let limits = HttpLimits { idle_timeout: Duration::from_secs(20), ..HttpLimits::default() };
/// assert_eq!(limits.requests_per_turn, 32);
/// ```
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Of request heads.
    pub head: HeadLimits,
    /// Bytes of a request body that an extractor reads whole; over that it is a 413. A body read as a stream has no bound.
    pub body_bytes_max: usize,
    /// From the first byte of a head to its last; over that it is a 408.
    pub head_timeout: Duration,
    /// Without any byte of a body that a handler waits for; over that it is a 408.
    pub body_timeout: Duration,
    /// Between an answer and the next request; over that the connection is closed. Also the time a new connection has for
    /// its first byte.
    pub idle_timeout: Duration,
    /// Without progress of an answer that is being sent; over that the connection is closed.
    pub write_timeout: Duration,
    /// From a request to the end of its handler; over that it is a 503 and the handler is cancelled. A body that streams
    /// counts by its progress instead.
    pub handler_timeout: Duration,
    /// Requests of one connection in one turn of the loop; what it sent beyond is the next turn's.
    pub requests_per_turn: u32,
    /// Bytes that may wait to be sent on a connection before a streaming body waits, and pipelined requests too.
    pub output_bytes_high: usize,
    /// Bytes of a body that the handler did not read which are read and dropped to keep the connection; with more it is
    /// closed.
    pub discard_bytes_max: u64,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            head: HeadLimits::default(),
            body_bytes_max: crate::BODY_BYTES_MAX,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            handler_timeout: Duration::from_secs(60),
            requests_per_turn: 32,
            output_bytes_high: 256 * 1024,
            discard_bytes_max: 64 * 1024,
        }
    }
}
