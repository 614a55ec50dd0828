//! Operations that a fiber waits for.
//!
//! # Unsafe
//!
//! A buffer that an operation names lies on the fiber's stack or is owned by it. Once the operation is pushed, [`run`] returns only after
//! its completion, and does not panic before: when the fiber is cancelled or out of time, the operation is cancelled first and its
//! completion awaited; where a fiber must not wait, it panics before it pushes. A fiber is never dropped while it waits. So the
//! memory outlives the kernel's use of it.

use crate::core::{self, Core};
use crate::fiber::{Cancelled, Waiter, Wake};
use crate::slab::{Key, Slab};
use std::cell::RefCell;
use std::io;
use std::time::Duration;
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

/// The ring of a worker on which a socket's operations run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lane {
    /// The main ring.
    #[default]
    Main,
    /// The outbound ring, see [`Runtime::attach_outbound`](crate::Runtime::attach_outbound).
    Outbound,
}

/// Submits an operation and suspends the fiber until it completes.
///
/// # Safety
/// All memory that `op` names is valid, and used by nobody else, until this returns.
///
/// # Panics
/// When not called on a fiber, or where that fiber must not wait; nothing is submitted then.
pub(crate) unsafe fn run(core: &Core, op: &Op, what: &'static str) -> Result<u32, OpError> {
    // SAFETY: passed on.
    unsafe { run_on(core, Lane::Main, op, what, None) }
}

/// As [`run`], on a ring, at most until a time of the worker's clock: the operation is then cancelled, and its end awaited.
/// ENODEV where there is no outbound ring.
///
/// # Safety
/// As [`run`].
pub(crate) unsafe fn run_on(
    core: &Core,
    lane: Lane,
    op: &Op,
    what: &'static str,
    until: Option<Duration>,
) -> Result<u32, OpError> {
    // A destructor that runs while the fiber panics must not let another fiber run: the panic count is the thread's.
    if core.fibers.is_cancelled() || std::thread::panicking() {
        return Err(OpError::Cancelled);
    }
    if lane == Lane::Outbound && core.outbound.borrow().is_none() {
        return Err(OpError::Errno(libc::ENODEV));
    }
    // Before anything is pushed: a panic of the wait itself would free memory that the kernel still uses.
    core.fibers.assert_may_wait(core);
    // SAFETY: passed on.
    unsafe { submit_and_wait(core, lane, op, what, until) }
}

/// As [`run_on`] this thread's worker, again after EINTR: what sockets and files are made of.
///
/// # Safety
/// As [`run`].
///
/// # Panics
/// Off a worker's thread, when not called on a fiber, or where that fiber must not wait; nothing is submitted then.
pub(crate) unsafe fn run_io(
    lane: Lane,
    op: &Op,
    what: &'static str,
    until: Option<Duration>,
) -> io::Result<u32> {
    core::with(|core| {
        loop {
            // SAFETY: passed on.
            match unsafe { run_on(core, lane, op, what, until) } {
                Err(OpError::Errno(libc::EINTR)) => {}
                result => return result.map_err(io::Error::from),
            }
        }
    })
}

/// Submits, and waits until the completion is there. A fiber that is cancelled or out of time meanwhile cancels the operation.
///
/// # Safety
/// As [`run`].
unsafe fn submit_and_wait(
    core: &Core,
    lane: Lane,
    op: &Op,
    what: &'static str,
    until: Option<Duration>,
) -> Result<u32, OpError> {
    let waiter = core.fibers.waiter();
    let key = core.ops.0.borrow_mut().insert(Pending { waiter, result: None });
    let token = Token::new(Owner::Fiber, op.kind(), key.index, key.generation);
    // SAFETY: the caller keeps the memory until this returns, and it returns after the completion.
    unsafe { push(core, lane, op, token) };
    let mut ended = core.fibers.park_uncancelled(core, waiter, what, until);
    let mut error = None;
    loop {
        let result = core.ops.0.borrow().get(key).and_then(|entry| entry.result);
        if let Some(result) = result {
            core.ops.0.borrow_mut().remove(key);
            return result.map_err(|errno| match error {
                // The kernel's worker threads are interrupted to cancel what they run.
                Some(error) if matches!(errno, libc::ECANCELED | libc::EINTR) => error,
                _ => OpError::Errno(errno),
            });
        }
        if error.is_none() {
            error = Some(if ended == Wake::TimedOut { OpError::TimedOut } else { OpError::Cancelled });
            let cancel = Token::new(Owner::Loop, OpKind::Cancel, 0, 0);
            // SAFETY: names no memory.
            unsafe { push(core, lane, &Op::Cancel { target: token }, cancel) };
        }
        let again = core.fibers.waiter();
        if let Some(entry) = core.ops.0.borrow_mut().get_mut(key) {
            entry.waiter = again;
        }
        ended = core.fibers.park_final(again, what);
    }
}

/// Queues an operation for the ring of its lane.
///
/// # Safety
/// As [`Ring::push`](sws_rings::Ring::push).
unsafe fn push(core: &Core, lane: Lane, op: &Op, token: Token) {
    match lane {
        // SAFETY: passed on.
        Lane::Main => unsafe { core.ring.borrow_mut().push(op, token) },
        Lane::Outbound => {
            core.loop_ops.outbound_due.set(true);
            let mut outbound = core.outbound.borrow_mut();
            let ring = outbound.as_mut().expect("an outbound ring stays attached");
            // SAFETY: passed on.
            unsafe { ring.push(op, token) }
        }
    }
}
