//! Channels and semaphores between the fibers of one worker.
//!
//! What ends a wait (a message, a permit, the other side's end) is laid down in the waiting fiber's own entry before
//! the fiber is woken. So it cannot be taken by another meanwhile, the order is that of arrival, and a fiber that is cancelled at
//! the same time either has it or has not: nothing is lost between.

mod channel;
mod semaphore;

pub use channel::{Receiver, RecvError, SendError, Sender, channel};
pub use semaphore::{Permit, Semaphore};

use crate::core;
use crate::fiber::{Cancelled, Waiter, Wake};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// One fiber's wait, and what is handed over by it: taken out of a sender's, put into a receiver's.
struct Entry<T> {
    item: Cell<Option<T>>,
    waiter: Cell<Option<Waiter>>,
    is_over: Cell<bool>,
}

impl<T> Entry<T> {
    /// Suspends the fiber until [`end`](Entry::end). [`Cancelled`] only if the wait was not ended before.
    ///
    /// # Panics
    /// When not called on a fiber.
    fn wait(&self, what: &'static str) -> Result<(), Cancelled> {
        core::with(|core| {
            while !self.is_over.get() {
                let waiter = core.fibers.waiter();
                self.waiter.set(Some(waiter));
                let wake = core.fibers.park(core, waiter, what, None);
                if wake != Wake::Ready && !self.is_over.get() {
                    return Err(Cancelled);
                }
            }
            Ok(())
        })
    }

    /// Ends the wait.
    fn end(&self) {
        self.is_over.set(true);
        if let Some(waiter) = self.waiter.take() {
            // A worker that has ended has no fiber that waits.
            core::try_with(|core| core.fibers.wake(waiter, Wake::Ready));
        }
    }
}

/// Fibers that wait for the same thing, in the order in which they came. At most as many as there are fibers.
struct WaitQueue<T>(RefCell<VecDeque<Rc<Entry<T>>>>);

impl<T> WaitQueue<T> {
    const fn new() -> WaitQueue<T> {
        WaitQueue(RefCell::new(VecDeque::new()))
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Waits at the end of the queue. Returns what the entry holds then, and whether the wait was ended by [`Entry::end`].
    fn wait(&self, item: Option<T>, what: &'static str) -> (Option<T>, Result<(), Cancelled>) {
        /// Takes a wait out that was given up, also by a panic.
        struct Leave<'a, T>(&'a WaitQueue<T>, &'a Rc<Entry<T>>);
        impl<T> Drop for Leave<'_, T> {
            fn drop(&mut self) {
                if !self.1.is_over.get() {
                    self.0.0.borrow_mut().retain(|other| !Rc::ptr_eq(other, self.1));
                }
            }
        }
        let entry =
            Rc::new(Entry { item: Cell::new(item), waiter: Cell::new(None), is_over: Cell::new(false) });
        self.0.borrow_mut().push_back(Rc::clone(&entry));
        let leave = Leave(self, &entry);
        let result = entry.wait(what);
        drop(leave);
        (entry.item.take(), result)
    }

    /// Takes out who has waited longest, to be ended by the caller.
    fn pop(&self) -> Option<Rc<Entry<T>>> {
        self.0.borrow_mut().pop_front()
    }

    /// Ends all waits, with what their entries hold.
    fn end_all(&self) {
        while let Some(entry) = self.pop() {
            entry.end();
        }
    }
}
