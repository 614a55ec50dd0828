//! Callbacks for descriptors of others.
#![cfg(not(sws_sim))]

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;
use sws_runtime::{Config, Interest, Runtime, sleep, unwatch, unwatch_all, watch, yield_now};

fn runtime() -> Runtime {
    Runtime::new(Config::default()).expect("a runtime")
}

/// Gives the loop turns until `done`.
fn until(done: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if done() {
            return;
        }
        yield_now().expect("not cancelled");
    }
    panic!("what was waited for did not come");
}

#[test]
fn a_watch_tells_until_it_is_ended() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    runtime().block_on_fiber(move || {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let (seen, mut reader) = (Rc::clone(&heard), ours.try_clone().expect("two ends"));
        let before = watch(ours.as_fd(), Interest::Readable, move |_| {
            let mut bytes = [0; 16];
            let count = reader.read(&mut bytes).expect("readable");
            seen.borrow_mut().extend_from_slice(&bytes[..count]);
        });
        assert!(before.is_none());
        for round in 1..=3 {
            theirs.write_all(b"x").expect("sent");
            until(|| heard.borrow().len() == round);
        }
        assert!(unwatch(ours.as_raw_fd(), Interest::Readable).is_some());
        theirs.write_all(b"y").expect("sent");
        for _ in 0..10 {
            yield_now().expect("not cancelled");
        }
        assert_eq!(*heard.borrow(), b"xxx", "no call after unwatch");
    });
}

#[test]
fn what_is_not_read_is_told_again() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    runtime().block_on_fiber(move || {
        let calls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&calls);
        watch(ours.as_fd(), Interest::Readable, move |_| counted.set(counted.get() + 1));
        theirs.write_all(b"x").expect("sent");
        until(|| calls.get() >= 3);
        assert_eq!(unwatch_all(), 1);
    });
}

#[test]
fn a_second_watch_replaces_the_first_and_returns_it() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    runtime().block_on_fiber(move || {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let log = |name: &'static str| {
            let heard = Rc::clone(&heard);
            move |_| heard.borrow_mut().push(name)
        };
        assert!(watch(ours.as_fd(), Interest::Readable, log("first")).is_none());
        let mut first = watch(ours.as_fd(), Interest::Readable, log("second")).expect("the first");
        theirs.write_all(b"x").expect("sent");
        until(|| !heard.borrow().is_empty());
        assert!(heard.borrow().iter().all(|name| *name == "second"));
        unwatch_all();
        heard.borrow_mut().clear();
        first(0);
        assert_eq!(*heard.borrow(), ["first"], "the returned callback is the first");
    });
}

#[test]
fn a_watch_can_end_itself() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    runtime().block_on_fiber(move || {
        let calls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&calls);
        watch(ours.as_fd(), Interest::Readable, move |fd| {
            counted.set(counted.get() + 1);
            unwatch(fd, Interest::Readable);
        });
        theirs.write_all(b"x").expect("sent");
        until(|| calls.get() == 1);
        for _ in 0..10 {
            yield_now().expect("not cancelled");
        }
        assert_eq!(calls.get(), 1, "no call after unwatch, also from inside");
        assert_eq!(unwatch_all(), 0);
    });
}

#[test]
fn readable_and_writable_are_watched_apart() {
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    runtime().block_on_fiber(move || {
        let writable = Rc::new(Cell::new(0));
        let counted = Rc::clone(&writable);
        watch(ours.as_fd(), Interest::Readable, |_| panic!("nothing was sent"));
        watch(ours.as_fd(), Interest::Writable, move |_| counted.set(counted.get() + 1));
        until(|| writable.get() >= 2);
        assert_eq!(unwatch_all(), 2);
    });
}

#[test]
fn a_panic_in_a_callback_ends_neither_loop_nor_watch() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    runtime().block_on_fiber(move || {
        let calls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&calls);
        watch(ours.as_fd(), Interest::Readable, move |_| {
            counted.set(counted.get() + 1);
            panic!("on purpose");
        });
        theirs.write_all(b"x").expect("sent");
        until(|| calls.get() >= 2);
        assert_eq!(unwatch_all(), 1);
    });
}

#[test]
fn a_watched_and_silent_descriptor_costs_no_turns() {
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let runtime = runtime();
    let before = runtime.stats().turns;
    runtime.block_on_fiber(move || {
        watch(ours.as_fd(), Interest::Readable, |_| {});
        sleep(Duration::from_millis(500)).expect("not cancelled");
        unwatch_all();
    });
    let turns = runtime.stats().turns - before;
    assert!(turns < 5, "{turns} turns in 500 idle milliseconds");
}
