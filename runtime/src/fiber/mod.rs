//! Fibers: stackful coroutines on the IO thread.
//!
//! All fibers start on the same hot memory, the *shared stack*. One that returns without suspending leaves it to the next.
//! One that suspends keeps the stack it stands on, and the next fiber gets another from the pool. Nothing is copied, and
//! stacks in use are suspended fibers plus one.
//!
//! ```text
//!   loop ──run──▶ fiber A on S0 ──returns──▶ loop        S0 is shared again
//!   loop ──run──▶ fiber B on S0 ──suspends─▶ loop        B keeps S0, S1 becomes the shared one
//!   loop ──resume▶ fiber B on S0 ──returns─▶ loop        S0 goes back to the pool
//! ```
//!
//! A fiber gets its record (a number, a wake-up sequence, what it waits for) only when it first waits.
//!
//! # Unsafe
//!
//! The one unsafe step here is the use of the running fiber's yielder, a pointer into its own stack: it is set when
//! the fiber starts or is resumed, by the code that switches to it, and used by code that runs on that fiber only.
//! A fiber is never dropped while suspended: it is resumed until it returns (see `Runtime`'s drop).

mod join;
mod overflow;
mod park;
mod stack;

pub(crate) use join::Packet;
pub use join::{JoinError, JoinHandle};
pub(crate) use overflow::install as install_overflow_report;
pub use park::{Cancelled, TimedOut, park, sleep, timeout, unpark, yield_now};
pub use stack::StackStats;

use crate::core::Core;
use crate::limits::Limits;
use crate::slab::{Key, Slab};
use corosensei::stack::Stack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use stack::{FiberStack, Stacks};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

type FiberCoroutine = Coroutine<(), (), (), FiberStack>;

/// Names a fiber for as long as it lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FiberId(Key);

/// One wait of one fiber. Waking it twice, or after the wait has ended otherwise, does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Waiter {
    fiber: FiberId,
    sequence: u32,
}

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    Ready,
    Cancelled,
    TimedOut,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Running,
    Ready,
    Waiting,
}

enum Body {
    /// Has not begun.
    Start(Box<dyn FnOnce()>),
    Suspended(FiberCoroutine),
    /// On the processor.
    Running,
}

struct Record {
    body: Body,
    name: &'static str,
    waits_for: &'static str,
    wake: Option<Wake>,
    sequence: u32,
    state: State,
    cancelled: bool,
    /// In `park`: `unpark` ends this wait and no other.
    parked: bool,
    since: Duration,
    deadline: Duration,
    stack_used: u32,
}

/// What is said of a fiber by [`dump_fibers`](crate::dump_fibers).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FiberInfo {
    /// Its number.
    pub id: FiberId,
    /// The handler's route or the name it was given.
    pub name: &'static str,
    /// `ready` or `waiting`.
    pub state: &'static str,
    /// What it waits for.
    pub waits_for: &'static str,
    /// Time since it began.
    pub age: Duration,
    /// Bytes of its stack in use where it suspended.
    pub stack_used: usize,
}

/// How a fiber that was run in place ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Run {
    /// It returned.
    Finished,
    /// It waits; the loop goes on with it when its wait ends.
    Suspended(FiberId),
    /// There are as many fibers as there may be; it did not run.
    Refused,
}

/// The fiber on the processor.
struct Running {
    active: Cell<bool>,
    id: Cell<Option<FiberId>>,
    name: Cell<&'static str>,
    since: Cell<Duration>,
    yielder: Cell<*const Yielder<(), ()>>,
    /// The upper end of its stack.
    base: Cell<usize>,
}

