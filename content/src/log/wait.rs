//! Fibers that wait for the same thing.

use std::cell::RefCell;
use sws_runtime::{Cancelled, FiberId, current_fiber, park, unpark};

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
