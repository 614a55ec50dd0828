//! The scripted ring: the interface of the real one over a simulated kernel, by `--cfg sws_sim`.
//!
//! Time is virtual, the peers are scripts, faults are drawn from a seed. See [`script`] for how a test drives it.
//!
//! # Unsafe
//!
//! The simulated kernel reads and writes the memory that operations name, between their push and their completion,
//! as the real one does: the promise of [`Ring::push`]'s caller covers it. Where that promise ends is where the
//! completion is *made*; it may be drained later.

mod files;
mod kernel;
mod listeners;
mod memory;
mod peer;
mod random;
mod real;
pub mod script;
mod streams;
mod world;

use crate::buffers::BufferRing;
use crate::completion::{Completion, RingStats};
use crate::config::{RingConfig, Wait};
use crate::op::Op;
use crate::probe::Features;
use crate::setup::SetupError;
use crate::token::Token;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use world::{Limits, Step};

/// A scripted io_uring with its provided buffers. Made and used on the thread of its world.
pub struct Ring {
    index: usize,
    descriptor: RawFd,
    buffers: Option<Rc<BufferRing>>,
    queue: Vec<(Op, Token)>,
    queue_max: usize,
    direct: u32,
    stats: RingStats,
    one_thread: PhantomData<Rc<()>>,
}

impl Ring {
    /// Makes a ring in the world of this thread.
    ///
    /// # Errors
    /// When there is no memory for the provided buffers.
    ///
    /// # Panics
    /// When no world is installed.
    pub fn new(config: &RingConfig) -> Result<Ring, SetupError> {
        let buffers = match &config.buffers {
            Some(buffers) => Some(Rc::new(BufferRing::new(buffers, buffers.incremental)?)),
            None => None,
        };
        let (index, descriptor) = script::with(|world| world.add_ring(config, buffers.clone()));
        Ok(Ring {
            index,
            descriptor,
            buffers,
            queue: Vec::new(),
            queue_max: config.submission_entries as usize,
            direct: config.direct_descriptors,
            stats: RingStats::default(),
            one_thread: PhantomData,
        })
    }

    /// Submits an operation with the next [`submit_and_wait`](Ring::submit_and_wait). A full queue is flushed first.
    ///
    /// # Safety
    /// All memory that `op` names stays valid, unmoved and not otherwise written (or, if the kernel writes it, not
    /// otherwise read) until the completion with this token and without `more` was drained, or the ring is dropped.
    pub unsafe fn push(&mut self, op: &Op, token: Token) {
        let is_full = self.queue.len() >= self.queue_max || script::with(World::draw_submission_full);
        if is_full {
            self.stats.submission_queue_full += 1;
            self.enter(Wait::POLL);
        }
        self.queue.push((*op, token));
    }

    /// Submits what was pushed and waits, in virtual time. Returns early on a signal; never fails for what a later
    /// call can mend.
    pub fn submit_and_wait(&mut self, wait: Wait) {
        self.enter(wait);
    }

    fn enter(&mut self, wait: Wait) {
        self.stats.enters += 1;
        self.stats.submissions += self.queue.len() as u64;
        let queue = std::mem::take(&mut self.queue);
        let index = self.index;
        let (limits, has_overflowed) = script::with(|world| {
            let has_overflowed = world.enter(index, queue);
            (Limits::new(world.now, wait), has_overflowed)
        });
        self.stats.completion_queue_overflow += u64::from(has_overflowed);
        loop {
            match script::with(|world| world.step(index, &limits)) {
                Step::Ready => break,
                Step::Again => {}
                Step::Call(call) => call(),
            }
        }
    }

    /// Moves all completions into `out` and returns how many were ghosts. `is_live` says whether somebody still waits
    /// for the token; if not, the completion is dropped here and its buffer given back.
    pub fn drain(&mut self, mut is_live: impl FnMut(Token) -> bool, out: &mut Vec<Completion>) -> usize {
        let entries = script::with(|world| world.take_completions(self.index));
        self.stats.completions += entries.len() as u64;
        let mut ghosts = 0;
        for entry in entries {
            let lease = match (entry.buffer, &self.buffers) {
                (Some((id, more)), Some(buffers)) => Some(buffers.lease(id, entry.result.unwrap_or(0), more)),
                _ => None,
            };
            let completion = Completion { token: entry.token, result: entry.result, lease, more: entry.more };
            match is_live(completion.token) {
                true => out.push(completion),
                false => ghosts += 1,
            }
        }
        self.stats.ghosts += ghosts;
        if let Some(buffers) = &self.buffers {
            buffers.replenish();
        }
        ghosts as usize
    }

    /// The provided buffers.
    pub fn buffers(&self) -> Option<&BufferRing> {
        self.buffers.as_deref()
    }

    /// Size of the direct-descriptor table, 0 if there is none.
    pub fn direct_descriptors(&self) -> u32 {
        self.direct
    }

    /// Counts.
    pub fn stats(&self) -> RingStats {
        self.stats
    }

    /// Has the kernel write `eventfd` at each completion. The eventfd is a real one.
    ///
    /// # Errors
    /// None.
    pub fn register_eventfd(&self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        script::with(|world| world.register_eventfd(self.index, eventfd.as_raw_fd()));
        Ok(())
    }

    /// What this ring can do: all of it.
    pub fn features(&self) -> Features {
        Features {
            deferred_task_work: true,
            min_wait: true,
            incremental_buffers: self.buffers.as_ref().is_some_and(|buffers| buffers.is_incremental()),
            direct_descriptors: self.direct > 0,
            multishot_receive: false,
            socket_options: true,
            install: true,
        }
    }
}

use script::World;

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        world::drop_ring(self.index);
    }
}
