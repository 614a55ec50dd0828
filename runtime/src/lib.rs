//! The loop: fibers, timers, connections, a pool for CPU work, and the door for other threads.
//!
//! A [`Runtime`] is one worker: one thread with its ring, its connection slots and its fibers. Its life is a sequence of
//! turns; `turn.rs` is the first file to read. Handlers use it in two ways: by callbacks over connections
//! ([`EventHandler`]), and by fibers ([`go`]), ordinary functions that wait in place.
//!
//! # Unsafe
//!
//! In the files of fibers and their stacks, of operations that name a fiber's memory, and of output: each opens with who
//! owns what and when.

mod block_on;
mod conn;
mod core;
pub mod door;
mod fiber;
pub mod fs;
mod hooks;
mod limits;
mod listener;
mod local;
pub mod net;
mod ops;
mod outbound_op;
mod runtime;
pub mod signal;
mod slab;
mod spare;
mod spawn;
mod stats;
pub mod sync;
mod sync_shim;
mod timers;
mod topics;
mod turn;
mod watch;
pub mod workers;

pub use block_on::block_on;
pub use conn::{Conn, ConnId, Data, EventHandler, HandlerId, Held, Pipe, SendError, acquire_pipe, with_conn};
pub use fiber::{
    Cancelled, FiberId, FiberInfo, JoinError, JoinHandle, Run, StackStats, TimedOut, park, sleep, timeout,
    unpark, yield_now,
};
pub use hooks::HookId;
pub use limits::{Limits, Overflow};
pub use listener::listen_tcp;
pub use local::{find_local, worker_local};
pub use ops::Lane;
pub use runtime::{Config, Handle, InvokeError, Runtime, RuntimeError, dump_fibers, is_draining, stats};
pub use spare::{acquire_spare, release_spare};
pub use spawn::{
    SubmitError, acquire_buffer, acquire_large, add_deferred_hook, add_tick_hook, cancel_fiber,
    current_fiber, current_handle, go, go_daemon, is_fresh_fiber, on_fiber, on_worker, release_buffer,
    release_large, remove_deferred_hook, remove_tick_hook, run_deferred_hooks, run_inline, set_fiber_name,
    submit, try_go, try_submit, turn_elapsed, turn_time, without_waits,
};
pub use stats::Stats;
pub use sws_rings::{BufferConfig, BufferStats, Features, RingConfig, RingStats, SetupError, probe};
pub use sws_stackpool::LargeBlock;
pub use sws_stackpool::limits::{SLOTS_MAX, default_slots_max};
pub use topics::{
    Encoding, Journal, PayloadKind, PresenceEvent, Publication, PublishError, Recorded, Replay,
    SubscribeError, TopicLimits, TopicOptions, Topics, topics,
};
pub use watch::{Interest, WatchCallback, unwatch, unwatch_all, watch};
pub use workers::worker_yield;
