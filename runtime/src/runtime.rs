//! A worker: its making, its turns, its end.

use crate::conn::{Conns, EventHandler, HandlerId};
use crate::core::{self, Core, Entered, Message, Phase};
use crate::door::{Door, PushError};
use crate::fiber::{self, FiberInfo, Fibers, JoinError, JoinHandle};
use crate::hooks::Hooks;
use crate::limits::Limits;
use crate::ops::Ops;
use crate::stats::{Counters, Stats};
use crate::timers::Timers;
use crate::topics::{Encoding, Publication, Topics, WorkerTopics};
use crate::turn::{self, LoopOp};
use crate::watch::Watches;
use crate::workers::{WorkerConfig, WorkerPool};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use sws_rings::{Ring, RingConfig, SetupError};
use sws_stackpool::LargePool;
use sws_stackpool::limits::{DESCRIPTORS_RESERVED, default_slots_max};

/// How a worker is made.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Its bounds.
    pub limits: Limits,
    /// Its main ring. `direct_descriptors` is set by the number of connections unless `ordinary_descriptors` is.
    pub ring: RingConfig,
    /// Accept connections as ordinary descriptors, not into the ring's own table.
    pub ordinary_descriptors: bool,
    /// Its pool for CPU work.
    pub workers: WorkerConfig,
    /// Its topics, shared by all workers that are made with the same or a clone of it; `None` for topics of its own.
    pub topics: Option<Topics>,
}

/// Why there is no worker.
#[derive(Debug)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No ring.
    Ring(SetupError),
    /// No eventfd.
    Door(io::Error),
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuntimeError::Ring(error) => error.fmt(f),
            RuntimeError::Door(error) => write!(f, "no eventfd: {error}"),
        }
    }
}

impl std::error::Error for RuntimeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RuntimeError::Ring(error) => Some(error),
            RuntimeError::Door(error) => Some(error),
        }
    }
}

impl From<SetupError> for RuntimeError {
    fn from(error: SetupError) -> RuntimeError {
        RuntimeError::Ring(error)
    }
}

/// Numbers the workers of the process.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// One worker, made and run on one thread. Several may live in a process, each on its own thread.
///
/// ```
/// use sws_runtime::{Config, Runtime, go};
///
/// let runtime = Runtime::new(Config::default())?;
/// let sum = runtime.block_on_fiber(|| {
///     let one = go("one", || 1);
///     let two = go("two", || 2);
///     one.join().unwrap() + two.join().unwrap()
/// });
/// assert_eq!(sum, 3);
/// # Ok::<(), sws_runtime::RuntimeError>(())
/// ```
pub struct Runtime {
    core: Rc<Core>,
}

/// Reaches a worker from other threads; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    door: crate::door::DoorHandle<Message>,
}

/// Why a closure was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvokeError {
    /// As many wait as may.
    Full,
    /// The worker has ended.
    Closed,
}

impl fmt::Display for InvokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvokeError::Full => "the worker's queue is full",
            InvokeError::Closed => "the worker has ended",
        })
    }
}

impl std::error::Error for InvokeError {}

impl Handle {
    pub(crate) fn of(core: &Core) -> Handle {
        Handle { door: core.door_handle.clone() }
    }

    /// Runs `f` on the worker's loop (not on a fiber), in the order of the calls; wakes it.
    ///
    /// # Errors
    /// [`InvokeError`]: the closure is dropped.
    pub fn invoke(&self, f: impl FnOnce() + Send + 'static) -> Result<(), InvokeError> {
        self.door.push(Message::Run(Box::new(f))).map_err(|error| match error {
            PushError::Full(_) => InvokeError::Full,
            PushError::Closed(_) => InvokeError::Closed,
        })
    }

    /// As [`invoke`](Handle::invoke), never refused for want of room; for at most one message of each thing that the caller bounds
    /// otherwise, such as an answer to each request.
    ///
    /// # Errors
    /// [`InvokeError::Closed`].
    pub fn invoke_reserved(&self, f: impl FnOnce() + Send + 'static) -> Result<(), InvokeError> {
        self.door.push_reserved(Message::Run(Box::new(f))).map_err(|_| InvokeError::Closed)
    }

    /// Begins the worker's end: no new connections, what runs is finished within [`Limits::drain_timeout`].
    pub fn shutdown(&self) {
        // A worker that has ended already needs no telling.
        let _ = self.invoke_reserved(|| core::with(Core::drain));
    }
}

