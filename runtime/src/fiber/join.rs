//! Fibers and jobs that somebody waits for.

use super::{Cancelled, FiberId, Waiter, Wake};
use crate::core;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// Why there is no value.
#[non_exhaustive]
pub enum JoinError {
    /// The fiber or job panicked; this is what it panicked with.
    Panicked(Box<dyn Any + Send>),
    /// The waiting fiber was cancelled; what it waited for goes on.
    Cancelled,
    /// What was waited for ended without a value: it was dropped before it ran.
    Lost,
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(payload) => write!(f, "panicked: {}", panic_message(&**payload)),
            JoinError::Cancelled => write!(f, "cancelled while waiting"),
            JoinError::Lost => write!(f, "dropped before it ran"),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for std::io::Error {
    /// What a panic carried may not go to other threads, so its text stands for it.
    fn from(error: JoinError) -> std::io::Error {
        match error {
            JoinError::Cancelled => Cancelled.into(),
            JoinError::Panicked(_) | JoinError::Lost => std::io::Error::other(error.to_string()),
        }
    }
}

impl From<Cancelled> for JoinError {
    fn from(_: Cancelled) -> JoinError {
        JoinError::Cancelled
    }
}

/// The text of a panic, where it has one.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

/// Where a fiber leaves its value.
struct Outcome<T> {
    value: RefCell<Option<Result<T, JoinError>>>,
    waiter: Cell<Option<Waiter>>,
    done: Cell<bool>,
}

/// Where a job on another thread leaves its value, and how it says so.
pub(crate) struct Packet<T> {
    state: Mutex<PacketState<T>>,
}

struct PacketState<T> {
    value: Option<Result<T, JoinError>>,
    waiter: Option<Waiter>,
    done: bool,
}

impl<T> Packet<T> {
    pub(crate) fn new() -> Arc<Packet<T>> {
        Arc::new(Packet { state: Mutex::new(PacketState { value: None, waiter: None, done: false }) })
    }

    /// Leaves the value; returns who waits for it.
    pub(crate) fn complete(&self, value: Result<T, JoinError>) -> Option<Waiter> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.value = Some(value);
        state.done = true;
        state.waiter.take()
    }
}

enum Source<T> {
    Fiber { id: FiberId, cell: Rc<Outcome<T>> },
    Job(Arc<Packet<T>>),
}

/// The value of a fiber ([`go`](crate::go)) or of a job on the worker pool ([`submit`](crate::submit)). Dropping the
/// handle lets it run on unobserved.
pub struct JoinHandle<T> {
    source: Source<T>,
}

impl<T: 'static> JoinHandle<T> {
    pub(crate) fn of_job(packet: Arc<Packet<T>>) -> JoinHandle<T> {
        JoinHandle { source: Source::Job(packet) }
    }

    /// Starts `f` as a fiber. `None` at the bound.
    #[track_caller]
    pub(crate) fn start(name: &'static str, f: impl FnOnce() -> T + 'static) -> Option<JoinHandle<T>> {
        let cell =
            Rc::new(Outcome { value: RefCell::new(None), waiter: Cell::new(None), done: Cell::new(false) });
        let result = Rc::clone(&cell);
        let body = move || {
            let value = catch_unwind(AssertUnwindSafe(f)).map_err(JoinError::Panicked);
            *result.value.borrow_mut() = Some(value);
            result.done.set(true);
            if let Some(waiter) = result.waiter.take() {
                core::with(|core| core.fibers.wake(waiter, Wake::Ready));
            }
        };
        let id = core::with(|core| core.fibers.spawn(name, core.now(), Box::new(body)))?;
        Some(JoinHandle { source: Source::Fiber { id, cell } })
    }

    /// Suspends the calling fiber until the value is there.
    ///
    /// # Errors
    /// [`JoinError`]: it panicked, it never ran, or the caller was cancelled.
    ///
    /// # Panics
    /// When not called on a fiber.
    pub fn join(self) -> Result<T, JoinError> {
        loop {
            if let Some(value) = self.take() {
                return value;
            }
            let wake = core::with(|core| {
                let waiter = core.fibers.waiter();
                if !self.register(waiter) {
                    return Wake::Ready;
                }
                core.fibers.park(core, waiter, self.what(), None)
            });
            match wake {
                Wake::Ready => {}
                Wake::Cancelled | Wake::TimedOut => return self.take().unwrap_or(Err(JoinError::Cancelled)),
            }
        }
    }

    /// Whether the value is there.
    pub fn is_finished(&self) -> bool {
        match &self.source {
            Source::Fiber { cell, .. } => cell.done.get(),
            Source::Job(packet) => packet.state.lock().unwrap_or_else(PoisonError::into_inner).done,
        }
    }

    /// The fiber whose value it is, if it is one.
    pub(crate) fn fiber(&self) -> Option<FiberId> {
        match &self.source {
            Source::Fiber { id, .. } => Some(*id),
            Source::Job(_) => None,
        }
    }

    /// Cancels the fiber: its current and every later wait fails with [`Cancelled`]. A job on the worker pool runs on.
    pub fn cancel(&self) {
        match &self.source {
            Source::Fiber { id, .. } => core::with(|core| core.fibers.cancel(*id)),
            Source::Job(_) => {}
        }
    }

    /// The value, if it is there.
    pub(crate) fn take(&self) -> Option<Result<T, JoinError>> {
        match &self.source {
            Source::Fiber { cell, .. } => cell.value.borrow_mut().take(),
            Source::Job(packet) => packet.state.lock().unwrap_or_else(PoisonError::into_inner).value.take(),
        }
    }

    /// Leaves the waiter where the value will come. False when it is there already.
    fn register(&self, waiter: Waiter) -> bool {
        match &self.source {
            Source::Fiber { cell, .. } => {
                cell.waiter.set(Some(waiter));
                !cell.done.get()
            }
            Source::Job(packet) => {
                let mut state = packet.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.waiter = Some(waiter);
                !state.done
            }
        }
    }

    fn what(&self) -> &'static str {
        match &self.source {
            Source::Fiber { .. } => "join",
            Source::Job(_) => "submit",
        }
    }
}
