//! The worker pool: OS threads for CPU work, so that it never runs on the IO thread.
//!
//! A job is a closure. [`WorkerPool::try_submit`] puts it in a bounded queue; threads are started as jobs need them, up to
//! [`WorkerConfig::threads`], and a pool that was never used has none. A panic ends its job and nothing else. How a result
//! gets back to the one who submitted is the job's own business: it pushes to the [door](crate::door).
//!
//! Jobs run as coroutines: [`worker_yield`] parks a job that waits for a device until its `poll` says yes, and the thread
//! runs other jobs meanwhile. A job stands on the thread's spare stack and leaves it to the next one when it ends; one that
//! parks keeps the stack it stands on, and the thread takes another. So stacks in use = parked jobs + 1 for each thread.
//!
//! ```text
//! try_submit --> queue (queue_max) --> thread: run --> ends: the stack goes back, on top of the spare ones
//!                                        ^  \-> worker_yield: parked (parked_max) with its stack
//!                                        |         | polled between jobs, and while idle every 50 us to 1 ms
//!                                        +---------+
//! ```
//!
//! At [close](WorkerPool::close) queued jobs are dropped, so that their wrappers see it; running ones finish; parked ones are
//! resumed with [`JobCancelled`]. No suspended job is ever dropped: each runs to its end, with its destructors.

mod job;
mod stack;
mod thread;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

pub use job::{JobCancelled, current_job_stack, worker_yield};

/// What a worker runs.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// The measures of a [`WorkerPool`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// The most threads that the pool starts. Default: one less than the cores, at least one.
    pub threads: usize,
    /// The most jobs that wait for a thread. Default 1,024.
    pub queue_max: usize,
    /// The most jobs that one thread keeps parked; with as many it takes no new job until one has ended. Default 256.
    pub parked_max: usize,
    /// Usable bytes of a job's stack, rounded up to whole pages. Default 256 KB.
    pub stack_bytes: usize,
    /// How long a thread that has run out of jobs looks for another before it waits. Default zero: measured on two cores,
    /// spinning shortens the median answer of an idle pool little or not at all and lengthens its tail.
    pub spin: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            threads: cores.saturating_sub(1).max(1),
            queue_max: 1024,
            parked_max: 256,
            stack_bytes: 256 * 1024,
            spin: Duration::ZERO,
        }
    }
}

/// A pool of OS threads for CPU work. See the [module](self).
///
/// Dropping it closes it and waits for the running jobs, except for one that drops the pool itself.
///
/// ```
/// use std::sync::mpsc;
/// use sws_runtime::workers::{WorkerConfig, WorkerPool};
///
/// let pool = WorkerPool::new(WorkerConfig { threads: 2, ..WorkerConfig::default() });
/// let (sender, receiver) = mpsc::channel();
/// pool.try_submit(Box::new(move || sender.send((1..=10u32).product::<u32>()).unwrap()))?;
/// assert_eq!(receiver.recv(), Ok(3_628_800));
/// # Ok::<(), sws_runtime::workers::SubmitError>(())
/// ```
pub struct WorkerPool {
    shared: Arc<Shared>,
}

/// Why a job was not taken in; it is given back.
#[non_exhaustive]
pub enum SubmitError {
    /// As many jobs wait as the queue may hold.
    Full(Job),
    /// The pool is closed.
    Closed(Job),
    /// The pool has no thread and the first could not be started.
    NoThread(Job, io::Error),
}

impl SubmitError {
    /// The job that was not taken in.
    pub fn into_job(self) -> Job {
        match self {
            Self::Full(job) | Self::Closed(job) | Self::NoThread(job, _) => job,
        }
    }
}

impl fmt::Debug for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Closed(_) => f.write_str("Closed(..)"),
            Self::NoThread(_, error) => f.debug_tuple("NoThread").field(error).finish(),
        }
    }
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the worker queue is full"),
            Self::Closed(_) => f.write_str("the worker pool is closed"),
            Self::NoThread(..) => f.write_str("no worker thread could be started"),
        }
    }
}

impl std::error::Error for SubmitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Full(_) | Self::Closed(_) => None,
            Self::NoThread(_, error) => Some(error),
        }
    }
}

/// What a pool is doing and has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Threads started.
    pub threads: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// Jobs that a thread runs.
    pub running: usize,
    /// Jobs that wait in [`worker_yield`].
    pub parked: usize,
    /// Jobs that have ended, by return or by panic.
    pub finished: u64,
    /// Jobs given back because the queue was full.
    pub refused: u64,
    /// Jobs whose panic reached the pool.
    pub panicked: u64,
}

/// What the pool and its threads share.
struct Shared {
    config: WorkerConfig,
    state: Mutex<State>,
    /// Threads wait here for a job.
    work: Condvar,
    /// Length of the queue, for a spinning thread to look at without the lock; written under it.
    queue_len: AtomicUsize,
    /// Written under the lock, read without it by running jobs.
    closing: AtomicBool,
    counters: Counters,
}

/// Everything that the lock guards.
#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: Vec<JoinHandle<()>>,
    /// Threads that wait on the condition variable, those already notified included.
    waiting: usize,
    /// Notifications sent and not yet answered; so a push that is covered by one sends no other.
    notified: usize,
    /// Threads that look at `queue_len` and will take the lock again before they wait.
    spinning: usize,
}

#[derive(Default)]
struct Counters {
    running: AtomicUsize,
    parked: AtomicUsize,
    finished: AtomicU64,
    refused: AtomicU64,
    panicked: AtomicU64,
}