impl Runtime {
    /// Makes a worker on this thread. Raises the process's soft limit of descriptors to the hard one.
    ///
    /// # Errors
    /// [`RuntimeError`] names what is missing and what to change.
    pub fn new(config: Config) -> Result<Runtime, RuntimeError> {
        let limits = config.limits;
        let nofile = raise_nofile();
        let slots = match limits.connections_max {
            0 => default_slots_max(nofile),
            wanted => wanted.min(sws_stackpool::limits::SLOTS_MAX),
        };
        let mut ring_config = config.ring;
        if !config.ordinary_descriptors {
            // The table is larger than the pool, so that what is accepted while accepting is being paused has a place.
            let room = u64::from(slots) + DESCRIPTORS_RESERVED;
            ring_config.direct_descriptors = room.min(nofile).min(1 << 20) as u32;
        }
        let ring = Ring::new(&ring_config)?;
        let door = Door::new(limits.invoke_max).map_err(RuntimeError::Door)?;
        fiber::install_overflow_report();
        let workers = WorkerConfig { queue_max: limits.submit_max, ..config.workers };
        let core = Core {
            ring: RefCell::new(ring),
            outbound: RefCell::new(None),
            conns: Conns::new(&limits, slots),
            topics: WorkerTopics::new(config.topics.unwrap_or_default(), Handle { door: door.handle() }),
            large: RefCell::new(LargePool::new(limits.large_blocks_max)),
            ops: Ops::new(),
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            watches: Watches::new(),
            fibers: Fibers::new(&limits),
            door_handle: door.handle(),
            door: RefCell::new(door),
            timers: RefCell::new(Timers::default()),
            hooks: Hooks::new(),
            deferred_hooks: Hooks::new(),
            locals: crate::local::Locals::default(),
            spares: crate::spare::Spares::default(),
            workers: WorkerPool::new(workers),
            limits,
            phase: Cell::new(Phase::Running),
            stats: Counters::default(),
            loop_ops: turn::LoopOps::default(),
            start: Instant::now(),
            now: Cell::new(Duration::ZERO),
        };
        let runtime = Runtime { core: Rc::new(core) };
        runtime.core.loop_ops.arm(&runtime.core, LoopOp::Door);
        Ok(runtime)
    }

    /// Accepts connections of a listening socket for a handler; returns the listener's number.
    pub fn listen(&self, listener: TcpListener, handler: impl EventHandler) -> usize {
        self.listen_on(listener.into(), handler)
    }

    /// As [`listen`](Runtime::listen), for any listening stream socket (a Unix one, for instance).
    pub fn listen_on(&self, listener: OwnedFd, handler: impl EventHandler) -> usize {
        let _entered = Entered::new(&self.core);
        let service = self.core.conns.add_service(handler);
        self.core.conns.listen(&self.core, listener, service)
    }

    /// Adds a handler that connections can be handed over to, see [`Conn::hand_over`](crate::Conn::hand_over).
    ///
    /// # Panics
    /// When the worker has 256 handlers, those of its listeners included.
    pub fn add_handler<H: EventHandler>(&self, handler: H) -> HandlerId<H::Workspace> {
        HandlerId::new(self.core.conns.add_service(handler), self.core.number)
    }

    /// Registers a way in which publications become bytes, for subscribers with another protocol than plain bytes. It appends the bytes
    /// of a publication to what there is, is asked once for each of a turn, and neither waits nor uses topics. An
    /// encoding is one of this worker only.
    ///
    /// # Panics
    /// When the worker has 255 encodings.
    ///
    /// ```
    /// use sws_runtime::{Config, Runtime};
    ///
    /// let runtime = Runtime::new(Config::default())?;
    /// let lines = runtime.add_encoding(|publication, out| {
    ///     out.extend_from_slice(&publication.payload);
    ///     out.push(b'\n');
    /// });
    /// # let _ = lines;
    /// # Ok::<(), sws_runtime::RuntimeError>(())
    /// ```
    pub fn add_encoding(&self, encoding: impl Fn(&Publication, &mut Vec<u8>) + 'static) -> Encoding {
        self.core.topics.add_encoding(encoding)
    }

    /// The worker's topics.
    pub fn topics(&self) -> Topics {
        self.core.topics.domain()
    }

    /// The address a listener is bound to.
    pub fn local_addr(&self, listener: usize) -> Option<SocketAddr> {
        self.core.conns.local_addr(listener)
    }

    /// Reaches this worker from other threads.
    pub fn handle(&self) -> Handle {
        Handle::of(&self.core)
    }

    /// Runs until [`Handle::shutdown`], or a signal, and the drain that follows it. A worker that has come to its end does not run
    /// again: a second call returns at once.
    pub fn run(&self) {
        let _entered = Entered::new(&self.core);
        self.core.topics.enter_domain();
        while self.core.phase.get() != Phase::Stopped {
            turn::tick(&self.core);
        }
        self.core.topics.leave_domain();
    }

