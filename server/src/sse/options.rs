//! The bounds and times of a stream, by name, with their defaults.

use std::time::Duration;
use sws_runtime::Overflow;

/// Bounds and times of one stream, set by [`Sse::options`](super::Sse::options).
///
/// ```
/// use std::time::Duration;
/// use sws::sse::SseOptions;
///
/// let options = SseOptions { retry: Some(Duration::from_secs(2)), ..SseOptions::default() };
/// assert_eq!(options.keep_alive, Some(Duration::from_secs(15)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseOptions {
    /// A stream on which nothing was sent for so long gets a comment, which keeps proxies from giving it up; `None` for never.
    pub keep_alive: Option<Duration>,
    /// How long the client is asked to wait before it comes again; `None` leaves it to the client.
    pub retry: Option<Duration>,
    /// Bytes that may wait to be sent, the head of the answer included.
    pub output_bytes_max: usize,
    /// What becomes of an event over that. By default the stream is closed: the client comes again, and says by `Last-Event-ID`
    /// what it has.
    pub overflow: Overflow,
    /// A client that takes nothing of what waits for it for so long is given up, within twice this time. One that takes some of it never
    /// is.
    pub write_timeout: Duration,
}

impl Default for SseOptions {
    fn default() -> SseOptions {
        SseOptions {
            keep_alive: Some(Duration::from_secs(15)),
            retry: None,
            output_bytes_max: 1024 * 1024,
            overflow: Overflow::Close,
            write_timeout: Duration::from_secs(30),
        }
    }
}
