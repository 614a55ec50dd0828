//! Fibers that wait for the same thing, and for one that must not stop halfway.

use std::cell::RefCell;
use sws_runtime::{Cancelled, FiberId, JoinError, current_fiber, park, try_go, unpark};

/// Fibers that wait to be told to look again. At most as many as there are fibers.
#[derive(Debug, Default)]
pub(super) struct WaitList(RefCell<Vec<FiberId>>);

impl WaitList {
    /// Waits until [`wake`](WaitList::wake) is called.
    pub(super) fn wait(&self, what: &'static str) -> Result<(), Cancelled> {
        let id = current_fiber().expect("only a fiber waits");
        self.0.borrow_mut().push(id);
        let result = park(what);
        if result.is_err() {
            self.0.borrow_mut().retain(|&other| other != id);
        }
        result
    }

    /// Wakes all.
    pub(super) fn wake(&self) {
        if self.0.borrow().is_empty() {
            return;
        }
        for id in self.0.take() {
            unpark(id);
        }
    }
}

/// Why something was not waited for to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotWaited {
    /// The caller was cancelled. What was begun goes on.
    Cancelled,
    /// There are as many fibers as there may be: it was not begun.
    NoFiber,
}

/// Runs `f` on a fiber of its own, and waits for it. Whoever cancels the caller does not stop what was begun halfway.
///
/// # Panics
/// If `f` does.
pub(super) fn apart<T: 'static>(what: &'static str, f: impl FnOnce() -> T + 'static) -> Result<T, NotWaited> {
    match try_go(what, f).ok_or(NotWaited::NoFiber)?.join() {
        Ok(value) => Ok(value),
        Err(JoinError::Panicked(payload)) => std::panic::resume_unwind(payload),
        // It is lost only when the worker ends.
        Err(_) => Err(NotWaited::Cancelled),
    }
}
