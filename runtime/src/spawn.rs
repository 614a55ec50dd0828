//! Starting work: fibers on this thread, jobs on the worker pool, hooks of the loop.

use crate::core::{self, Message};
use crate::fiber::{FiberId, JoinError, JoinHandle, Packet, Run};
use crate::hooks::HookId;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Starts `f` as a fiber of this worker, in this or the next turn. `name` is what dumps and reports call it.
///
/// # Panics
/// Off a worker's thread, or when there are [`Limits::fibers_max`](crate::Limits::fibers_max) fibers; [`try_go`] says so instead.
///
/// ```
/// # use sws_runtime::{Runtime, go};
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| {
///     let answer = go("answer", || 6 * 7);
///     assert_eq!(answer.join().unwrap(), 42);
/// });
/// ```
#[track_caller]
pub fn go<T: 'static>(name: &'static str, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    try_go(name, f).expect("as many fibers as there may be: raise Limits::fibers_max")
}

/// As [`go`]; `None` when there are as many fibers as there may be.
///
/// # Panics
/// Off a worker's thread.
#[track_caller]
pub fn try_go<T: 'static>(name: &'static str, f: impl FnOnce() -> T + 'static) -> Option<JoinHandle<T>> {
    JoinHandle::start(name, f)
}

/// As [`go`], for a fiber that goes on for as long as the worker does: when the worker drains it is cancelled at once, instead of
/// holding the drain until its timeout.
///
/// # Panics
/// As [`go`].
///
/// ```
/// # use sws_runtime::{Runtime, go_daemon, sleep};
/// # use std::time::Duration;
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.enter(|| go_daemon("sweep", || while sleep(Duration::from_secs(60)).is_ok() {}));
/// runtime.handle().shutdown();
/// runtime.run();
/// ```
#[track_caller]
pub fn go_daemon<T: 'static>(name: &'static str, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let handle = go(name, f);
    if let Some(id) = handle.fiber() {
        core::with(|core| core.loop_ops.add_daemon(core, id));
    }
    handle
}

/// Runs `f` as a fiber now, on the shared stack, from the loop: until it returns or first waits. For protocols that start a
/// fiber for each request.
///
/// # Panics
/// Off a worker's thread, or on a fiber.
#[inline]
pub fn run_inline(name: &'static str, f: impl FnOnce() + 'static) -> Run {
    core::with(|core| core.fibers.run(name, core.now(), f))
}

/// Names the running fiber: what a slow turn, a dump and a stack overflow are reported under. Off a worker's thread it
/// does nothing.
#[inline]
pub fn set_fiber_name(name: &'static str) {
    core::try_with(|core| core.fibers.set_name(name));
}

/// Whether the caller runs on a fiber, and so may wait.
pub fn on_fiber() -> bool {
    core::on_fiber()
}

/// Whether the caller is on a worker's thread, on a fiber or in a callback of the loop.
pub fn on_worker() -> bool {
    core::try_with(|_| ()).is_some()
}

/// Calls `f` so that a wait in it panics: for protocols that call user code while they hold something.
///
/// # Panics
/// Off a worker's thread.
pub fn without_waits<R>(f: impl FnOnce() -> R) -> R {
    core::with(|core| core.fibers.without_waits(f))
}

/// The running fiber, if the caller runs on one.
pub fn current_fiber() -> Option<FiberId> {
    core::try_with(|core| core.fibers.current()).flatten()
}

/// Whether the running fiber has never waited and nobody knows it by an id, so that it can go on with other work as if it were
/// a new one. False off a fiber.
#[inline]
pub fn is_fresh_fiber() -> bool {
    core::try_with(|core| core.fibers.is_fresh()).unwrap_or(false)
}

/// Time since the worker was made, as read once in this turn: costs nothing.
///
/// # Panics
/// Off a worker's thread.
#[inline]
pub fn turn_time() -> std::time::Duration {
    core::with(crate::core::Core::now)
}

/// Time since this turn's events were taken from the kernel, read now.
///
/// # Panics
/// Off a worker's thread.
pub fn turn_elapsed() -> std::time::Duration {
    core::with(|core| core.clock().saturating_sub(core.now()))
}

/// Reaches the worker on whose thread the caller is, from other threads.
///
/// # Panics
/// Off a worker's thread.
pub fn current_handle() -> crate::Handle {
    core::with(crate::Handle::of)
}

/// An empty buffer of at least `len` bytes (up to 64 KB) from the worker's pool, to be filled and queued by
/// [`Conn::push_buffer`](crate::Conn::push_buffer), or given back by [`release_buffer`]. `None` when all are in use.
///
/// # Panics
/// Off a worker's thread.
pub fn acquire_buffer(len: usize) -> Option<Vec<u8>> {
    core::with(|core| core.conns.buffers.borrow_mut().acquire(len))
}

/// Gives a buffer back to the worker's pool.
///
/// # Panics
/// Off a worker's thread.
pub fn release_buffer(buffer: Vec<u8>) {
    core::with(|core| core.conns.buffers.borrow_mut().release(buffer));
}

