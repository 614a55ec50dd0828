//! Futures on fibers.
#![cfg(not(sws_sim))]

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use sws_runtime::{Cancelled, Config, Runtime, block_on, go, timeout, yield_now};

fn on_fiber<T: 'static>(f: impl FnOnce() -> T + 'static) -> T {
    Runtime::new(Config::default()).expect("a runtime").block_on_fiber(f)
}

/// A value that another thread gives.
#[derive(Clone)]
struct Promise<T>(Arc<Mutex<(Option<T>, Option<Waker>)>>);

impl<T> Promise<T> {
    fn new() -> Promise<T> {
        Promise(Arc::new(Mutex::new((None, None))))
    }

    fn give(&self, value: T) {
        let waker = {
            let mut state = self.0.lock().expect("not poisoned");
            state.0 = Some(value);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Promise<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.lock().expect("not poisoned");
        match state.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[test]
fn another_thread_wakes_the_fiber() {
    on_fiber(|| {
        let (ask, questions) = mpsc::channel::<Promise<u64>>();
        let helper = thread::spawn(move || {
            for (n, promise) in questions.iter().enumerate() {
                promise.give(n as u64);
            }
        });
        for n in 0..2000 {
            let promise = Promise::new();
            ask.send(promise.clone()).expect("the helper lives");
            assert_eq!(block_on(promise), Ok(n));
        }
        drop(ask);
        helper.join().expect("ends");
    });
}

#[test]
fn another_fiber_wakes_the_fiber() {
    on_fiber(|| {
        let promise = Promise::new();
        let waiting = promise.clone();
        let task = go("waiting", move || block_on(waiting));
        yield_now().expect("not cancelled");
        assert!(!task.is_finished());
        promise.give("value");
        assert_eq!(task.join().expect("ends"), Ok("value"));
    });
}

#[test]
fn a_future_that_wakes_itself_lets_the_others_run() {
    on_fiber(|| {
        let turns = Rc::new(Cell::new(0));
        let seen = Rc::clone(&turns);
        let other = go("other", move || {
            while seen.get() < 50 {
                yield_now().expect("not cancelled");
            }
        });
        let result = block_on(poll_fn(|context| {
            turns.set(turns.get() + 1);
            if other.is_finished() {
                return Poll::Ready(turns.get());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        assert!(result.expect("not cancelled") >= 50);
        // Not even one that never ends outlives its time.
        let for_ever = poll_fn(|context| -> Poll<()> {
            context.waker().wake_by_ref();
            Poll::Pending
        });
        let mut end = None;
        assert!(timeout(Duration::from_millis(2), || end = Some(block_on(for_ever))).is_err());
        assert_eq!(end, Some(Err(Cancelled)));
    });
}

/// Says when it is dropped.
struct Note(Rc<Cell<bool>>);

impl Drop for Note {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_cancelled_fiber_drops_its_future() {
    on_fiber(|| {
        let dropped = Rc::new(Cell::new(false));
        let note = Note(Rc::clone(&dropped));
        let seen = Rc::clone(&dropped);
        let task = go("waiting", move || {
            let result = block_on(async move {
                let _note = note;
                pending::<()>().await;
            });
            (result, seen.get())
        });
        yield_now().expect("not cancelled");
        assert!(!dropped.get());
        task.cancel();
        assert_eq!(task.join().expect("ends"), (Err(Cancelled), true));
        let mut end = None;
        assert!(timeout(Duration::from_millis(1), || end = Some(block_on(pending::<()>()))).is_err());
        assert_eq!(end, Some(Err(Cancelled)));
    });
}

#[test]
fn a_late_wake_up_disturbs_no_later_wait() {
    on_fiber(|| {
        let mut kept: Option<Waker> = None;
        let mut polls = 0;
        let result = timeout(Duration::from_millis(1), || {
            block_on(poll_fn(|context| -> Poll<()> {
                kept = Some(context.waker().clone());
                polls += 1;
                Poll::Pending
            }))
        });
        assert!(result.is_err());
        let waker = kept.expect("it was polled");
        // The fiber waits for something else; the old future's waker must not end that.
        let promise = Promise::new();
        let giver = promise.clone();
        let helper = go("helper", move || {
            for _ in 0..5 {
                waker.wake_by_ref();
                yield_now().expect("not cancelled");
            }
            giver.give(7);
        });
        assert_eq!(block_on(promise), Ok(7));
        helper.join().expect("ends");
        assert_eq!(polls, 1);
    });
}

#[test]
fn a_waker_may_outlive_its_runtime() {
    let kept = Arc::new(Mutex::new(None::<Waker>));
    let place = Arc::clone(&kept);
    on_fiber(move || {
        let task = go("waiting", move || {
            block_on(poll_fn(|context| -> Poll<()> {
                *place.lock().expect("not poisoned") = Some(context.waker().clone());
                Poll::Pending
            }))
        });
        yield_now().expect("not cancelled");
        task.cancel();
        assert_eq!(task.join().expect("ends"), Err(Cancelled));
    });
    let waker = kept.lock().expect("not poisoned").take().expect("it was polled");
    thread::spawn(move || waker.wake()).join().expect("ends");
}

#[test]
#[should_panic(expected = "only a fiber can wait")]
fn a_pending_future_off_a_fiber_says_so() {
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    let _ = runtime.enter(|| block_on(pending::<()>()));
}
