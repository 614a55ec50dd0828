//! Operations that a fiber waits for.
//!
//! # Unsafe
//!
//! A buffer that an operation names lies on the fiber's stack or is owned by it. [`run`] returns only after the operation's
//! completion: when the fiber is cancelled or out of time, the operation is cancelled first and its completion awaited.
//! A fiber is never dropped while it waits. So the memory outlives the kernel's use of it.

use crate::core::Core;
use crate::fiber::{Cancelled, Waiter, Wake};
use crate::slab::{Key, Slab};
use std::cell::RefCell;
use std::io;
use sws_rings::{Op, OpKind, Owner, Token};

/// Why an operation gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpError {
    /// The kernel's errno.
    Errno(i32),
    /// The fiber was cancelled.
    Cancelled,
    /// The fiber's deadline passed.
    TimedOut,
}

impl From<OpError> for io::Error {
    fn from(error: OpError) -> io::Error {
        match error {
            OpError::Errno(errno) => io::Error::from_raw_os_error(errno),
            OpError::Cancelled => Cancelled.into(),
            OpError::TimedOut => io::ErrorKind::TimedOut.into(),
        }
    }
}

struct Pending {
    waiter: Waiter,
    result: Option<Result<u32, i32>>,
}

/// The operations in flight, each with the fiber that waits for it.
pub(crate) struct Ops(RefCell<Slab<Pending>>);

impl Ops {
    pub(crate) const fn new() -> Ops {
        Ops(RefCell::new(Slab::new()))
    }

    pub(crate) fn is_live(&self, token: Token) -> bool {
        self.0.borrow().get(key(token)).is_some()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.0.borrow().len()
    }

    /// Takes a completion in and wakes the fiber.
    pub(crate) fn complete(&self, core: &Core, token: Token, result: Result<u32, i32>) {
        let mut pending = self.0.borrow_mut();
        if let Some(entry) = pending.get_mut(key(token)) {
            entry.result = Some(result);
            core.fibers.wake(entry.waiter, Wake::Ready);
        }
    }
}

fn key(token: Token) -> Key {
    Key { index: token.index(), generation: token.generation() }
}

/// Submits an operation and suspends the fiber until it completes.
///
/// # Safety
/// All memory that `op` names is valid, and used by nobody else, until this returns.
///
/// # Panics
/// When not called on a fiber.
pub(crate) unsafe fn run(core: &Core, op: &Op, what: &'static str) -> Result<u32, OpError> {
    if core.fibers.is_cancelled() {
        return Err(OpError::Cancelled);
    }
    // SAFETY: passed on.
    unsafe { run_uncancelled(core, op, what) }
}

/// As [`run`], also for a fiber that was cancelled before: for what must be done at its end, such as a close.
///
/// # Safety
/// As [`run`].
pub(crate) unsafe fn run_uncancelled(core: &Core, op: &Op, what: &'static str) -> Result<u32, OpError> {
    let waiter = core.fibers.waiter();
    let key = core.ops.0.borrow_mut().insert(Pending { waiter, result: None });
    let token = Token::new(Owner::Fiber, op.kind(), key.index, key.generation);
    // SAFETY: the caller keeps the memory until this returns, and it returns after the completion.
    unsafe { core.ring.borrow_mut().push(op, token) };
    let mut ended = core.fibers.park_uncancelled(core, waiter, what, None);
    let mut error = None;
    loop {
        let result = core.ops.0.borrow().get(key).and_then(|entry| entry.result);
        if let Some(result) = result {
            core.ops.0.borrow_mut().remove(key);
            return result.map_err(|errno| match error {
                Some(error) if errno == libc::ECANCELED => error,
                _ => OpError::Errno(errno),
            });
        }
        if error.is_none() {
            error = Some(if ended == Wake::TimedOut { OpError::TimedOut } else { OpError::Cancelled });
            let cancel = Token::new(Owner::Loop, OpKind::Cancel, 0, 0);
            // SAFETY: names no memory.
            unsafe { core.ring.borrow_mut().push(&Op::Cancel { target: token }, cancel) };
        }
        let again = core.fibers.waiter();
        if let Some(entry) = core.ops.0.borrow_mut().get_mut(key) {
            entry.waiter = again;
        }
        ended = core.fibers.park_final(again, what);
    }
}
