//! The door with real threads.

use std::sync::atomic::{AtomicUsize, Ordering as Order};
use std::thread;

use super::*;

struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(&self) {
        self.0.fetch_add(1, Order::SeqCst);
    }
}

fn counting(capacity: usize) -> Door<u32, Counting> {
    Door::with_wake(capacity, Counting(AtomicUsize::new(0)))
}

fn wakes(door: &Door<u32, Counting>) -> usize {
    door.wake().0.load(Order::SeqCst)
}

#[test]
fn capacity_bounds_ordinary_pushes_only() {
    let mut door = counting(2);
    let handle = door.handle();
    handle.push(1).unwrap();
    handle.push(2).unwrap();
    assert_eq!(handle.push(3), Err(PushError::Full(3)));
    handle.push_reserved(4).unwrap();
    let mut batch = VecDeque::new();
    assert_eq!(door.drain(&mut batch, usize::MAX), 3);
    assert_eq!(batch, [1, 2, 4]);
    handle.push(5).unwrap();
    let stats = handle.stats();
    assert_eq!((stats.queued, stats.queued_high_water, stats.pushed, stats.refused), (1, 3, 4, 1));
}

#[test]
fn partial_drains_keep_the_order_and_forbid_sleep() {
    let mut door = counting(16);
    let handle = door.handle();
    for n in 0..5 {
        handle.push(n).unwrap();
    }
    let mut batch = VecDeque::new();
    assert_eq!(door.drain(&mut batch, 2), 2);
    assert!(!door.prepare_wait());
    handle.push(5).unwrap();
    assert_eq!(door.drain(&mut batch, 100), 4);
    assert_eq!(batch, [0, 1, 2, 3, 4, 5]);
    assert_eq!(door.drain(&mut batch, 100), 0);
    assert!(door.prepare_wait());
}

#[test]
fn wakes_once_for_a_batch_and_only_the_sleeper() {
    let mut door = counting(16);
    let handle = door.handle();
    let mut batch = VecDeque::new();
    handle.push(0).unwrap();
    assert_eq!(wakes(&door), 0, "the loop is awake and will look");
    door.drain(&mut batch, usize::MAX);

    assert!(door.prepare_wait());
    handle.push(1).unwrap();
    handle.push(2).unwrap();
    handle.push_reserved(3).unwrap();
    assert_eq!(wakes(&door), 1);
    door.finish_wait();
    door.drain(&mut batch, usize::MAX);

    assert!(door.prepare_wait());
    assert!(door.prepare_wait(), "a wait that ended early may be prepared again");
    handle.push(4).unwrap();
    assert!(!door.prepare_wait());
    assert_eq!(wakes(&door), 2);
    assert_eq!(door.stats().wakes, 2);
}

#[test]
fn close_refuses_pushes_and_leaves_the_rest_to_drain() {
    let mut door = counting(4);
    let handle = door.handle();
    handle.push(1).unwrap();
    door.close();
    assert!(handle.is_closed());
    assert_eq!(handle.push(2), Err(PushError::Closed(2)));
    assert_eq!(handle.push_reserved(3), Err(PushError::Closed(3)));
    let mut batch = VecDeque::new();
    door.drain(&mut batch, usize::MAX);
    assert_eq!(batch, [1]);
}

/// A message whose destructor pushes, as a worker job's wrapper does when its job is dropped unrun.
struct Pushes(Option<DoorHandle<Pushes, Counting>>, Arc<AtomicUsize>);

impl Drop for Pushes {
    fn drop(&mut self) {
        self.1.fetch_add(1, Order::SeqCst);
        if let Some(handle) = self.0.take() {
            let refused = handle.push_reserved(Pushes(None, Arc::clone(&self.1)));
            assert!(matches!(refused, Err(PushError::Closed(_))));
        }
    }
}

#[test]
fn dropping_the_door_drops_what_waits_outside_the_lock() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let door = Door::with_wake(4, Counting(AtomicUsize::new(0)));
    let handle = door.handle();
    handle.push(Pushes(Some(handle.clone()), Arc::clone(&dropped))).unwrap();
    drop(door);
    assert_eq!(dropped.load(Order::SeqCst), 2);
    assert!(handle.is_closed());
}

#[test]
fn eventfd_carries_the_wake_and_is_cleared() {
    let mut door = Door::<u32>::new(4).unwrap();
    let handle = door.handle();
    assert!(door.prepare_wait());
    assert!(!door.wake().clear());
    handle.push(1).unwrap();
    let mut poll = libc::pollfd { fd: door.eventfd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, which outlives the call.
    assert_eq!(unsafe { libc::poll(&mut poll, 1, 0) }, 1);
    door.finish_wait();
    assert!(door.wake().clear());
    assert!(!door.wake().clear());
    assert_eq!(door.drain(&mut VecDeque::new(), usize::MAX), 1);
}

#[test]
fn threads_push_while_the_loop_sleeps_on_the_eventfd() {
    const PRODUCERS: u32 = 4;
    const EACH: u32 = 20_000;
    let mut door = Door::<(u32, u32)>::new(64).unwrap();
    let threads: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let handle = door.handle();
            thread::spawn(move || {
                for n in 0..EACH {
                    let mut message = (producer, n);
                    while let Err(refused) = handle.push(message) {
                        message = refused.into_inner();
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();

    let mut next = [0; PRODUCERS as usize];
    let mut batch = VecDeque::new();
    while next.iter().sum::<u32>() < PRODUCERS * EACH {
        if door.prepare_wait() {
            let mut poll = libc::pollfd { fd: door.eventfd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd, which outlives the call.
            let ready = unsafe { libc::poll(&mut poll, 1, 10_000) };
            assert_eq!(ready, 1, "a wake-up was lost");
            door.finish_wait();
            door.wake().clear();
        }
        door.drain(&mut batch, 48);
        for (producer, n) in batch.drain(..) {
            assert_eq!(n, next[producer as usize], "producer {producer} out of order");
            next[producer as usize] += 1;
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(door.stats().queued_high_water <= 64);
}
