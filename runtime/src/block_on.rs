//! Futures, awaited by fibers.

use crate::core::{self, Message};
use crate::door::DoorHandle;
use crate::fiber::{Cancelled, Waiter, Wake};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Awaits a future on the calling fiber, which is suspended while the future is pending. Its waker may be used from any thread.
/// The future is polled on this fiber only. It runs without a reactor of its own: what needs one (tokio's sockets and
/// timers) must find it running on another thread.
///
/// # Errors
/// [`Cancelled`] when the fiber is cancelled or a [`timeout`](crate::timeout()) around it is over while the future is
/// pending. The future is dropped.
///
/// # Panics
/// When the future is pending and this is not called on a fiber.
///
/// ```
/// # use sws_runtime::Runtime;
/// use sws_runtime::block_on;
///
/// # let runtime = Runtime::new(Default::default()).unwrap();
/// runtime.block_on_fiber(|| {
///     let answer = block_on(async { 6 * 7 });
///     assert_eq!(answer, Ok(42));
/// });
/// ```
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Cancelled> {
    let mut future = pin!(future);
    let alarm = Arc::new(Alarm {
        door: core::with(|core| core.door_handle.clone()),
        state: Mutex::new(AlarmState { has_rung: false, waiter: None }),
    });
    let waker = Waker::from(Arc::clone(&alarm));
    let mut context = Context::from_waker(&waker);
    loop {
        alarm.state().has_rung = false;
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        alarm.wait()?;
    }
}

/// Wakes one fiber. At most one message of it is on its way at a time, as the waiter is taken by the first wake-up of a wait.
struct Alarm {
    door: DoorHandle<Message>,
    state: Mutex<AlarmState>,
}

struct AlarmState {
    /// Whether it rang since the future was last polled.
    has_rung: bool,
    waiter: Option<Waiter>,
}

impl Alarm {
    /// No code of others runs under this lock.
    fn state(&self) -> MutexGuard<'_, AlarmState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Suspends the fiber until it rings. If it did already, a turn of the loop still goes by, so that a future that always
    /// wakes itself does not hold the others up.
    fn wait(&self) -> Result<(), Cancelled> {
        core::with(|core| {
            let waiter = core.fibers.waiter();
            {
                let mut state = self.state();
                if state.has_rung {
                    drop(state);
                    return crate::sleep(Duration::ZERO);
                }
                state.waiter = Some(waiter);
            }
            let wake = core.fibers.park(core, waiter, "future", None);
            self.state().waiter = None;
            match wake {
                Wake::Ready => Ok(()),
                Wake::Cancelled | Wake::TimedOut => Err(Cancelled),
            }
        })
    }
}

impl std::task::Wake for Alarm {
    fn wake(self: Arc<Alarm>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Alarm>) {
        let waiter = {
            let mut state = self.state();
            state.has_rung = true;
            state.waiter.take()
        };
        if let Some(waiter) = waiter {
            // One message for each wait of a fiber, and fibers are bounded. A worker that has ended has none that waits.
            let _ = self.door.push_reserved(Message::Wake(waiter));
        }
    }
}
