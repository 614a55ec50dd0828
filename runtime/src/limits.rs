//! The bounds of the runtime, by name, with their defaults.

use std::time::Duration;

/// Bounds of one worker. Every queue of the runtime has its bound here.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections; 0 means what the process limits allow, at most 1,048,576.
    pub connections_max: u32,
    /// Fibers that exist at once, suspended and ready.
    pub fibers_max: u32,
    /// Bytes of a fiber's stack, a multiple of the page size.
    pub stack_bytes: usize,
    /// Bytes that a connection may have received and not consumed; over that, receiving pauses.
    pub input_bytes_max: usize,
    /// Bytes that may wait to be sent on one connection.
    pub output_bytes_max: usize,
    /// What happens to a send over that.
    pub output_overflow: Overflow,
    /// Bytes of all pooled buffers together.
    pub buffer_bytes_max: usize,
    /// Bytes of pooled buffers that are kept when nobody uses them.
    pub buffer_bytes_cached_max: usize,
    /// Bytes of memory for single large messages that are kept when no message needs them.
    pub spare_bytes_max: usize,
    /// Blocks of 1 MB for large bodies.
    pub large_blocks_max: usize,
    /// Closures that other threads have handed over and that have not run.
    pub invoke_max: usize,
    /// Jobs that wait for a thread of the worker pool.
    pub submit_max: usize,
    /// Fibers resumed in one turn; the others are first in the next.
    pub fibers_per_turn: usize,
    /// Invoked closures run in one turn.
    pub invokes_per_turn: usize,
    /// Subscribers that get what was published in one turn; the others have theirs in the next.
    pub deliveries_per_turn: usize,
    /// A turn longer than this is reported with the handler that took it, at most one a second; all are counted.
    pub turn_warn: Duration,
    /// A connection from which nothing came for so long is held by a poll instead of a receive, which costs the
    /// kernel less memory. Zero turns it off.
    pub quiet_after: Duration,
    /// How long a drain waits for what runs.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 0,
            fibers_max: 65_536,
            stack_bytes: 128 * 1024,
            input_bytes_max: 64 * 1024,
            output_bytes_max: 1024 * 1024,
            output_overflow: Overflow::Refuse,
            buffer_bytes_max: 256 * 1024 * 1024,
            buffer_bytes_cached_max: 16 * 1024 * 1024,
            spare_bytes_max: 16 * 1024 * 1024,
            large_blocks_max: 256,
            invoke_max: 65_536,
            submit_max: 4096,
            fibers_per_turn: 1024,
            invokes_per_turn: 1024,
            deliveries_per_turn: 1024,
            turn_warn: Duration::from_millis(10),
            quiet_after: Duration::from_secs(2),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// What happens to a connection whose output is over its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The send is refused with [`SendError::Full`](crate::SendError::Full), and the connection stays as it is.
    #[default]
    Refuse,
    /// The send is refused, and the connection is closed, because its peer has missed something: bytes at once, messages by
    /// [`EventHandler::on_overflow`](crate::EventHandler::on_overflow).
    Close,
    /// Messages under it may be dropped for others: the oldest first, until a new one fits. Where messages that must not be dropped
    /// leave no room, the connection's own policy says what becomes of the new one. For plain bytes as `Refuse`.
    DropOldest,
    /// A message takes the place of the one with the same key that waits; without such, as `DropOldest`.
    KeepLatest,
}

impl Overflow {
    pub(crate) const fn to_bits(self) -> u32 {
        self as u32
    }

    pub(crate) const fn from_bits(bits: u32) -> Overflow {
        match bits {
            1 => Overflow::Close,
            2 => Overflow::DropOldest,
            3 => Overflow::KeepLatest,
            _ => Overflow::Refuse,
        }
    }
}

/// Pieces of output that one vectored send takes.
pub(crate) const PIECES_PER_SEND: usize = 64;
/// Bytes up to which an answer's body is copied behind its head instead of being sent as a piece of its own.
pub(crate) const COPY_MAX: usize = 8 * 1024;
/// Bytes of output from which on whole messages wait behind it, where they can still be dropped or replaced.
pub(crate) const OUTPUT_WINDOW: usize = 64 * 1024;
/// How long accepting pauses after the process ran out of descriptors.
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long a lingering close waits for the peer's end.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

const _: () = assert!(COPY_MAX < sws_stackpool::limits::BUFFER_BYTES_MAX);
