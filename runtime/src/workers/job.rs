//! A job as a coroutine, and [`worker_yield`], its one suspension point.
//!
//! Who owns what: the worker thread owns the coroutine, and the coroutine its stack, from the job's first step to its end.
//! `CURRENT` is set while a job's own code runs on this thread, and only then; it points to the yielder, which lives at the
//! base of that job's stack, and to the pool's shared state, which the thread keeps alive until all its jobs have ended.
//! A coroutine never leaves its thread and is never dropped while suspended.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::stack::JobStack;
use super::{Counters, Job, Shared, discard};

/// The first pause between two polls of a parked job.
pub(super) const POLL_PAUSE_MIN: Duration = Duration::from_micros(50);
/// The longest pause between two polls of a parked job.
pub(super) const POLL_PAUSE_MAX: Duration = Duration::from_millis(1);

/// The pool closes while the job is parked: it should end, by `?` if it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobCancelled;

impl fmt::Display for JobCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the worker pool is closing")
    }
}

impl std::error::Error for JobCancelled {}

/// What a suspending job tells its thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspended {
    /// It has just entered a `worker_yield`: it got somewhere.
    Entered,
    /// It polled again, in vain.
    Again,
}

/// How one step of a job ended.
pub(super) enum Step {
    Suspended(Suspended),
    Ended { panicked: bool },
}

type JobCoroutine = Coroutine<(), Suspended, bool, JobStack>;
type JobYielder = Yielder<(), Suspended>;

/// A job on its stack.
pub(super) struct Task(JobCoroutine);

impl Task {
    /// Places `job` on `stack`.
    ///
    /// # Safety
    /// `shared` must be alive until the task has ended.
    pub(super) unsafe fn new(stack: JobStack, job: Job, shared: *const Shared) -> Self {
        let range = stack.range();
        let current = (range.start, range.end);
        Self(Coroutine::with_stack(stack, move |yielder: &JobYielder, ()| {
            CURRENT.set(Some(Current { yielder, shared, stack: current }));
            let panicked = discard(job);
            CURRENT.set(None);
            panicked
        }))
    }

    /// Runs the job until it ends or suspends.
    pub(super) fn step(&mut self) -> Step {
        match self.0.resume(()) {
            CoroutineResult::Yield(suspended) => Step::Suspended(suspended),
            CoroutineResult::Return(panicked) => Step::Ended { panicked },
        }
    }

    /// The stack of a task that has ended.
    pub(super) fn into_stack(self) -> JobStack {
        assert!(self.0.done(), "a suspended job is never dropped");
        self.0.into_stack()
    }
}

#[derive(Clone, Copy)]
struct Current {
    yielder: *const JobYielder,
    shared: *const Shared,
    stack: (usize, usize),
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// The addresses of the stack on which this thread's current job runs, its guard page at the lower end included.
/// One read of a thread-local cell, so a fault handler may call it.
pub fn current_job_stack() -> Option<Range<usize>> {
    CURRENT.get().map(|current| current.stack.0..current.stack.1)
}

/// Waits until `poll` returns true, and lets the worker run other jobs meanwhile.
///
/// For a job that waits for what has no descriptor: a GPU stream, a device register, a library's handle. `poll` is
/// called on the job's own stack, at once, then between other jobs, and every 50 us to 1 ms while the worker is idle. It
/// should be quick and must not block. A job stays on its thread. Like any suspension point it is no place for a
/// held lock, a `RefCell` guard or a thread-local's borrow.
///
/// Outside a submitted job (and inside a coroutine of another kind, or while a panic unwinds) there is nothing to switch to:
/// the thread sleeps between polls, by the same pauses, and the result is always `Ok`.
///
/// # Errors
/// [`JobCancelled`] once the pool closes and `poll` has said no once more; every later call then says the same at once.
///
/// ```
/// use std::sync::mpsc;
/// use sws_runtime::workers::{JobCancelled, WorkerConfig, WorkerPool, worker_yield};
///
/// // One thread, and the first job waits for the second.
/// let pool = WorkerPool::new(WorkerConfig { threads: 1, ..WorkerConfig::default() });
/// let (sender, device) = mpsc::channel();
/// let (done, result) = mpsc::channel();
/// pool.try_submit(Box::new(move || {
///     let mut value = None;
///     let waited = worker_yield(|| {
///         value = device.try_recv().ok();
///         value.is_some()
///     });
///     done.send(waited.map(|()| value)).unwrap();
/// }))?;
/// pool.try_submit(Box::new(move || sender.send(42).unwrap()))?;
/// assert_eq!(result.recv().unwrap(), Ok(Some(42)));
/// # Ok::<(), sws_runtime::workers::SubmitError>(())
/// ```
pub fn worker_yield(mut poll: impl FnMut() -> bool) -> Result<(), JobCancelled> {
    if poll() {
        return Ok(());
    }
    let Some(current) = CURRENT.get().filter(Current::may_suspend) else {
        sleep_until(poll);
        return Ok(());
    };
    // SAFETY: `current` belongs to the job whose code runs here; the thread keeps the shared state until the job has ended.
    let shared = unsafe { &*current.shared };
    // SAFETY: the yielder lives at the base of the stack on which this code stands (`may_suspend`), below all its frames.
    let yielder = unsafe { &*current.yielder };
    if shared.is_closing() {
        return Err(JobCancelled);
    }
    let _parked = Parked::new(&shared.counters);
    let mut suspended = Suspended::Entered;
    loop {
        CURRENT.set(None);
        yielder.suspend(suspended);
        CURRENT.set(Some(current));
        if poll() {
            return Ok(());
        }
        if shared.is_closing() {
            return Err(JobCancelled);
        }
        suspended = Suspended::Again;
    }
}

impl Current {
    /// True if the code that asks stands on the job's own stack, and no panic is on its way: the count of panics belongs to
    /// the thread, so other jobs must not run within one.
    fn may_suspend(&self) -> bool {
        let here = 0u8;
        let address = (&raw const here).addr();
        (self.stack.0..self.stack.1).contains(&address) && !thread::panicking()
    }
}

/// Counts a job as parked instead of running for as long as it lives, whichever way `poll` ends.
struct Parked<'a>(&'a Counters);

impl<'a> Parked<'a> {
    fn new(counters: &'a Counters) -> Self {
        counters.running.fetch_sub(1, Ordering::Relaxed);
        counters.parked.fetch_add(1, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.parked.fetch_sub(1, Ordering::Relaxed);
        self.0.running.fetch_add(1, Ordering::Relaxed);
    }
}

fn sleep_until(mut poll: impl FnMut() -> bool) {
    let mut pause = POLL_PAUSE_MIN;
    loop {
        thread::sleep(pause);
        if poll() {
            return;
        }
        pause = (pause * 2).min(POLL_PAUSE_MAX);
    }
}