/// A block of 1 MB from the worker's pool, for a large body. `None` when all are in use. It may go to another thread; dropped
/// anywhere it counts itself out, and [`release_large`] keeps its memory for the next.
///
/// # Panics
/// Off a worker's thread.
pub fn acquire_large() -> Option<sws_stackpool::LargeBlock> {
    core::with(|core| core.large.borrow_mut().acquire())
}

/// Gives a block back to the worker's pool.
///
/// # Panics
/// Off a worker's thread.
pub fn release_large(block: sws_stackpool::LargeBlock) {
    core::with(|core| core.large.borrow_mut().release(block));
}

/// Cancels a fiber: its current wait, and every later one, fails.
///
/// # Panics
/// Off a worker's thread.
pub fn cancel_fiber(id: FiberId) {
    core::with(|core| core.fibers.cancel(id));
}

/// Why a job was not taken in. It is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitError {
    /// As many jobs wait as may.
    Full,
    /// The pool has ended, or no thread could be started.
    Closed,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubmitError::Full => "the worker pool's queue is full",
            SubmitError::Closed => "the worker pool has ended",
        })
    }
}

impl std::error::Error for SubmitError {}

/// Leaves [`JoinError::Lost`] when a job is dropped before it ran, and wakes who waits.
struct Promise<T: Send + 'static> {
    packet: Arc<Packet<T>>,
    door: crate::door::DoorHandle<Message>,
    kept: bool,
}

impl<T: Send + 'static> Promise<T> {
    fn keep(&mut self, value: Result<T, JoinError>) {
        self.kept = true;
        if let Some(waiter) = self.packet.complete(value) {
            // One message for each job, and jobs are bounded. A worker that has ended has no fiber that waits.
            let _ = self.door.push_reserved(Message::Wake(waiter));
        }
    }
}

impl<T: Send + 'static> Drop for Promise<T> {
    fn drop(&mut self) {
        if !self.kept {
            self.keep(Err(JoinError::Lost));
        }
    }
}

/// Runs `f` on the pool for CPU work. The answer wakes the loop at once.
///
/// # Errors
/// [`SubmitError`]: the queue is full.
///
/// # Panics
/// Off a worker's thread.
#[track_caller]
pub fn try_submit<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, SubmitError> {
    core::with(|core| {
        let packet = Packet::new();
        let mut promise =
            Promise { packet: Arc::clone(&packet), door: core.door_handle.clone(), kept: false };
        let job = Box::new(move || {
            let value = catch_unwind(AssertUnwindSafe(f)).map_err(JoinError::Panicked);
            promise.keep(value);
        });
        match core.workers.try_submit(job) {
            Ok(()) => Ok(JoinHandle::of_job(packet)),
            Err(crate::workers::SubmitError::Full(_)) => Err(SubmitError::Full),
            Err(_) => Err(SubmitError::Closed),
        }
    })
}

/// As [`try_submit`]; a fiber waits its turn while the queue is full. One that is cancelled then finds [`JoinError::Cancelled`], and its job
/// is dropped.
///
/// # Panics
/// Off a worker's thread, and, when the queue is full, off a fiber.
///
/// ```
/// # use sws_runtime::{Runtime, submit};
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| {
///     let sum = submit(|| (1..=1000u64).sum::<u64>());
///     assert_eq!(sum.join().unwrap(), 500_500);
/// });
/// ```
#[track_caller]
pub fn submit<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let job = Arc::new(std::sync::Mutex::new(Some(f)));
    loop {
        let shared = Arc::clone(&job);
        let attempt = try_submit(move || {
            let f = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            f.expect("a job is run once")()
        });
        let error = match attempt {
            Ok(handle) => return handle,
            Err(SubmitError::Full) if crate::sleep(std::time::Duration::from_millis(1)).is_ok() => continue,
            Err(SubmitError::Full) => JoinError::Cancelled,
            Err(SubmitError::Closed) => JoinError::Lost,
        };
        let packet = Packet::new();
        packet.complete(Err(error));
        return JoinHandle::of_job(packet);
    }
}

/// Has the loop call `hook` in each of its turns, until it is removed. It must not block. The loop makes no turn for its sake.
///
/// # Panics
/// Off a worker's thread.
pub fn add_tick_hook(hook: impl FnMut() + 'static) -> HookId {
    core::with(|core| core.hooks.insert(hook))
}

/// Removes a tick hook; false when it is not there. It is not called after this returns.
///
/// # Panics
/// Off a worker's thread.
pub fn remove_tick_hook(id: HookId) -> bool {
    core::with(|core| core.hooks.remove(id))
}

/// Has `hook` called on the loop before each deferred answer is sent, until it is removed.
///
/// # Panics
/// Off a worker's thread.
pub fn add_deferred_hook(hook: impl FnMut() + 'static) -> HookId {
    core::with(|core| core.deferred_hooks.insert(hook))
}

/// Removes a deferred hook; false when it is not there.
///
/// # Panics
/// Off a worker's thread.
pub fn remove_deferred_hook(id: HookId) -> bool {
    core::with(|core| core.deferred_hooks.remove(id))
}

/// Calls the deferred hooks: for protocols, before they send a deferred answer.
pub fn run_deferred_hooks() {
    core::with(|core| core.deferred_hooks.run());
}
