//! What a test says to the scripted ring: the faults, the peers, and what it asks at the end.
//!
//! ```text
//!   World::install(seed, options)        before the first Ring::new on this thread
//!   with(|world| world.add_peer(..))     clients that connect, send, read and leave at virtual times
//!   run the code under test              each wait moves the virtual clock to the next thing that happens
//!   with(|world| world.audit())          what was left open, held or misused
//! ```
//!
//! All of it is one thread, and the same seed gives the same run: [`World::trace_hash`] says so.

use std::fmt;
use std::ops::Index;
use std::time::Duration;

pub use super::peer::{Ending, Pace, Peer, PeerId, Reply};
pub use super::world::World;

/// What can go wrong, or happen in an order that is easily forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Fault {
    /// A receive ends with ENOBUFS; its bytes stay in the socket.
    BuffersExhausted,
    /// A receive or a file read gives fewer bytes than there are.
    ShortRead,
    /// A send or a file write takes fewer bytes than there is room for.
    ShortWrite,
    /// A multishot ends with ECANCELED though nobody cancelled it.
    MultishotCancelled,
    /// A multishot ends with a success that has no `more`.
    MultishotEnded,
    /// A wait returns at once, as on a signal.
    Interrupted,
    /// Accept fails with EMFILE; the connection stays in the backlog.
    AcceptMfile,
    /// Accept fails with ENFILE; the connection stays in the backlog or, as when the table is full, is lost.
    AcceptNfile,
    /// Accept fails with ECONNABORTED; the connection is gone.
    AcceptAborted,
    /// A receive fails with ECONNRESET.
    ResetOnReceive,
    /// A send fails with ECONNRESET.
    ResetOnSend,
    /// The completion queue is full: what completes is held back until the next enter, and multishots end.
    CompletionOverflow,
    /// The submission queue is full at a push.
    SubmissionFull,
    /// A completion overtakes another one. Those of one multishot stay in order, and so do those that share an
    /// incrementally filled buffer.
    Reordered,
    /// An operation succeeds after its cancellation was submitted.
    LateAfterCancel,
    /// A direct descriptor's index is in use again before its close is reported. Comes with `Reordered`; has no rate.
    IndexReused,
    /// A receive returns 0, the peer's half-close. Comes from peers; has no rate.
    EndOfStream,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 17] = [
        Fault::BuffersExhausted,
        Fault::ShortRead,
        Fault::ShortWrite,
        Fault::MultishotCancelled,
        Fault::MultishotEnded,
        Fault::Interrupted,
        Fault::AcceptMfile,
        Fault::AcceptNfile,
        Fault::AcceptAborted,
        Fault::ResetOnReceive,
        Fault::ResetOnSend,
        Fault::CompletionOverflow,
        Fault::SubmissionFull,
        Fault::Reordered,
        Fault::LateAfterCancel,
        Fault::IndexReused,
        Fault::EndOfStream,
    ];
}

/// How the simulated kernel behaves.
#[derive(Clone, Debug)]
pub struct Options {
    rates: [f64; Fault::ALL.len()],
    /// The longest time a byte is on its way to a peer, and an overtaken completion is late.
    pub latency_max: Duration,
    /// The longest time a file operation takes, and a cancellation that comes late.
    pub slow_max: Duration,
    /// Bytes that a socket takes for sending before its peer reads: each draws a size from 4 KiB to this.
    pub send_buffer_bytes_max: usize,
    /// Bytes that a socket holds received before its peer has to wait.
    pub receive_buffer_bytes_max: usize,
    /// Virtual time after which the run is a failure.
    pub duration_max: Duration,
    /// Calls of `submit_and_wait` after which the run is a failure: it spins.
    pub enters_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            rates: [0.0; Fault::ALL.len()],
            latency_max: Duration::from_micros(300),
            slow_max: Duration::from_millis(3),
            send_buffer_bytes_max: 256 * 1024,
            receive_buffer_bytes_max: 256 * 1024,
            duration_max: Duration::from_secs(24 * 60 * 60),
            enters_max: 5_000_000,
        }
    }
}

