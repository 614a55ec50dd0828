//! One turn of the loop.

use crate::core::{Core, Message, Phase};
use crate::fiber::{FiberId, Wake, drop_payload};
use crate::stats::count;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use sws_rings::{Completion, Descriptor, Op, OpKind, Owner, RingTrait, Span, Token, Wait};

/// One turn: wait, take what the kernel says, let handlers and fibers run, submit what they want.
pub(crate) fn tick(core: &Core) {
    // 1. Submit everything that was pushed, and wait for the first completion or the nearest time.
    wait(core);
    let begin = core.now();

    // 2. Take all completions, before any user code runs. Ghosts are dropped, and their buffers given back.
    let mut events = core.loop_ops.events.take();
    core.ring.borrow_mut().drain(|token| is_live(core, token), &mut events);

    core.loop_ops.learn(events.len());

    // 3. Connections: first those that the last turn left over, then what came.
    let mut blame = Blame::begin();
    core.conns.give_leftover(core);
    for event in events.drain(..) {
        deliver(core, event);
        blame.look(core);
    }
    core.loop_ops.events.replace(events);

    // 4. Fibers whose wait is over. Those that become ready meanwhile, and those over the budget, are next turn's.
    for _ in 0..core.fibers.ready().min(core.limits.fibers_per_turn) {
        core.fibers.run_next();
        blame.look(core);
    }

    // 5. What other threads have handed over, oldest first.
    run_invoked(core);
    blame.look(core);

    // 6. Times that have come, and the hooks of each turn.
    expire(core);
    core.hooks.run();
    blame.look(core);

    // 7. Completions of the outbound ring.
    harvest_outbound(core);

    // 8. End what is to be ended, and queue one send for each connection that has output.
    core.conns.feed_starved(core);
    core.conns.tear_down(core);
    core.topics.flush_some(core);
    core.conns.tell_overflowed(core);
    core.conns.flush(core);
    core.conns.tear_down(core);

    blame.report(core, begin);
    advance_phase(core);
}

/// Operations of the loop itself, by the index of their tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum LoopOp {
    /// The read of the door's eventfd.
    Door = 1,
    /// The poll of the outbound ring's eventfd.
    Outbound = 2,
}

/// What the loop keeps for itself.
#[derive(Default)]
pub(crate) struct LoopOps {
    events: RefCell<Vec<Completion>>,
    outbound_events: RefCell<Vec<Completion>>,
    /// Whether the outbound ring is to be entered in this turn: something was pushed on it, or it has told of completions.
    pub(crate) outbound_due: Cell<bool>,
    invoked: RefCell<VecDeque<Message>>,
    /// What the door's read fills in. Boxed, because the kernel writes it.
    door_count: RefCell<Box<[u8; 8]>>,
    next_trim: Cell<Duration>,
    last_report: Cell<Duration>,
    /// Waits left in which completions may gather.
    gathers: Cell<u32>,
    /// Fibers that a drain cancels at once, see [`go_daemon`](crate::go_daemon). Those that have ended are taken out as it grows.
    daemons: RefCell<Vec<FiberId>>,
    /// Whether connections were told that the worker drains.
    drain_told: Cell<bool>,
    /// Whether fibers were cancelled because the drain took too long.
    drain_cancelled: Cell<bool>,
}

impl LoopOps {
    /// Has a drain cancel this fiber.
    pub(crate) fn add_daemon(&self, core: &Core, id: FiberId) {
        if self.drain_told.get() {
            core.fibers.cancel(id);
            return;
        }
        let mut daemons = self.daemons.borrow_mut();
        if daemons.len() == daemons.capacity() {
            daemons.retain(|&id| core.fibers.is_live(id));
        }
        daemons.push(id);
    }

    /// Submits one of the loop's operations, again after each completion.
    pub(crate) fn arm(&self, core: &Core, which: LoopOp) {
        let op = match which {
            LoopOp::Door => {
                let descriptor = Descriptor::Raw(core.door.borrow().eventfd().as_raw_fd());
                let buffer = Span::of_mut(&mut self.door_count.borrow_mut()[..]);
                Op::Read { descriptor, buffer, offset: u64::MAX }
            }
            LoopOp::Outbound => {
                let outbound = core.outbound.borrow();
                let Some(ring) = outbound.as_ref() else { return };
                let descriptor = Descriptor::Raw(ring.wake_descriptor().as_fd().as_raw_fd());
                Op::Poll { descriptor, events: libc::POLLIN as u32, multi: false }
            }
        };
        let token = Token::new(Owner::Loop, op.kind(), which as u32, 0);
        // SAFETY: the one buffer named is on the heap, owned by the core, read by nobody, and freed after the ring, which
        // is the first of the core's fields to be dropped.
        unsafe { core.ring.borrow_mut().push(&op, token) };
    }

