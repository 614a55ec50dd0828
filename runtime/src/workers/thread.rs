//! One worker thread: takes jobs, runs them on its stacks, and polls those that are parked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::job::{POLL_PAUSE_MAX, POLL_PAUSE_MIN, Step, Suspended, Task};
use super::stack::Stacks;
use super::{Job, Shared, discard};

/// Parked jobs polled between two new ones, so that many parked jobs do not delay the queue.
const POLLS_BETWEEN_JOBS: usize = 16;

/// What a thread does next.
enum Next {
    Run(Job),
    Poll,
    Close,
}

/// A worker thread's own state. It must be dropped only when no job is parked; [`run`](Self::run) sees to that.
pub(super) struct Worker {
    shared: Arc<Shared>,
    stacks: Stacks,
    /// Round robin: polled from the front, put back at the end.
    parked: VecDeque<Task>,
    pause: Duration,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let stacks = Stacks::new(shared.config.stack_bytes);
        Self { shared, stacks, parked: VecDeque::new(), pause: POLL_PAUSE_MIN }
    }

    /// Runs jobs until the pool closes, then ends those that are parked.
    pub(super) fn run(mut self) {
        set_timer_slack();
        loop {
            match self.next() {
                Next::Run(job) => {
                    self.start(job);
                    self.poll(POLLS_BETWEEN_JOBS);
                }
                Next::Poll => {
                    let progress = self.poll(usize::MAX);
                    self.pause = if progress { POLL_PAUSE_MIN } else { (self.pause * 2).min(POLL_PAUSE_MAX) };
                }
                Next::Close => break,
            }
        }
        // Once the pool is closing no job suspends again, so one pass ends them all.
        self.poll(usize::MAX);
        assert!(self.parked.is_empty(), "a cancelled job runs to its end");
    }

    /// Waits for a job, or for the time to poll.
    fn next(&self) -> Next {
        let shared = &*self.shared;
        if self.parked.len() >= shared.config.parked_max {
            // It could not take a job, so it must not stand among those that are notified of one.
            if !shared.is_closing() {
                thread::sleep(self.pause);
            }
            return if shared.is_closing() { Next::Close } else { Next::Poll };
        }
        let mut state = shared.lock();
        let mut spins = !shared.config.spin.is_zero() && self.parked.is_empty();
        loop {
            if shared.is_closing() {
                return Next::Close;
            }
            if let Some(job) = shared.pop(&mut state) {
                shared.counters.running.fetch_add(1, Ordering::Relaxed);
                return Next::Run(job);
            }
            if spins {
                spins = false;
                state = shared.spin(state);
            } else if self.parked.is_empty() {
                state = shared.wait(state, None);
            } else {
                state = shared.wait(state, Some(self.pause));
                if state.queue.is_empty() && !shared.is_closing() {
                    return Next::Poll;
                }
            }
        }
    }

    /// Takes the first steps of a new job.
    fn start(&mut self, job: Job) {
        match self.stacks.acquire() {
            Ok(stack) => {
                // SAFETY: this thread holds the shared state until `run` ends, and by then each task has ended.
                let task = unsafe { Task::new(stack, job, Arc::as_ptr(&self.shared)) };
                self.step(task);
            }
            // Without a stack of its own the job runs on the thread's, which is as large, and cannot let others run.
            Err(_) => self.shared.counters.finish(discard(job)),
        }
    }

    /// Polls the parked jobs, the longest unpolled first, `max` at most. True if one of them got somewhere.
    fn poll(&mut self, max: usize) -> bool {
        let mut progress = false;
        for _ in 0..self.parked.len().min(max) {
            if let Some(task) = self.parked.pop_front() {
                progress |= self.step(task);
            }
        }
        progress
    }

    /// Runs a task until it ends or parks. True if it got somewhere.
    fn step(&mut self, mut task: Task) -> bool {
        match task.step() {
            Step::Suspended(suspended) => {
                self.parked.push_back(task);
                suspended == Suspended::Entered
            }
            Step::Ended { panicked } => {
                self.stacks.release(task.into_stack());
                self.shared.counters.finish(panicked);
                true
            }
        }
    }
}

/// Asks for pauses as long as they say: the default slack of 50 us would double the shortest one.
fn set_timer_slack() {
    const SLACK_NANOS: libc::c_ulong = 1_000;
    // SAFETY: this option takes a number and changes the calling thread only. If it is refused, pauses are longer.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, SLACK_NANOS) };
}