impl Options {
    /// Everything goes wrong now and then, but no connection is broken on purpose.
    pub fn rough() -> Options {
        Options::default()
            .with(Fault::BuffersExhausted, 0.05)
            .with(Fault::ShortRead, 0.3)
            .with(Fault::ShortWrite, 0.3)
            .with(Fault::MultishotCancelled, 0.05)
            .with(Fault::MultishotEnded, 0.1)
            .with(Fault::Interrupted, 0.05)
            .with(Fault::AcceptMfile, 0.1)
            .with(Fault::CompletionOverflow, 0.05)
            .with(Fault::SubmissionFull, 0.05)
            .with(Fault::Reordered, 0.3)
            .with(Fault::LateAfterCancel, 0.5)
    }

    /// As [`rough`](Options::rough), and connections are reset, aborted and lost.
    pub fn hostile() -> Options {
        Options::rough()
            .with(Fault::AcceptNfile, 0.1)
            .with(Fault::AcceptAborted, 0.1)
            .with(Fault::ResetOnReceive, 0.03)
            .with(Fault::ResetOnSend, 0.03)
    }

    /// Sets how often, from 0 to 1, a fault is injected where it could be.
    #[must_use]
    pub fn with(mut self, fault: Fault, rate: f64) -> Options {
        assert!((0.0..=1.0).contains(&rate), "a rate is from 0 to 1");
        self.rates[fault as usize] = rate;
        self
    }

    /// How often the fault is injected where it could be.
    pub fn rate(&self, fault: Fault) -> f64 {
        self.rates[fault as usize]
    }
}

/// How often each fault has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Fault::ALL.len()]);

impl Counts {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Counts) {
        for (ours, theirs) in self.0.iter_mut().zip(other.0) {
            *ours += theirs;
        }
    }

    /// The faults that have not happened.
    pub fn missing(&self) -> Vec<Fault> {
        Fault::ALL.into_iter().filter(|fault| self[*fault] == 0).collect()
    }
}

impl Index<Fault> for Counts {
    type Output = u64;

    fn index(&self, fault: Fault) -> &u64 {
        &self.0[fault as usize]
    }
}

/// What a run has left behind or done wrong. Accepts, timeouts, and operations on real descriptors may wait for ever
/// and are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Descriptors that were made by the ring and not closed; also those that were open when their ring was dropped.
    pub descriptors_open: usize,
    /// Leases that are held, and buffers that came to nobody.
    pub buffers_held: usize,
    /// Operations on connections and files that have not completed, or whose completion was not drained.
    pub operations_open: usize,
    /// Descriptors closed that were not open.
    pub double_closes: usize,
    /// Operations other than close and cancel on a descriptor that is not open.
    pub closed_uses: usize,
    /// Operations of one slot generation on a descriptor that another one uses: the index was reused.
    pub stale_uses: usize,
    /// Sends submitted on a connection that had one in flight: their order is not defined.
    pub overlapping_sends: usize,
    /// Receives submitted on a connection that had one in flight: likewise.
    pub overlapping_receives: usize,
    /// One line for each of the above.
    pub findings: Vec<String>,
}

impl Audit {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        *self == Audit::default()
    }

    pub(super) fn note(&mut self, finding: String) {
        self.findings.push(finding);
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_clean() {
            true => write!(f, "clean"),
            false => write!(f, "{}", self.findings.join("\n")),
        }
    }
}

/// Virtual time since the world of this thread was installed; zero without one.
pub fn now() -> Duration {
    super::world::now()
}

/// Calls `act` with the world of this thread. Not to be nested, and not to be called from a peer's reaction.
///
/// # Panics
/// When no world is installed.
pub fn with<R>(act: impl FnOnce(&mut World) -> R) -> R {
    super::world::with(act)
}
