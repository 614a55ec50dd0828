//! Channels and semaphores between fibers.
#![cfg(not(sws_sim))]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use sws_runtime::sync::{RecvError, Semaphore, SendError, channel};
use sws_runtime::{Config, Runtime, go, timeout, yield_now};

fn on_fiber<T: 'static>(f: impl FnOnce() -> T + 'static) -> T {
    Runtime::new(Config::default()).expect("a runtime").block_on_fiber(f)
}

/// Lets the fibers that were started run until they wait.
fn settle() {
    for _ in 0..3 {
        yield_now().expect("not cancelled");
    }
}

#[test]
fn messages_arrive_in_order_also_from_senders_that_wait() {
    on_fiber(|| {
        let (sender, receiver) = channel(3);
        let tasks: Vec<_> = (0..8u32)
            .map(|n| {
                let sender = sender.clone();
                go("sender", move || sender.send(n).expect("sent"))
            })
            .collect();
        settle();
        assert_eq!(receiver.len(), 3);
        assert_eq!(sender.try_send(99), Err(SendError::Full(99)));
        let received: Vec<u32> = (0..8).map(|_| receiver.recv().expect("a message")).collect();
        assert_eq!(received, (0..8).collect::<Vec<_>>());
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        tasks.into_iter().for_each(|task| task.join().expect("sent"));
    });
}

#[test]
fn one_that_arrives_late_does_not_overtake() {
    on_fiber(|| {
        let (sender, receiver) = channel(1);
        sender.send("first").expect("sent");
        let waiting = sender.clone();
        let task = go("sender", move || waiting.send("second").expect("sent"));
        settle();
        assert_eq!(receiver.recv(), Ok("first"));
        // The room that became free is the waiting sender's, although it has not run since.
        assert_eq!(sender.try_send("third"), Err(SendError::Full("third")));
        assert_eq!(receiver.recv(), Ok("second"));
        task.join().expect("sent");
    });
}

#[test]
fn the_end_of_one_side_is_told_to_the_other() {
    on_fiber(|| {
        let (sender, receiver) = channel(1);
        sender.send(1).expect("sent");
        drop(sender);
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Err(RecvError::Closed)));
        assert_eq!(receiver.try_recv(), Err(RecvError::Closed));

        let (sender, receiver) = channel::<u32>(1);
        let clone = sender.clone();
        let waiting = go("receiver", move || receiver.recv());
        settle();
        drop(sender);
        settle();
        assert!(!waiting.is_finished(), "one sender is left");
        drop(clone);
        assert_eq!(waiting.join().expect("ends"), Err(RecvError::Closed));

        let (sender, receiver) = channel(1);
        sender.send(1).expect("sent");
        let clone = sender.clone();
        let waiting = go("sender", move || clone.send(2));
        settle();
        drop(receiver);
        assert_eq!(waiting.join().expect("ends"), Err(SendError::Closed(2)));
        assert_eq!(sender.send(3), Err(SendError::Closed(3)));
        assert!(sender.is_closed());
    });
}

#[test]
fn what_is_left_in_a_channel_is_dropped_with_its_receiver() {
    on_fiber(|| {
        let token = Rc::new(());
        let (sender, receiver) = channel(4);
        for _ in 0..4 {
            sender.send(Rc::clone(&token)).expect("sent");
        }
        drop(receiver);
        assert_eq!(Rc::strong_count(&token), 1);
    });
}

#[test]
fn a_cancelled_receiver_takes_no_message_along() {
    on_fiber(|| {
        let (sender, receiver) = channel(1);
        let receiver = Rc::new(receiver);
        let shared = Rc::clone(&receiver);
        let first = go("first", move || shared.recv());
        let shared = Rc::clone(&receiver);
        let second = go("second", move || shared.recv());
        settle();
        first.cancel();
        sender.send(1).expect("sent");
        // The message was handed to the first before its cancellation is noticed, or goes to the second: never to neither.
        let results = (first.join().expect("ends"), receiver.try_recv());
        drop(sender);
        let second = second.join().expect("ends");
        let received = [results.0, results.1, second].into_iter().filter(|result| *result == Ok(1)).count();
        assert_eq!(received, 1);
    });
}

#[test]
fn a_wait_out_of_time_leaves_its_place() {
    on_fiber(|| {
        let (sender, receiver) = channel(1);
        let mut end = None;
        assert!(timeout(Duration::from_millis(1), || end = Some(receiver.recv())).is_err());
        assert_eq!(end, Some(Err(RecvError::Cancelled)));
        sender.send(1).expect("sent");
        let mut end = None;
        assert!(timeout(Duration::from_millis(1), || end = Some(sender.send(2))).is_err());
        assert_eq!(end, Some(Err(SendError::Cancelled(2))));
        assert_eq!((receiver.recv(), receiver.try_recv()), (Ok(1), Err(RecvError::Empty)));
    });
}