impl WorkerPool {
    /// A pool by these measures; threads start with the first jobs.
    ///
    /// # Panics
    /// If `threads`, `queue_max` or `parked_max` is zero, or `stack_bytes` is below 16 KB.
    pub fn new(config: WorkerConfig) -> Self {
        assert!(config.threads > 0, "a pool needs a thread");
        assert!(config.queue_max > 0, "a pool without a queue would refuse everything");
        assert!(config.parked_max > 0, "a thread must be able to park a job");
        assert!(config.stack_bytes >= stack::STACK_BYTES_MIN, "a job's stack is at least 16 KB");
        let shared = Shared {
            config,
            state: Mutex::default(),
            work: Condvar::new(),
            queue_len: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            counters: Counters::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Puts `job` in the queue and sees to it that a thread takes it. Never waits for a job.
    ///
    /// # Errors
    /// [`SubmitError`] gives the job back: the queue is full, the pool is closed, or no thread can be started.
    pub fn try_submit(&self, job: Job) -> Result<(), SubmitError> {
        let mut state = self.shared.lock();
        if self.shared.is_closing() {
            return Err(SubmitError::Closed(job));
        }
        let waiting_jobs = state.queue.len();
        if waiting_jobs >= self.shared.config.queue_max {
            drop(state);
            self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            return Err(SubmitError::Full(job));
        }
        let free = state.waiting + state.spinning;
        if waiting_jobs >= free
            && state.threads.len() < self.shared.config.threads
            && let Err(error) = self.shared.start_thread(&mut state)
            && state.threads.is_empty()
        {
            return Err(SubmitError::NoThread(job, error));
        }
        state.queue.push_back(job);
        self.shared.queue_len.store(state.queue.len(), Ordering::Release);
        let notify = state.waiting > state.notified && state.queue.len() > state.spinning + state.notified;
        state.notified += usize::from(notify);
        drop(state);
        if notify {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    /// Refuses further jobs, drops those that wait, cancels those that are parked and lets the running ones finish. Returns
    /// without waiting for them.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        self.shared.closing.store(true, Ordering::Release);
        let queue = std::mem::take(&mut state.queue);
        self.shared.queue_len.store(0, Ordering::Release);
        drop(state);
        self.shared.work.notify_all();
        for job in queue {
            discard(move || drop(job));
        }
    }

    /// Closes the pool and leaves its threads to themselves, for an exit that must not wait for a job that does not end.
    pub fn detach(self) {
        self.close();
        self.shared.lock().threads.clear();
    }

    /// Counts of the moment; jobs move on while they are read.
    pub fn stats(&self) -> WorkerStats {
        let (threads, queued) = {
            let state = self.shared.lock();
            (state.threads.len(), state.queue.len())
        };
        let counters = &self.shared.counters;
        WorkerStats {
            threads,
            queued,
            running: counters.running.load(Ordering::Relaxed),
            parked: counters.parked.load(Ordering::Relaxed),
            finished: counters.finished.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            panicked: counters.panicked.load(Ordering::Relaxed),
        }
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.close();
        let threads = std::mem::take(&mut self.shared.lock().threads);
        let own = std::thread::current().id();
        for thread in threads {
            // A job may hold the last reference to its own pool.
            if thread.thread().id() != own {
                // A worker catches what its jobs throw, so there is no panic to pass on.
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool")
            .field("config", &self.shared.config)
            .field("stats", &self.stats())
            .finish()
    }
}

impl Shared {
    /// No job runs or is dropped under this lock, so a poisoned one cannot hold a broken state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Starts a thread; it takes the lock as soon as the caller gives it up.
    fn start_thread(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name(format!("sws-worker-{}", state.threads.len()))
            .stack_size(self.config.stack_bytes + stack::STACK_BYTES_MIN)
            .spawn(move || thread::Worker::new(shared).run())?;
        state.threads.push(thread);
        Ok(())
    }

    fn pop(&self, state: &mut State) -> Option<Job> {
        let job = state.queue.pop_front()?;
        self.queue_len.store(state.queue.len(), Ordering::Release);
        Some(job)
    }

    /// Waits for a notification, or at most `timeout`.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        state.waiting += 1;
        state = match timeout {
            None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => self.work.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0,
        };
        state.waiting -= 1;
        // One that wakes for another reason may take another's notification off; that costs a notification too many,
        // never one too few.
        state.notified = state.notified.saturating_sub(1);
        state
    }

    /// Looks for a job without the lock, for the configured time.
    fn spin<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.spinning += 1;
        drop(state);
        let start = Instant::now();
        while self.queue_len.load(Ordering::Acquire) == 0
            && !self.is_closing()
            && start.elapsed() < self.config.spin
        {
            std::hint::spin_loop();
        }
        let mut state = self.lock();
        state.spinning -= 1;
        state
    }
}

impl Counters {
    /// Counts a job's end.
    fn finish(&self, panicked: bool) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.finished.fetch_add(1, Ordering::Relaxed);
        if panicked {
            self.panicked.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Runs `code` and lets no panic out, not even that of a panic's payload. True if it panicked.
fn discard(code: impl FnOnce()) -> bool {
    let Err(payload) = panic::catch_unwind(AssertUnwindSafe(code)) else {
        return false;
    };
    if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    true
}

#[cfg(test)]
#[path = "workers/tests.rs"]
mod tests;
