//! A loop with a ring that waits for a commit, idle or at other work.

use std::io;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use io_uring::{IoUring, cqueue, squeue};

use super::clock;

const SQ_ENTRIES: u32 = 64;

/// What a commit cost the thread of the loop.
#[derive(Clone, Copy, Default, Debug)]
pub struct Spent {
    /// Time in which it could do nothing else: in calls, or because another thread had its core.
    pub lost: Duration,
    /// CPU time of the other work that it did in the meantime.
    pub work: Duration,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Spent) {
        self.lost += other.lost;
        self.work += other.work;
    }
}

/// A ring, and what its thread does while nothing is completed.
pub struct Turns {
    ring: IoUring,
    /// CPU time of the other work of one turn, if there is any: the loop never waits then.
    work: Option<Duration>,
}

impl Turns {
    /// A ring of the calling thread.
    pub fn new(work: Option<Duration>) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
        // The flag has `submit` enter with GETEVENTS where a completion is ready to be made.
        builder.setup_taskrun_flag();
        Ok(Turns { ring: builder.build(SQ_ENTRIES)?, work })
    }

    /// Queues operations; there is room, as one commit is under way at a time.
    ///
    /// # Safety
    /// What the entries point to outlives their operations, and is not changed before they are completed.
    pub unsafe fn push(&mut self, entries: &[squeue::Entry]) {
        // SAFETY: the caller says that what the entries point to outlives the operations.
        unsafe { self.ring.submission().push_multiple(entries) }.expect("one commit is under way at a time");
    }

    /// Submits what is queued. All of it is lost time, as the kernel begins the operations on this thread.
    pub fn submit(&mut self) -> io::Result<Spent> {
        let start = Instant::now();
        self.ring.submit()?;
        Ok(Spent { lost: start.elapsed(), work: Duration::ZERO })
    }

    /// Waits for a completion.
    pub fn wait(&mut self) -> io::Result<(cqueue::Entry, Spent)> {
        let spent = match self.work {
            None => self.wait_idle()?,
            Some(work) => self.wait_at_work(work)?,
        };
        Ok((self.ring.completion().next().expect("waited for"), spent))
    }

    /// Loses its CPU time only: an idle loop waits anyway.
    fn wait_idle(&mut self) -> io::Result<Spent> {
        let before = clock::thread_cpu()?;
        while self.ring.completion().is_empty() {
            self.ring.submit_and_wait(1)?;
        }
        Ok(Spent { lost: clock::thread_cpu()? - before, work: Duration::ZERO })
    }

    /// Loses all that is not the work: the enters, and the time that others run on its core.
    fn wait_at_work(&mut self, turn: Duration) -> io::Result<Spent> {
        let start = Instant::now();
        let mut work = Duration::ZERO;
        while self.ring.completion().is_empty() {
            work += work_for(turn)?;
            self.ring.submit()?;
        }
        Ok(Spent { lost: start.elapsed().saturating_sub(work), work })
    }
}

/// Spins until the thread has had so much CPU time; how much it had.
fn work_for(time: Duration) -> io::Result<Duration> {
    const SPINS: usize = 64;
    let before = clock::thread_cpu()?;
    loop {
        let had = clock::thread_cpu()? - before;
        if had >= time {
            return Ok(had);
        }
        (0..SPINS).for_each(|_| std::hint::spin_loop());
    }
}

#[cfg(test)]
mod tests {
    use io_uring::opcode;

    use super::*;

    #[test]
    fn a_loop_at_work_sees_the_completion_and_counts_its_work() {
        let turn = Duration::from_micros(50);
        let mut turns = Turns::new(Some(turn)).unwrap();
        // SAFETY: a NOP points to nothing.
        unsafe { turns.push(&[opcode::Nop::new().build().user_data(7)]) };
        let (completion, spent) = turns.wait().unwrap();
        assert_eq!(completion.user_data(), 7);
        assert!(spent.work >= turn, "{spent:?}");
    }
}