    /// The outbound ring has completions: they are harvested at the end of this turn, and the next ones told of again. The
    /// count is cleared before both, so that none is missed, and none told of for ever.
    fn on_outbound_wake(&self, core: &Core) {
        if let Some(ring) = core.outbound.borrow().as_ref() {
            let mut count = [0u8; 8];
            let descriptor = ring.wake_descriptor().as_raw_fd();
            // SAFETY: the eight bytes outlive the call; the eventfd does not block.
            unsafe { libc::read(descriptor, count.as_mut_ptr().cast(), count.len()) };
        }
        self.outbound_due.set(true);
        self.arm(core, LoopOp::Outbound);
    }
}

/// Open connections from which on a burst is worth waiting for.
const GATHER_CONNECTIONS: u32 = 128;
/// A wait so long means that the loop was idle: what comes behind it may be the beginning of a burst.
const GATHER_IDLE: Duration = Duration::from_millis(1);
/// Waits behind an idle one in which completions may gather,
const GATHER_WAITS: u32 = 8;
/// for so long,
const GATHER_TIME: Duration = Duration::from_micros(200);
/// or until there are so many.
const GATHER_COMPLETIONS: u32 = 64;
/// A gathering wait that brought fewer shows that there is no burst.
const GATHER_MIN: usize = 8;

impl LoopOps {
    /// What the last wait has brought ends the gathering, or lets it go on.
    fn learn(&self, completions: usize) {
        let left = self.gathers.get();
        if left > 0 && left < GATHER_WAITS && completions < GATHER_MIN {
            self.gathers.set(0);
        }
    }

    /// A wait for one completion, or, at the beginning of a burst, for many: one system call then takes what would otherwise
    /// take many turns, each with its own. With few connections, or in a steady stream, it would cost latency and save nothing.
    fn plan(&self, timeout: Option<Duration>) -> Wait {
        let left = self.gathers.get();
        if left == 0 {
            return Wait::one(timeout);
        }
        self.gathers.set(left - 1);
        // The kernel honours the minimum wait only beside a timeout.
        let timeout = timeout.or(Some(Duration::from_secs(3600)));
        Wait { completions: GATHER_COMPLETIONS, timeout, min_wait: Some(GATHER_TIME) }
    }
}

fn wait(core: &Core) {
    let busy = core.conns.has_leftover() || core.topics.has_pending() || core.fibers.ready() > 0;
    let mut idle_since = None;
    let wait = if busy {
        Wait::POLL
    } else if core.door.borrow().prepare_wait() {
        let now = core.clock();
        idle_since = Some(now);
        core.loop_ops.plan(next_time(core).map(|at| at.saturating_sub(now)))
    } else {
        Wait::POLL
    };
    core.ring.borrow_mut().submit_and_wait(wait);
    core.door.borrow().finish_wait();
    core.now.set(core.clock());
    count(&core.stats.turns);
    let idle = idle_since.is_some_and(|since| core.now().saturating_sub(since) >= GATHER_IDLE);
    if idle && core.conns.count().0 >= GATHER_CONNECTIONS {
        core.loop_ops.gathers.set(GATHER_WAITS);
    }
}

/// The nearest time at which something is to be done.
fn next_time(core: &Core) -> Option<Duration> {
    let phase = match core.phase.get() {
        Phase::Running => None,
        Phase::Draining { until } => Some(until),
        Phase::Stopped => Some(Duration::ZERO),
    };
    [core.timers.borrow().next(), core.conns.next_deadline(core), phase].into_iter().flatten().min()
}

fn is_live(core: &Core, token: Token) -> bool {
    match token.owner() {
        Owner::Slot => core.conns.is_live(token),
        Owner::Fiber => core.ops.is_live(token),
        Owner::Watch => token.kind() == OpKind::Accept || core.watches.is_live(token),
        Owner::Loop => true,
    }
}

/// By owner and op kind, never by the state of a connection.
#[inline]
fn deliver(core: &Core, event: Completion) {
    match (event.token.owner(), event.token.kind()) {
        (Owner::Slot, _) => core.conns.deliver(core, event),
        (Owner::Fiber, _) => core.ops.complete(core, event.token, event.result),
        (Owner::Watch, OpKind::Accept) => core.conns.on_accept(core, event),
        (Owner::Watch, _) => core.watches.on_ready(core, &event),
        (Owner::Loop, OpKind::Read) => core.loop_ops.arm(core, LoopOp::Door),
        (Owner::Loop, OpKind::Poll) => core.loop_ops.on_outbound_wake(core),
        // A cancellation or a close that nobody waits for.
        (Owner::Loop, _) => {}
    }
}

fn run_invoked(core: &Core) {
    let mut invoked = core.loop_ops.invoked.take();
    core.door.borrow_mut().drain(&mut invoked, core.limits.invokes_per_turn);
    for message in invoked.drain(..) {
        match message {
            Message::Run(f) => {
                guarded(f);
            }
            Message::Wake(waiter) => {
                core.fibers.wake(waiter, Wake::Ready);
            }
        }
    }
    core.loop_ops.invoked.replace(invoked);
}

