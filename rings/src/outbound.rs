//! Further rings beside the main one.
//!
//! An outbound ring shares the kernel's worker threads of the main ring, has its own queues, and wakes the main ring
//! through an eventfd: the kernel writes it at each completion, and the loop polls it. Polling the ring's own
//! descriptor would not wake a loop that defers its task work. The poll must be armed again after each wake-up: in a
//! chain of wake-ups that starts in io_uring the kernel ends a multishot poll after one.

use crate::completion::Completion;
use crate::config::{RingConfig, Wait};
use crate::op::Op;
use crate::ring::Ring;
use crate::setup::SetupError;
use crate::token::Token;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What the loop asks of a ring that it harvests.
pub trait RingTrait {
    /// Submits what was pushed, without waiting.
    fn submit(&mut self);
    /// Moves what has completed into `out`; returns how many were ghosts.
    fn harvest(&mut self, is_live: &mut dyn FnMut(Token) -> bool, out: &mut Vec<Completion>) -> usize;
    /// Becomes readable when something has completed.
    fn wake_descriptor(&self) -> BorrowedFd<'_>;
}

/// A ring attached to another one's worker threads, with an eventfd that tells of its completions.
pub struct OutboundRing {
    ring: Ring,
    eventfd: OwnedFd,
}

impl OutboundRing {
    /// Makes a ring attached to `main`, on the thread that harvests it.
    ///
    /// # Errors
    /// As [`Ring::new`].
    pub fn attached_to(main: &Ring, mut config: RingConfig) -> Result<OutboundRing, SetupError> {
        config.attach = Some(main.as_raw_fd());
        let ring = Ring::new(&config)?;
        // SAFETY: eventfd(2) takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error().into());
        }
        // SAFETY: the descriptor was just made and has no other owner.
        let eventfd = unsafe { OwnedFd::from_raw_fd(fd) };
        ring.register_eventfd(eventfd.as_fd())?;
        Ok(OutboundRing { ring, eventfd })
    }

    /// Submits an operation with the next [`submit`](RingTrait::submit).
    ///
    /// # Safety
    /// As [`Ring::push`].
    pub unsafe fn push(&mut self, op: &Op, token: Token) {
        // SAFETY: passed on to the caller.
        unsafe { self.ring.push(op, token) }
    }
}

impl RingTrait for OutboundRing {
    fn submit(&mut self) {
        self.ring.submit_and_wait(Wait::POLL);
    }

    fn harvest(&mut self, is_live: &mut dyn FnMut(Token) -> bool, out: &mut Vec<Completion>) -> usize {
        self.ring.submit_and_wait(Wait::POLL);
        self.ring.drain(is_live, out)
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}