/// Drops what a panic carried. If its destructor panics too, what that carries is left where it is.
pub(crate) fn drop_payload(payload: Box<dyn std::any::Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// All fibers of a worker.
pub(crate) struct Fibers {
    running: Running,
    shared: Cell<Option<FiberStack>>,
    stacks: RefCell<Stacks>,
    records: RefCell<Slab<Record>>,
    ready: RefCell<VecDeque<FiberId>>,
    max: usize,
    high_water: Cell<usize>,
    pub(crate) panics: Cell<u64>,
    /// Calls in progress in which a wait would leave something half done.
    no_waits: Cell<u32>,
}

impl Fibers {
    pub(crate) fn new(limits: &Limits) -> Fibers {
        Fibers {
            running: Running {
                active: Cell::new(false),
                id: Cell::new(None),
                name: Cell::new(""),
                since: Cell::new(Duration::ZERO),
                yielder: Cell::new(std::ptr::null()),
                base: Cell::new(0),
            },
            shared: Cell::new(None),
            stacks: RefCell::new(Stacks::new(limits.stack_bytes, limits.fibers_max as usize + 1)),
            records: RefCell::new(Slab::new()),
            ready: RefCell::new(VecDeque::new()),
            max: limits.fibers_max as usize,
            high_water: Cell::new(0),
            panics: Cell::new(0),
            no_waits: Cell::new(0),
        }
    }

    /// Whether the caller runs on a fiber.
    #[inline]
    pub(crate) fn on_fiber(&self) -> bool {
        self.running.active.get()
    }

    /// Whether the running fiber has no record, so that nobody can wake or cancel it.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.on_fiber() && self.running.id.get().is_none()
    }

    /// Runs `f` as a fiber, now, on the shared stack. Called on the loop's own stack only.
    ///
    /// # Panics
    /// When called on a fiber.
    #[inline]
    pub(crate) fn run(&self, name: &'static str, now: Duration, f: impl FnOnce() + 'static) -> Run {
        assert!(!self.on_fiber(), "a fiber is started in place by the loop only");
        if self.records.borrow().len() >= self.max {
            return Run::Refused;
        }
        let Some(stack) = self.take_stack() else { return Run::Refused };
        let running = &self.running;
        running.id.set(None);
        running.name.set(name);
        running.since.set(now);
        self.launch(stack, f)
    }

    #[inline]
    fn launch(&self, stack: FiberStack, f: impl FnOnce() + 'static) -> Run {
        self.running.base.set(stack.base().get());
        let running = &raw const self.running;
        let panics = &raw const self.panics;
        let mut coroutine = FiberCoroutine::with_stack(stack, move |yielder, ()| {
            // SAFETY: `Fibers` outlives every fiber, see the module doc.
            unsafe { (*running).yielder.set(yielder) };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
                // SAFETY: as above.
                let panics = unsafe { &*panics };
                panics.set(panics.get() + 1);
                drop_payload(payload);
            }
        });
        self.running.active.set(true);
        let result = coroutine.resume(());
        self.running.active.set(false);
        self.settle(coroutine, result)
    }

    /// After a switch back to the loop: keeps the coroutine, or its stack.
    #[inline]
    fn settle(&self, coroutine: FiberCoroutine, result: CoroutineResult<(), ()>) -> Run {
        let id = self.running.id.take();
        match result {
            CoroutineResult::Return(()) => {
                self.put_stack(coroutine.into_stack());
                if let Some(id) = id {
                    self.records.borrow_mut().remove(id.0);
                }
                Run::Finished
            }
            CoroutineResult::Yield(()) => {
                let id = id.expect("a fiber that waits has a record");
                let mut records = self.records.borrow_mut();
                let record = records.get_mut(id.0).expect("a waiting fiber's record stays");
                record.body = Body::Suspended(coroutine);
                Run::Suspended(id)
            }
        }
    }

    #[inline]
    fn take_stack(&self) -> Option<FiberStack> {
        self.shared.take().or_else(|| self.stacks.borrow_mut().acquire())
    }

    #[inline]
    fn put_stack(&self, stack: FiberStack) {
        if let Some(other) = self.shared.replace(Some(stack)) {
            self.stacks.borrow_mut().release(other);
        }
    }

    /// Queues a fiber to be started by the loop. `None` when there are as many as there may be.
    pub(crate) fn spawn(&self, name: &'static str, now: Duration, f: Box<dyn FnOnce()>) -> Option<FiberId> {
        let id = self.insert(Record {
            body: Body::Start(f),
            name,
            waits_for: "",
            wake: None,
            sequence: 0,
            state: State::Ready,
            cancelled: false,
            parked: false,
            since: now,
            deadline: Duration::MAX,
            stack_used: 0,
        })?;
        self.ready.borrow_mut().push_back(id);
        Some(id)
    }

    fn insert(&self, record: Record) -> Option<FiberId> {
        let mut records = self.records.borrow_mut();
        // The running fiber may need a record of its own, though it has none yet.
        let kept =
            usize::from(self.on_fiber() && self.running.id.get().is_none() && record.state != State::Running);
        if records.len() + kept >= self.max {
            return None;
        }
        let id = FiberId(records.insert(record));
        self.high_water.set(self.high_water.get().max(records.len()));
        Some(id)
    }

    /// The running fiber's id, with a record made if it has none yet. `None` off a fiber, or at the bound.
    pub(crate) fn current(&self) -> Option<FiberId> {
        if !self.on_fiber() {
            return None;
        }
        if let Some(id) = self.running.id.get() {
            return Some(id);
        }
        let id = self.insert(Record {
            body: Body::Running,
            name: self.running.name.get(),
            waits_for: "",
            wake: None,
            sequence: 0,
            state: State::Running,
            cancelled: false,
            parked: false,
            since: self.running.since.get(),
            deadline: Duration::MAX,
            stack_used: 0,
        })?;
        self.running.id.set(Some(id));
        Some(id)
    }

    /// Resumes the next ready fiber and returns its name.
    pub(crate) fn run_next(&self) -> Option<&'static str> {
        let id = self.ready.borrow_mut().pop_front()?;
        self.resume(id);
        Some(self.running.name.get())
    }

    /// Fibers that could run now.
    pub(crate) fn ready(&self) -> usize {
        self.ready.borrow().len()
    }

    fn resume(&self, id: FiberId) {
        let taken = {
            let mut records = self.records.borrow_mut();
            let Some(record) = records.get_mut(id.0) else { return };
            record.state = State::Running;
            self.running.id.set(Some(id));
            self.running.name.set(record.name);
            self.running.since.set(record.since);
            std::mem::replace(&mut record.body, Body::Running)
        };
        match taken {
            Body::Start(f) => match self.take_stack() {
                Some(stack) => {
                    self.launch(stack, f);
                }
                None => self.retry_start(id, f),
            },
            Body::Suspended(mut coroutine) => {
                self.running.active.set(true);
                let result = coroutine.resume(());
                self.running.active.set(false);
                self.settle(coroutine, result);
            }
            Body::Running => unreachable!("a running fiber is not in the ready queue"),
        }
    }

    fn retry_start(&self, id: FiberId, f: Box<dyn FnOnce()>) {
        self.running.id.set(None);
        if let Some(record) = self.records.borrow_mut().get_mut(id.0) {
            record.body = Body::Start(f);
            record.state = State::Ready;
        }
        self.ready.borrow_mut().push_back(id);
    }

    /// Begins a wait of the running fiber. Whoever is to end it gets the waiter before [`park`](Fibers::park).
    ///
    /// # Panics
    /// When not called on a fiber: there is nothing to suspend.
    pub(crate) fn waiter(&self) -> Waiter {
        assert!(
            self.on_fiber(),
            "only a fiber can wait; call this on a fiber: in a handler, or by go(..); a callback of a socket is none"
        );
        let fiber = self.current().expect("the place of the running fiber is kept free");
        let mut records = self.records.borrow_mut();
        let record = records.get_mut(fiber.0).expect("the running fiber has a record");
        record.sequence = record.sequence.wrapping_add(1);
        record.wake = None;
        Waiter { fiber, sequence: record.sequence }
    }

    /// Calls `f`, in which the fiber must not wait: a wait panics, on the fiber.
    pub(crate) fn without_waits<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Allow<'a>(&'a Cell<u32>);
        impl Drop for Allow<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        self.no_waits.set(self.no_waits.get() + 1);
        let _allow = Allow(&self.no_waits);
        f()
    }

    /// A wait in a call that has a connection's state borrowed would let the loop find it so: it is the fiber that panics.
    pub(crate) fn assert_may_wait(&self, core: &Core) {
        let is_free = self.no_waits.get() == 0 && core.conns.slots.try_borrow_mut().is_ok();
        assert!(is_free, "a fiber does not wait inside of a call that borrows a connection's state");
    }

    /// Suspends the running fiber until its waiter is woken. A wake-up that came before is taken at once.
    ///
    /// Does not panic: who calls it may have memory in the kernel's hands.
    fn suspend(&self, waiter: Waiter, waits_for: &'static str) -> Wake {
        let here = 0u8;
        let (yielder, base) = (self.running.yielder.get(), self.running.base.get());
        {
            let mut records = self.records.borrow_mut();
            let record = records.get_mut(waiter.fiber.0).expect("the running fiber has a record");
            if let Some(wake) = record.wake.take() {
                return wake;
            }
            record.state = State::Waiting;
            record.waits_for = waits_for;
            record.stack_used = base.saturating_sub(&raw const here as usize) as u32;
        }
        // SAFETY: the yielder lies on the stack this code runs on, and was set when this fiber was last switched to.
        unsafe { (*yielder).suspend(()) };
        self.running.yielder.set(yielder);
        self.running.base.set(base);
        let mut records = self.records.borrow_mut();
        let record = records.get_mut(waiter.fiber.0).expect("the running fiber has a record");
        record.wake.take().unwrap_or(Wake::Ready)
    }

    /// Waits for the next turn, though woken already.
    fn park_yield(&self, waiter: Waiter) -> Wake {
        if self.is_cancelled() || std::thread::panicking() {
            return Wake::Cancelled;
        }
        if let Some(record) = self.records.borrow_mut().get_mut(waiter.fiber.0) {
            record.wake = None;
            record.state = State::Ready;
        }
        self.ready.borrow_mut().push_back(waiter.fiber);
        let (yielder, base) = (self.running.yielder.get(), self.running.base.get());
        // SAFETY: as in `suspend`.
        unsafe { (*yielder).suspend(()) };
        self.running.yielder.set(yielder);
        self.running.base.set(base);
        match self.is_cancelled() {
            true => Wake::Cancelled,
            false => Wake::Ready,
        }
    }

    /// Ends a wait. Returns whether it was still going on.
    pub(crate) fn wake(&self, waiter: Waiter, wake: Wake) -> bool {
        let mut records = self.records.borrow_mut();
        let Some(record) = records.get_mut(waiter.fiber.0) else { return false };
        if record.sequence != waiter.sequence || record.wake.is_some() {
            return false;
        }
        record.wake = Some(wake);
        if record.state == State::Waiting {
            record.state = State::Ready;
            self.ready.borrow_mut().push_back(waiter.fiber);
        }
        true
    }

    /// Waits until [`unpark`](Fibers::unpark) is called for this fiber.
    pub(crate) fn park_current(&self, core: &Core, what: &'static str) -> Wake {
        let waiter = self.waiter();
        if let Some(record) = self.records.borrow_mut().get_mut(waiter.fiber.0) {
            record.parked = true;
        }
        let wake = self.park(core, waiter, what, None);
        if let Some(record) = self.records.borrow_mut().get_mut(waiter.fiber.0) {
            record.parked = false;
        }
        wake
    }

    /// Ends the fiber's `park`, if it is in one.
    pub(crate) fn unpark(&self, id: FiberId) {
        let waiter = {
            let records = self.records.borrow();
            let parked = records.get(id.0).filter(|record| record.parked);
            parked.map(|record| Waiter { fiber: id, sequence: record.sequence })
        };
        if let Some(waiter) = waiter {
            self.wake(waiter, Wake::Ready);
        }
    }

    /// Cancels a fiber: its current wait, and every later one, ends with [`Wake::Cancelled`].
    pub(crate) fn cancel(&self, id: FiberId) {
        let waiter = {
            let mut records = self.records.borrow_mut();
            let Some(record) = records.get_mut(id.0) else { return };
            record.cancelled = true;
            if record.state != State::Waiting {
                return;
            }
            Waiter { fiber: id, sequence: record.sequence }
        };
        self.wake(waiter, Wake::Cancelled);
    }

    /// Cancels every fiber there is.
    pub(crate) fn cancel_all(&self) {
        let all: Vec<FiberId> = self.records.borrow().iter().map(|(key, _)| FiberId(key)).collect();
        for id in all {
            self.cancel(id);
        }
    }

    /// Whether the running fiber was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        let Some(id) = self.running.id.get() else { return false };
        self.records.borrow().get(id.0).is_some_and(|record| record.cancelled)
    }

    /// Sets the running fiber's deadline and returns the one before.
    fn swap_deadline(&self, deadline: Duration) -> Duration {
        let Some(id) = self.current() else { return Duration::MAX };
        let mut records = self.records.borrow_mut();
        let record = records.get_mut(id.0).expect("the running fiber has a record");
        std::mem::replace(&mut record.deadline, deadline)
    }

    fn deadline(&self) -> Duration {
        let Some(id) = self.running.id.get() else { return Duration::MAX };
        self.records.borrow().get(id.0).map_or(Duration::MAX, |record| record.deadline)
    }

    /// Names the running fiber: what a slow turn, a dump and an overflow are reported under.
    #[inline]
    pub(crate) fn set_name(&self, name: &'static str) {
        self.running.name.set(name);
        if let Some(id) = self.running.id.get()
            && let Some(record) = self.records.borrow_mut().get_mut(id.0)
        {
            record.name = name;
        }
    }

    /// The name of the fiber that ran last.
    pub(crate) fn last_name(&self) -> &'static str {
        self.running.name.get()
    }

    /// Whether a fiber has not ended yet.
    pub(crate) fn is_live(&self, id: FiberId) -> bool {
        self.records.borrow().get(id.0).is_some()
    }

    /// Fibers that exist.
    pub(crate) fn len(&self) -> usize {
        self.records.borrow().len()
    }

    /// The most fibers there were, and the stacks.
    pub(crate) fn stats(&self) -> (usize, StackStats) {
        (self.high_water.get(), self.stacks.borrow().stats())
    }

    /// Gives cold stacks back to the kernel.
    pub(crate) fn trim(&self) {
        self.stacks.borrow_mut().trim();
    }

    pub(crate) fn is_guard(&self, address: usize) -> bool {
        self.stacks.try_borrow().is_ok_and(|stacks| stacks.is_guard(address))
    }

    pub(crate) fn dump(&self, now: Duration) -> Vec<FiberInfo> {
        let records = self.records.borrow();
        let info = |(key, record): (Key, &Record)| FiberInfo {
            id: FiberId(key),
            name: record.name,
            state: match record.state {
                State::Running => "running",
                State::Ready => "ready",
                State::Waiting => "waiting",
            },
            waits_for: record.waits_for,
            age: now.saturating_sub(record.since),
            stack_used: record.stack_used as usize,
        };
        records.iter().map(info).collect()
    }
}

impl Drop for Fibers {
    fn drop(&mut self) {
        if let Some(stack) = self.shared.take() {
            self.stacks.borrow_mut().release(stack);
        }
    }
}
