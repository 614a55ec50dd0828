//! What a worker counts.

use std::cell::Cell;
use std::time::Duration;

/// The loop's own counters.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) turns: Cell<u64>,
    pub(crate) slow_turns: Cell<u64>,
    pub(crate) longest_turn: Cell<Duration>,
    pub(crate) accepted: Cell<u64>,
    pub(crate) accept_errors: Cell<u64>,
    pub(crate) closed: Cell<u64>,
    pub(crate) quieted: Cell<u64>,
    pub(crate) starved: Cell<u64>,
    pub(crate) messages_refused: Cell<u64>,
    pub(crate) messages_dropped: Cell<u64>,
    pub(crate) messages_replaced: Cell<u64>,
    pub(crate) closed_slow: Cell<u64>,
}

/// Adds one.
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// A worker's counts at one moment.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of the loop.
    pub turns: u64,
    /// Turns over [`Limits::turn_warn`](crate::Limits::turn_warn).
    pub slow_turns: u64,
    /// The longest turn.
    pub longest_turn: Duration,
    /// Connections accepted.
    pub accepted: u64,
    /// Accepts that failed.
    pub accept_errors: u64,
    /// Connections closed and released.
    pub closed: u64,
    /// Connections open now.
    pub connections: u32,
    /// The most there were.
    pub connections_high_water: u32,
    /// Connections that were handed to a poll because they had gone quiet.
    pub quieted: u64,
    /// Receives that found no buffer.
    pub starved: u64,
    /// Messages refused because too much waited for their connection.
    pub messages_refused: u64,
    /// Messages dropped for newer ones ([`Overflow::DropOldest`](crate::Overflow::DropOldest)).
    pub messages_dropped: u64,
    /// Messages replaced by the next of their key ([`Overflow::KeepLatest`](crate::Overflow::KeepLatest)).
    pub messages_replaced: u64,
    /// Connections closed because too much waited for them ([`Overflow::Close`](crate::Overflow::Close)).
    pub closed_slow: u64,
    /// Topics and patterns that connections of this worker subscribe to.
    pub topics: usize,
    /// Subscriptions of its connections.
    pub memberships: usize,
    /// Publications that have reached this worker, its own and those of others.
    pub published: u64,
    /// Messages given to subscribers, or to what their policy makes of them.
    pub delivered: u64,
    /// Publications refused because too much waited in this worker's mailbox.
    pub mailbox_refusals: u64,
    /// Fibers now.
    pub fibers: usize,
    /// The most there were.
    pub fibers_high_water: usize,
    /// Operations that fibers wait for.
    pub fiber_ops: usize,
    /// Stacks.
    pub stacks: crate::StackStats,
    /// Fibers that panicked.
    pub panics: u64,
    /// The main ring.
    pub ring: sws_rings::RingStats,
    /// Its provided buffers.
    pub receive_buffers: sws_rings::BufferStats,
    /// Pooled buffers in use, in bytes.
    pub buffer_bytes: usize,
    /// The most there were.
    pub buffer_bytes_high_water: usize,
    /// Pooled buffers refused at the bound.
    pub buffers_refused: u64,
    /// Pipes in use, through which files go to connections.
    pub pipes: usize,
    /// Blocks of 1 MB in use.
    pub large_blocks: usize,
    /// The most there were.
    pub large_blocks_high_water: usize,
    /// Blocks refused at the bound.
    pub large_blocks_refused: u64,
}