/// Runs user code of the loop: its panic, which the panic hook has reported, ends nothing. False if there was one.
pub(crate) fn guarded(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).map_err(drop_payload).is_ok()
}

fn expire(core: &Core) {
    let now = core.now();
    loop {
        let due = core.timers.borrow_mut().pop(now);
        let Some(waiter) = due else { break };
        core.fibers.wake(waiter, Wake::TimedOut);
    }
    core.conns.expire(core);
    core.conns.retry_accepting(core);
    core.conns.sweep_quiet(core);
    if now >= core.loop_ops.next_trim.get() {
        core.loop_ops.next_trim.set(now + Duration::from_secs(1));
        core.fibers.trim();
        core.conns.buffers.borrow_mut().trim();
        core.large.borrow_mut().trim();
        core.spares.trim();
    }
}

/// Submits what was pushed on the outbound ring and takes what has completed, in turns that have either.
fn harvest_outbound(core: &Core) {
    if !core.loop_ops.outbound_due.replace(false) {
        return;
    }
    let mut events = {
        let mut outbound = core.outbound.borrow_mut();
        let Some(ring) = outbound.as_mut() else { return };
        let mut events = core.loop_ops.outbound_events.take();
        ring.harvest(&mut |token| is_live(core, token), &mut events);
        events
    };
    // More may stand behind these, if the completion queue was full.
    core.loop_ops.outbound_due.set(!events.is_empty());
    for event in events.drain(..) {
        deliver(core, event);
    }
    core.loop_ops.outbound_events.replace(events);
}

fn advance_phase(core: &Core) {
    match core.phase.get() {
        Phase::Running | Phase::Stopped => {}
        Phase::Draining { until } => {
            if !core.loop_ops.drain_told.replace(true) {
                for id in core.loop_ops.daemons.take() {
                    core.fibers.cancel(id);
                }
                core.conns.drain_all(core);
                core.conns.tear_down(core);
                core.topics.flush(core);
                core.conns.flush(core);
            }
            let is_over = core.now() >= until;
            if is_over && core.fibers.len() > 0 && !core.loop_ops.drain_cancelled.replace(true) {
                // Handlers that still wait get the chance to say so to their clients.
                core.fibers.cancel_all();
                core.phase.set(Phase::Draining { until: core.now() + END_MAX });
            } else if is_over || is_empty(core) {
                core.phase.set(Phase::Stopped);
            }
        }
    }
}

/// Whether nothing runs any more: no connection, no fiber, no operation of a fiber, no accept.
pub(crate) fn is_empty(core: &Core) -> bool {
    core.conns.count().0 == 0
        && core.fibers.len() == 0
        && core.ops.in_flight() == 0
        && !core.conns.is_accepting()
}

/// How long fibers have to heed their cancellation: behind a drain that took too long, and when a runtime is dropped.
const END_MAX: Duration = Duration::from_secs(1);

/// Ends everything: connections are closed, fibers cancelled, completions awaited.
pub(crate) fn end(core: &Core) {
    let until = core.clock() + END_MAX;
    core.phase.set(Phase::Stopped);
    core.conns.stop_accepting(core);
    core.conns.abort_all();
    while !is_empty(core) && core.clock() < until {
        core.fibers.cancel_all();
        tick(core);
    }
    // The closes of what was accepted last were pushed and have nobody who waits for them.
    core.ring.borrow_mut().submit_and_wait(Wait::POLL);
}

/// Finds who took a turn's time, by the coarse clock (a few nanoseconds a look, exact to a few milliseconds).
struct Blame {
    last: Duration,
    longest: Duration,
    name: &'static str,
}

impl Blame {
    fn begin() -> Blame {
        Blame { last: coarse_clock(), longest: Duration::ZERO, name: "" }
    }

    #[inline]
    fn look(&mut self, core: &Core) {
        let now = coarse_clock();
        if now != self.last {
            let took = now - self.last;
            if took > self.longest {
                (self.longest, self.name) = (took, core.fibers.last_name());
            }
            self.last = now;
        }
    }

    /// Reports a turn that was too long, at most once a second; all are counted.
    fn report(&self, core: &Core, begin: Duration) {
        let took = core.clock().saturating_sub(begin);
        if took > core.stats.longest_turn.get() {
            core.stats.longest_turn.set(took);
        }
        if took <= core.limits.turn_warn {
            return;
        }
        count(&core.stats.slow_turns);
        let last = core.loop_ops.last_report.get();
        if last.is_zero() || core.now() >= last + Duration::from_secs(1) {
            core.loop_ops.last_report.set(core.now());
            let (took, longest) = (took.as_millis(), self.longest.min(took).as_millis());
            if self.name.is_empty() || longest * 2 < took {
                eprintln!(
                    "sws: a turn of the loop took {took} ms, most of it outside of handlers: many small calls, or sending"
                );
            } else {
                let name = self.name;
                eprintln!(
                    "sws: a turn of the loop took {took} ms; longest in it: handler `{name}`, about {longest} ms"
                );
            }
        }
    }
}

fn coarse_clock() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
