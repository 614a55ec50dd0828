//! The cross-thread door under the loom model checker.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p sws-runtime --test loom_door --release`
#![cfg(loom)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::model::Builder;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use sws_runtime::door::{Door, PushError, Wake};

/// Stands for the eventfd: a count, and a wait that ends when it is not zero. A lost wake-up is a deadlock, which loom reports.
#[derive(Clone)]
struct Bell(Arc<(Mutex<u32>, Condvar)>);

impl Bell {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(0), Condvar::new())))
    }

    /// Waits for a wake and takes all of them, as a read of the eventfd does.
    fn wait(&self) -> u32 {
        let mut count = self.0.0.lock().unwrap();
        while *count == 0 {
            count = self.0.1.wait(count).unwrap();
        }
        std::mem::take(&mut *count)
    }

    fn count(&self) -> u32 {
        *self.0.0.lock().unwrap()
    }
}

impl Wake for Bell {
    fn wake(&self) {
        *self.0.0.lock().unwrap() += 1;
        self.0.1.notify_one();
    }
}

fn check(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

/// The IO loop until `expected` messages have come.
fn run_loop(door: &mut Door<(u8, u8), Bell>, bell: &Bell, expected: usize, max: usize) -> Vec<(u8, u8)> {
    let mut got = Vec::new();
    let mut batch = VecDeque::new();
    while got.len() < expected {
        if door.prepare_wait() {
            bell.wait();
            door.finish_wait();
        }
        door.drain(&mut batch, max);
        got.extend(batch.drain(..));
    }
    got
}

fn in_order(got: &[(u8, u8)], producer: u8, count: u8) {
    let of: Vec<u8> = got.iter().filter(|m| m.0 == producer).map(|m| m.1).collect();
    assert_eq!(of, (0..count).collect::<Vec<_>>());
}

#[test]
fn one_producer_every_interleaving() {
    check(None, || {
        let bell = Bell::new();
        let mut door = Door::with_wake(8, bell.clone());
        let handle = door.handle();
        let producer = thread::spawn(move || {
            handle.push((0, 0)).unwrap();
            handle.push_reserved((0, 1)).unwrap();
        });
        let got = run_loop(&mut door, &bell, 2, usize::MAX);
        in_order(&got, 0, 2);
        producer.join().unwrap();
        assert!(door.is_empty());
    });
}

#[test]
fn two_producers_lose_no_wake_up_and_keep_their_order() {
    check(Some(3), || {
        let bell = Bell::new();
        let mut door = Door::with_wake(8, bell.clone());
        let producers: Vec<_> = (0..2)
            .map(|producer| {
                let handle = door.handle();
                thread::spawn(move || {
                    handle.push((producer, 0)).unwrap();
                    handle.push((producer, 1)).unwrap();
                })
            })
            .collect();
        let got = run_loop(&mut door, &bell, 4, usize::MAX);
        in_order(&got, 0, 2);
        in_order(&got, 1, 2);
        producers.into_iter().for_each(|p| p.join().unwrap());
    });
}

#[test]
fn partial_drains_lose_nothing() {
    check(Some(3), || {
        let bell = Bell::new();
        let mut door = Door::with_wake(8, bell.clone());
        let handle = door.handle();
        let producer = thread::spawn(move || (0..3).for_each(|n| handle.push((0, n)).unwrap()));
        let got = run_loop(&mut door, &bell, 3, 1);
        in_order(&got, 0, 3);
        producer.join().unwrap();
    });
}

#[test]
fn a_batch_is_woken_for_once() {
    check(Some(3), || {
        let bell = Bell::new();
        let mut door = Door::with_wake(8, bell.clone());
        let producers: Vec<_> = (0..2)
            .map(|producer| {
                let handle = door.handle();
                thread::spawn(move || handle.push((producer, 0)).unwrap())
            })
            .collect();
        let slept = door.prepare_wait();
        producers.into_iter().for_each(|p| p.join().unwrap());
        // Both pushes belong to the batch that is drained here.
        assert_eq!(bell.count(), u32::from(slept));
        door.finish_wait();
        assert_eq!(door.drain(&mut VecDeque::new(), usize::MAX), 2);
        assert_eq!(door.stats().wakes, u64::from(slept));
    });
}

/// A message that counts its end.
struct Counted(std::sync::Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn close_loses_nothing() {
    check(None, || {
        // Of std, not of loom: it counts, and orders nothing.
        let ended = std::sync::Arc::new(AtomicUsize::new(0));
        let message = {
            let ended = ended.clone();
            move || Counted(ended.clone())
        };
        let mut door = Door::with_wake(1, Bell::new());
        let handle = door.handle();
        let producer = thread::spawn(move || {
            let first = handle.push(message());
            assert!(!matches!(first, Err(PushError::Full(_))));
            let second = handle.push(message());
            let reserved = handle.push_reserved(message());
            assert!(!matches!(reserved, Err(PushError::Full(_))));
            if first.is_err() {
                assert!(second.is_err() && reserved.is_err(), "a closed door stays closed");
            }
            let taken = [first, second, reserved].iter().filter(|r| r.is_ok()).count();
            (taken, handle)
        });
        let mut batch = VecDeque::new();
        let drained = door.drain(&mut batch, usize::MAX);
        drop(door);
        let (taken, handle) = producer.join().unwrap();
        assert!(handle.is_closed());
        assert_eq!(handle.stats().pushed, taken as u64);
        assert!(drained <= taken);
        assert_eq!(ended.load(Ordering::SeqCst), 3 - drained, "each message not drained has ended");
        drop(batch);
        assert_eq!(ended.load(Ordering::SeqCst), 3);
    });
}
