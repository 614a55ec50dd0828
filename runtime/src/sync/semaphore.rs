//! A count of permits.

use super::WaitQueue;
use crate::fiber::Cancelled;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// Bounds how many fibers do something at once. Permits go out in the order of the requests; clones share them.
///
/// ```
/// # use sws_runtime::Runtime;
/// use sws_runtime::go;
/// use sws_runtime::sync::Semaphore;
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| {
///     let semaphore = Semaphore::new(1);
///     let permit = semaphore.acquire().unwrap();
///     assert!(semaphore.try_acquire().is_none());
///
///     let shared = semaphore.clone();
///     let next = go("next", move || shared.acquire().is_ok());
///     drop(permit);
///     assert!(next.join().unwrap());
/// });
/// ```
#[derive(Clone)]
pub struct Semaphore {
    state: Rc<State>,
}

struct State {
    available: Cell<usize>,
    waiting: WaitQueue<()>,
}

impl Semaphore {
    /// With so many permits.
    pub fn new(permits: usize) -> Semaphore {
        Semaphore { state: Rc::new(State { available: Cell::new(permits), waiting: WaitQueue::new() }) }
    }

    /// Waits for a permit, behind those who wait already.
    ///
    /// # Errors
    /// [`Cancelled`] when the fiber is cancelled or a [`timeout`](crate::timeout()) around it is over; no permit is lost by it.
    ///
    /// # Panics
    /// When it has to wait and is not called on a fiber.
    pub fn acquire(&self) -> Result<Permit, Cancelled> {
        if let Some(permit) = self.try_acquire() {
            return Ok(permit);
        }
        let (_, result) = self.state.waiting.wait(None, "semaphore");
        result.map(|()| Permit { state: Rc::clone(&self.state) })
    }

    /// Takes a permit if one is there and nobody waits for it.
    pub fn try_acquire(&self) -> Option<Permit> {
        let available = self.state.available.get();
        if available == 0 || !self.state.waiting.is_empty() {
            return None;
        }
        self.state.available.set(available - 1);
        Some(Permit { state: Rc::clone(&self.state) })
    }

    /// Permits that nobody holds.
    pub fn available(&self) -> usize {
        self.state.available.get()
    }
}

impl State {
    /// Hands a permit to who has waited longest, or keeps it.
    fn release(&self) {
        match self.waiting.pop() {
            Some(entry) => entry.end(),
            None => self.available.set(self.available.get() + 1),
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).finish_non_exhaustive()
    }
}

/// The right to go on, given back when it is dropped.
pub struct Permit {
    state: Rc<State>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.state.release();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}
