//! The state of one worker, shared by its loop and its fibers.
//!
//! Each part has its own cell, and no borrow of one is held across a suspension or a call of user code.
//!
//! # Unsafe
//!
//! The thread's current core is a pointer, set by [`Entered`] for as long as the runtime that owns the core is being used on this
//! thread. A reference made of it lives for one call of [`with`]; the fibers that run in between are ended before the core.

use crate::conn::Conns;
use crate::door::{Door, DoorHandle};
use crate::fiber::{Fibers, Waiter};
use crate::hooks::Hooks;
use crate::limits::Limits;
use crate::ops::Ops;
use crate::timers::Timers;
use crate::topics::WorkerTopics;
use crate::turn::LoopOps;
use crate::watch::Watches;
use crate::workers::WorkerPool;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::{Duration, Instant};
use sws_rings::{OutboundRing, Ring};
use sws_stackpool::LargePool;

/// What other threads hand over.
pub(crate) enum Message {
    /// A closure to run on the loop.
    Run(Box<dyn FnOnce() + Send>),
    /// A wait that has ended.
    Wake(Waiter),
}

/// How far a runtime is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// No new connections; what runs is finished, until this time.
    Draining {
        until: Duration,
    },
    /// Over at the end of this turn.
    Stopped,
}

/// One worker's state. The fields are in the order of a turn.
pub(crate) struct Core {
    pub(crate) ring: RefCell<Ring>,
    pub(crate) outbound: RefCell<Option<OutboundRing>>,
    pub(crate) conns: Conns,
    pub(crate) topics: WorkerTopics,
    pub(crate) large: RefCell<LargePool>,
    pub(crate) ops: Ops,
    /// Tells workers of one process apart.
    pub(crate) number: u64,
    pub(crate) watches: Watches,
    pub(crate) fibers: Fibers,
    pub(crate) door: RefCell<Door<Message>>,
    pub(crate) door_handle: DoorHandle<Message>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) hooks: Hooks,
    pub(crate) deferred_hooks: Hooks,
    pub(crate) locals: crate::local::Locals,
    pub(crate) spares: crate::spare::Spares,
    pub(crate) workers: WorkerPool,
    pub(crate) limits: Limits,
    pub(crate) phase: Cell<Phase>,
    pub(crate) stats: crate::stats::Counters,
    pub(crate) loop_ops: LoopOps,
    #[cfg_attr(sws_sim, expect(dead_code, reason = "time is the script's"))]
    pub(crate) start: Instant,
    pub(crate) now: Cell<Duration>,
}

impl Core {
    /// Time since the runtime was made, as read once in this turn.
    #[inline]
    pub(crate) fn now(&self) -> Duration {
        self.now.get()
    }

    /// Time since the runtime was made, read now.
    #[inline]
    pub(crate) fn clock(&self) -> Duration {
        #[cfg(sws_sim)]
        return sws_rings::script::now();
        #[cfg(not(sws_sim))]
        self.start.elapsed()
    }

    /// Begins the end: no new connections, what runs is finished until the drain timeout.
    pub(crate) fn drain(&self) {
        if self.phase.get() == Phase::Running {
            let until = self.now().saturating_add(self.limits.drain_timeout);
            self.phase.set(Phase::Draining { until });
            self.conns.stop_accepting(self);
        }
    }
}

thread_local! {
    static CURRENT: Cell<*const Core> = const { Cell::new(std::ptr::null()) };
}

/// While it lives, the core is the thread's current one.
pub(crate) struct Entered<'a> {
    before: *const Core,
    core: PhantomData<&'a Core>,
}

impl<'a> Entered<'a> {
    /// # Panics
    /// On a fiber: its worker's loop stands below it, and a wait inside of another loop would leave on the wrong stack.
    pub(crate) fn new(core: &'a Rc<Core>) -> Entered<'a> {
        assert!(!on_fiber(), "a runtime is not driven from inside of a fiber");
        Entered { before: CURRENT.replace(Rc::as_ptr(core)), core: PhantomData }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Whether the caller runs on a fiber of the thread's core.
pub(crate) fn on_fiber() -> bool {
    try_with(|core| core.fibers.on_fiber()).unwrap_or(false)
}

/// Calls `f` with the thread's core, if it has one.
#[inline]
pub(crate) fn try_with<R>(f: impl FnOnce(&Core) -> R) -> Option<R> {
    let core = CURRENT.get();
    // SAFETY: a pointer that is set is that of a live core, see the module doc.
    unsafe { core.as_ref() }.map(f)
}

/// Calls `f` with the thread's core.
///
/// # Panics
/// Off a worker's thread.
#[inline]
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&Core) -> R) -> R {
    try_with(f).expect("no worker runs on this thread: call this in a handler, on a fiber, or where a server makes its router")
}