#[test]
fn permits_go_out_in_the_order_of_the_requests() {
    on_fiber(|| {
        let semaphore = Semaphore::new(2);
        let order = Rc::new(RefCell::new(Vec::new()));
        let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let tasks: Vec<_> = (0..9)
            .map(|n| {
                let (semaphore, order) = (semaphore.clone(), Rc::clone(&order));
                let (inside, most) = (Rc::clone(&inside), Rc::clone(&most));
                go("worker", move || {
                    let _permit = semaphore.acquire().expect("not cancelled");
                    order.borrow_mut().push(n);
                    inside.set(inside.get() + 1);
                    most.set(most.get().max(inside.get()));
                    (0..n % 3).for_each(|_| yield_now().expect("not cancelled"));
                    inside.set(inside.get() - 1);
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().expect("ends"));
        assert_eq!(*order.borrow(), (0..9).collect::<Vec<_>>());
        assert_eq!((most.get(), semaphore.available()), (2, 2));
    });
}

#[test]
fn a_cancelled_request_loses_no_permit() {
    on_fiber(|| {
        let semaphore = Semaphore::new(1);
        let held = semaphore.acquire().expect("free");
        let request = |name| {
            let semaphore = semaphore.clone();
            go(name, move || semaphore.acquire().is_ok())
        };
        let (first, second, third) = (request("first"), request("second"), request("third"));
        settle();
        first.cancel();
        // The first is being cancelled and has not left the queue; the second is handed its permit and cancelled then.
        drop(held);
        second.cancel();
        assert!(third.join().expect("ends"), "a permit comes to the last");
        first.join().expect("ends");
        second.join().expect("ends");
        assert_eq!(semaphore.available(), 1);
        assert!(timeout(Duration::from_secs(60), || semaphore.try_acquire().is_some()).expect("at once"));
    });
}

#[test]
#[should_panic(expected = "only a fiber can wait")]
fn a_wait_off_a_fiber_says_so() {
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    let _ = runtime.enter(|| Semaphore::new(0).acquire());
}

/// Numbers for the model test, by xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Many senders and receivers that are cancelled at random: each message that was sent is received once, those that were
/// not are given back, and each sender's come in its order.
#[test]
fn no_message_is_lost_or_doubled_under_cancellation() {
    for seed in 1..=40u64 {
        on_fiber(move || {
            let mut random = Random(seed * 0x9e37_79b9);
            let (sender, receiver) = channel::<(usize, u32)>(1 + random.below(4) as usize);
            let receiver = Rc::new(receiver);
            let sent = Rc::new(RefCell::new(vec![VecDeque::new(); 6]));
            let received = Rc::new(RefCell::new(vec![VecDeque::new(); 6]));
            let mut senders = Vec::new();
            for id in 0..6 {
                let (sender, sent) = (sender.clone(), Rc::clone(&sent));
                senders.push(go("sender", move || {
                    for n in 0..30 {
                        match sender.send((id, n)) {
                            Ok(()) => sent.borrow_mut()[id].push_back(n),
                            Err(error) => {
                                assert_eq!(error, SendError::Cancelled((id, n)));
                                return;
                            }
                        }
                    }
                }));
            }
            drop(sender);
            let mut receivers = Vec::new();
            for _ in 0..4 {
                let (receiver, received) = (Rc::clone(&receiver), Rc::clone(&received));
                receivers.push(go("receiver", move || {
                    while let Ok((id, n)) = receiver.recv() {
                        received.borrow_mut()[id].push_back(n);
                    }
                }));
            }
            for _ in 0..30 {
                match random.below(12) {
                    0 => senders[random.below(6) as usize].cancel(),
                    1 => receivers[1 + random.below(3) as usize].cancel(),
                    _ => {}
                }
                yield_now().expect("not cancelled");
            }
            senders.into_iter().for_each(|task| task.join().expect("ends"));
            receivers.into_iter().for_each(|task| task.join().expect("ends"));
            for (id, numbers) in received.borrow_mut().iter_mut().enumerate() {
                let mut all: Vec<u32> = numbers.drain(..).collect();
                all.sort_unstable();
                assert_eq!(all, Vec::from(sent.borrow()[id].clone()), "seed {seed}, sender {id}");
            }
        });
    }
}