    /// Runs `f` as a fiber, and the loop until it has returned. After [`run`](Runtime::run), too: the worker gets what is published
    /// again then, until it is dropped.
    ///
    /// # Panics
    /// When `f` does, or when there are too many fibers.
    pub fn block_on_fiber<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> T {
        let _entered = Entered::new(&self.core);
        self.core.topics.enter_domain();
        let handle = JoinHandle::start("block_on_fiber", f).expect("a fiber more is over the bound");
        while !handle.is_finished() {
            turn::tick(&self.core);
        }
        match handle.take() {
            Some(Ok(value)) => value,
            Some(Err(JoinError::Panicked(payload))) => std::panic::resume_unwind(payload),
            Some(Err(error)) => panic!("the fiber gave no value: {error}"),
            None => unreachable!("a finished fiber leaves its value"),
        }
    }

    /// One turn of the loop, for a program that has a loop of its own. Waits as long as nothing happens.
    pub fn tick(&self) {
        let _entered = Entered::new(&self.core);
        self.core.topics.enter_domain();
        turn::tick(&self.core);
    }

    /// Calls `f` on this thread with this worker as the current one, so that [`go`](crate::go), [`watch`](crate::watch()) and the
    /// like can be used before [`run`](Runtime::run).
    pub fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        let _entered = Entered::new(&self.core);
        f()
    }

    /// The worker's counts.
    pub fn stats(&self) -> Stats {
        stats_of(&self.core)
    }

    /// Touches the memory of `connections` slots, so that they cost no page fault later.
    pub fn warmup(&self, connections: u32) {
        self.core.conns.slots.borrow_mut().warmup(connections);
    }
}

impl Drop for Runtime {
    /// Ends all connections and fibers. A fiber that does not heed its cancellation for a second is left where it is, and the
    /// worker's memory with it: it cannot be freed under it.
    fn drop(&mut self) {
        self.core.topics.leave_domain();
        if core::on_fiber() {
            // Its loop cannot be run from here.
            std::mem::forget(Rc::clone(&self.core));
            return;
        }
        let entered = Entered::new(&self.core);
        self.core.door.borrow_mut().close();
        turn::end(&self.core);
        let clean = turn::is_empty(&self.core);
        drop(entered);
        if !clean {
            std::mem::forget(Rc::clone(&self.core));
        }
    }
}

pub(crate) fn stats_of(core: &Core) -> Stats {
    let (connections, connections_high_water) = core.conns.count();
    let (fibers_high_water, stacks) = core.fibers.stats();
    let ring = core.ring.borrow();
    let buffers = core.conns.buffers.borrow().stats();
    let counters = &core.stats;
    let topics = core.topics.counts();
    Stats {
        turns: counters.turns.get(),
        slow_turns: counters.slow_turns.get(),
        longest_turn: counters.longest_turn.get(),
        accepted: counters.accepted.get(),
        accept_errors: counters.accept_errors.get(),
        closed: counters.closed.get(),
        connections,
        connections_high_water,
        quieted: counters.quieted.get(),
        starved: counters.starved.get(),
        messages_refused: counters.messages_refused.get(),
        messages_dropped: counters.messages_dropped.get(),
        messages_replaced: counters.messages_replaced.get(),
        closed_slow: counters.closed_slow.get(),
        topics: topics.topics,
        memberships: topics.memberships,
        published: topics.published,
        delivered: topics.delivered,
        mailbox_refusals: topics.mailbox_refusals,
        fibers: core.fibers.len(),
        fibers_high_water,
        fiber_ops: core.ops.in_flight(),
        stacks,
        panics: core.fibers.panics.get(),
        ring: ring.stats(),
        receive_buffers: ring.buffers().map(sws_rings::BufferRing::stats).unwrap_or_default(),
        buffer_bytes: buffers.in_use_bytes,
        pipes: core.conns.pipes.in_use(),
        buffer_bytes_high_water: buffers.high_water_bytes,
        buffers_refused: buffers.refused,
        large_blocks: core.large.borrow().stats().in_use_blocks,
        large_blocks_high_water: core.large.borrow().stats().high_water_blocks,
        large_blocks_refused: core.large.borrow().stats().refused,
    }
}

/// Whether the worker drains: no new connections come, and what runs is to come to its end. For fibers that would go on for ever.
///
/// # Panics
/// Off a worker's thread.
pub fn is_draining() -> bool {
    core::with(|core| core.phase.get() != Phase::Running)
}

/// What every fiber of this worker is doing.
///
/// # Panics
/// Off a worker's thread.
pub fn dump_fibers() -> Vec<FiberInfo> {
    core::with(|core| core.fibers.dump(core.now()))
}

/// The worker's counts, from its own thread.
///
/// # Panics
/// Off a worker's thread.
pub fn stats() -> Stats {
    core::with(stats_of)
}

/// Raises the soft limit of descriptors to the hard one and returns it.
fn raise_nofile() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct outlives both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return 1024;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raised) == 0 {
            limit = raised;
        }
    }
    limit.rlim_cur
}
