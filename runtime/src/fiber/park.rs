//! How a fiber waits: until it is woken, cancelled, or out of time.

use super::{FiberId, Fibers, Waiter, Wake};
use crate::core::{self, Core};
use std::fmt;
use std::io;
use std::time::Duration;

/// The fiber was cancelled: its peer is gone, its deadline passed, or the server drains. Every later wait of the fiber
/// fails with it too, so `?` leads out of the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl Cancelled {
    /// Whether an error of a file or a socket says that the fiber was cancelled.
    ///
    /// ```
    /// use sws_runtime::Cancelled;
    ///
    /// assert!(Cancelled::is_in(&Cancelled.into()));
    /// assert!(!Cancelled::is_in(&std::io::ErrorKind::NotFound.into()));
    /// ```
    pub fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fiber was cancelled")
    }
}

impl std::error::Error for Cancelled {}

impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> io::Error {
        io::Error::other(cancelled)
    }
}

/// The time given to [`timeout`] has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl std::error::Error for TimedOut {}

impl Fibers {
    /// Waits until the waiter is woken, at most until `until` or the fiber's own deadline.
    pub(crate) fn park(
        &self,
        core: &Core,
        waiter: Waiter,
        what: &'static str,
        until: Option<Duration>,
    ) -> Wake {
        // A destructor that runs while the fiber panics must not let another fiber run: the panic count is the thread's.
        if self.is_cancelled() || std::thread::panicking() {
            return Wake::Cancelled;
        }
        self.park_uncancelled(core, waiter, what, until)
    }

    /// As [`park`](Fibers::park), also for a fiber that was cancelled before.
    pub(crate) fn park_uncancelled(
        &self,
        core: &Core,
        waiter: Waiter,
        what: &'static str,
        until: Option<Duration>,
    ) -> Wake {
        self.assert_may_wait(core);
        let deadline = until.unwrap_or(Duration::MAX).min(self.deadline());
        if deadline == Duration::MAX {
            return self.suspend(waiter, what);
        }
        let timer = core.timers.borrow_mut().insert(deadline, waiter);
        let wake = self.suspend(waiter, what);
        core.timers.borrow_mut().remove(timer);
        wake
    }

    /// Waits for what is certain to come, without regard to cancellation and deadlines.
    pub(crate) fn park_final(&self, waiter: Waiter, what: &'static str) -> Wake {
        self.suspend(waiter, what)
    }
}

/// Suspends the fiber for a time. Not before that time, and as soon after it as the loop's turns allow.
///
/// # Errors
/// [`Cancelled`] when the fiber is cancelled, also when a [`timeout`] around it ends first.
///
/// # Panics
/// When not called on a fiber.
///
/// ```
/// # use sws_runtime::{Runtime, sleep};
/// use std::time::{Duration, Instant};
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| {
///     let begin = Instant::now();
///     sleep(Duration::from_millis(5)).unwrap();
///     assert!(begin.elapsed() >= Duration::from_millis(5));
/// });
/// ```
#[track_caller]
pub fn sleep(time: Duration) -> Result<(), Cancelled> {
    core::with(|core| {
        let fibers = &core.fibers;
        let waiter = fibers.waiter();
        let until = core.clock().saturating_add(time);
        let limited = fibers.deadline() < until;
        match fibers.park(core, waiter, "sleep", Some(until)) {
            Wake::TimedOut if !limited => Ok(()),
            Wake::Ready | Wake::TimedOut | Wake::Cancelled => Err(Cancelled),
        }
    })
}

/// Suspends the fiber until [`unpark`] is called for it. `what` is what dumps say it waits for. On one thread there is no race
/// between a look at a condition and the wait for it, so no wake-up is remembered: one that comes before is lost.
///
/// # Errors
/// [`Cancelled`] when the fiber is cancelled, or a [`timeout`] around it is over.
///
/// # Panics
/// When not called on a fiber.
pub fn park(what: &'static str) -> Result<(), Cancelled> {
    core::with(|core| match core.fibers.park_current(core, what) {
        Wake::Ready => Ok(()),
        Wake::TimedOut | Wake::Cancelled => Err(Cancelled),
    })
}

/// Ends a fiber's [`park`]. A fiber that waits for something else, or is gone, is not disturbed.
///
/// # Panics
/// Off a worker's thread.
pub fn unpark(id: FiberId) {
    core::with(|core| core.fibers.unpark(id));
}

/// Lets the other ready fibers and events go first.
///
/// # Errors
/// [`Cancelled`] when the fiber is cancelled.
///
/// # Panics
/// When not called on a fiber.
#[track_caller]
pub fn yield_now() -> Result<(), Cancelled> {
    core::with(|core| {
        core.fibers.assert_may_wait(core);
        let waiter = core.fibers.waiter();
        match core.fibers.park_yield(waiter) {
            Wake::Ready => Ok(()),
            Wake::TimedOut | Wake::Cancelled => Err(Cancelled),
        }
    })
}

/// Runs `f` with a deadline on the fiber's waits: each wait that is not over when the time is fails, with
/// [`Cancelled`] or, from a socket or a file, an error of kind `TimedOut`. `f` itself always runs to its end.
///
/// # Errors
/// [`TimedOut`] when the time was over before `f` returned; its value is dropped.
///
/// ```
/// # use sws_runtime::{Runtime, sleep, timeout};
/// use std::time::Duration;
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| {
///     assert!(timeout(Duration::from_millis(1), || sleep(Duration::from_secs(60))).is_err());
///     assert_eq!(timeout(Duration::from_secs(60), || 7), Ok(7));
/// });
/// ```
pub fn timeout<T>(time: Duration, f: impl FnOnce() -> T) -> Result<T, TimedOut> {
    let (before, deadline) = core::with(|core| {
        let deadline = core.clock().saturating_add(time);
        let before = core.fibers.deadline();
        (core.fibers.swap_deadline(deadline.min(before)), deadline)
    });
    /// Puts the outer deadline back, also when `f` panics.
    struct Restore(Duration);
    impl Drop for Restore {
        fn drop(&mut self) {
            core::with(|core| core.fibers.swap_deadline(self.0));
        }
    }
    let restore = Restore(before);
    let value = f();
    drop(restore);
    match core::with(Core::clock) < deadline {
        true => Ok(value),
        false => Err(TimedOut),
    }
}
