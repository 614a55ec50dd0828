//! Fibers, jobs, timers and the door on a real loop.
#![cfg(not(sws_sim))]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use sws_runtime::*;

fn runtime() -> Runtime {
    Runtime::new(Config::default()).expect("a runtime")
}

#[test]
fn fibers_wait_for_each_other() {
    let runtime = runtime();
    let order = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&order);
    runtime.block_on_fiber(move || {
        let handles: Vec<_> = (0..3)
            .map(|n| {
                let order = Rc::clone(&order);
                go("worker", move || {
                    for round in 0..3 {
                        order.borrow_mut().push((round, n));
                        yield_now().expect("not cancelled");
                    }
                    n
                })
            })
            .collect();
        let sum: usize = handles.into_iter().map(|handle| handle.join().expect("a value")).sum();
        assert_eq!(sum, 3);
    });
    let expected: Vec<(usize, usize)> = (0..3).flat_map(|round| (0..3).map(move |n| (round, n))).collect();
    assert_eq!(*seen.borrow(), expected);
}

#[test]
fn a_panic_stays_in_its_fiber() {
    let runtime = runtime();
    runtime.block_on_fiber(|| {
        let bad = go("bad", || -> () { panic!("on purpose") });
        let error = bad.join().expect_err("it panicked");
        assert!(error.to_string().contains("on purpose"));
        assert_eq!(go("good", || 1).join().expect("goes on"), 1);
    });
}

#[test]
fn sleeps_end_in_the_order_of_their_times() {
    let runtime = runtime();
    let order = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&order);
    runtime.block_on_fiber(move || {
        let handles: Vec<_> = [30u64, 10, 20]
            .into_iter()
            .map(|ms| {
                let order = Rc::clone(&order);
                go("sleeper", move || {
                    let begin = Instant::now();
                    sleep(Duration::from_millis(ms)).expect("not cancelled");
                    assert!(begin.elapsed() >= Duration::from_millis(ms));
                    order.borrow_mut().push(ms);
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().expect("ends"));
    });
    assert_eq!(*seen.borrow(), [10, 20, 30]);
}

#[test]
fn a_cancelled_fiber_runs_its_destructors_and_waits_no_more() {
    struct Note(Rc<Cell<bool>>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let runtime = runtime();
    runtime.block_on_fiber(|| {
        let dropped = Rc::new(Cell::new(false));
        let note = Note(Rc::clone(&dropped));
        let sleeper = go("sleeper", move || {
            let _note = note;
            let first = sleep(Duration::from_secs(3600));
            let second = sleep(Duration::from_secs(3600));
            (first, second)
        });
        yield_now().expect("not cancelled");
        sleeper.cancel();
        assert_eq!(sleeper.join().expect("it returned"), (Err(Cancelled), Err(Cancelled)));
        assert!(dropped.get());
    });
}

#[test]
fn timeouts_nest() {
    let runtime = runtime();
    runtime.block_on_fiber(|| {
        let outer = timeout(Duration::from_millis(5), || {
            timeout(Duration::from_secs(60), || sleep(Duration::from_secs(60)))
        });
        assert_eq!(outer, Err(TimedOut));
        assert!(sleep(Duration::from_millis(1)).is_ok(), "the deadline is gone with its timeout");
    });
}

#[test]
fn jobs_run_on_other_threads_and_report_their_panics() {
    let runtime = runtime();
    runtime.block_on_fiber(|| {
        let here = std::thread::current().id();
        let there = submit(|| std::thread::current().id()).join().expect("a value");
        assert_ne!(here, there);
        let error = submit(|| -> () { panic!("in a job") }).join().expect_err("it panicked");
        assert!(error.to_string().contains("in a job"));
        let many: Vec<_> = (0..100u64).map(|n| submit(move || n * n)).collect();
        let sum: u64 = many.into_iter().map(|job| job.join().expect("a value")).sum();
        assert_eq!(sum, 328_350);
    });
}

#[test]
fn invoked_closures_run_in_order_and_wake_an_idle_loop() {
    let runtime = runtime();
    let handle = runtime.handle();
    let (sender, receiver) = std::sync::mpsc::channel();
    let pusher = std::thread::spawn(move || {
        for n in 0..1000 {
            let sender = sender.clone();
            handle.invoke(move || sender.send(n).expect("the test waits")).expect("room");
        }
        handle.shutdown();
    });
    runtime.run();
    pusher.join().expect("pushed");
    assert!(receiver.iter().eq(0..1000));
}

#[test]
fn many_suspended_fibers_and_a_dump() {
    let runtime = runtime();
    runtime.block_on_fiber(|| {
        let sleepers: Vec<_> =
            (0..2000).map(|_| go("sleeper", || sleep(Duration::from_secs(3600)))).collect();
        yield_now().expect("not cancelled");
        let dump = dump_fibers();
        let waiting = dump.iter().filter(|fiber| fiber.waits_for == "sleep").count();
        assert_eq!(waiting, 2000);
        assert!(dump.iter().all(|fiber| fiber.stack_used < 64 * 1024));
        sleepers.iter().for_each(JoinHandle::cancel);
        for sleeper in sleepers {
            assert_eq!(sleeper.join().expect("returned"), Err(Cancelled));
        }
    });
    assert_eq!(runtime.stats().fibers, 0);
}

#[test]
fn a_runtime_with_waiting_fibers_can_be_dropped() {
    let ended = Rc::new(Cell::new(0));
    let runtime = runtime();
    runtime.enter(|| {
        for _ in 0..10 {
            let ended = Rc::clone(&ended);
            let _unobserved = go("sleeper", move || {
                let result = sleep(Duration::from_secs(3600));
                assert_eq!(result, Err(Cancelled));
                ended.set(ended.get() + 1);
            });
        }
    });
    runtime.block_on_fiber(|| yield_now().expect("not cancelled"));
    drop(runtime);
    assert_eq!(ended.get(), 10);
}

#[test]
fn tick_hooks_are_called_and_removed() {
    let runtime = runtime();
    runtime.block_on_fiber(|| {
        let calls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&calls);
        let hook = add_tick_hook(move || counted.set(counted.get() + 1));
        yield_now().expect("not cancelled");
        yield_now().expect("not cancelled");
        assert!(calls.get() >= 1);
        assert!(remove_tick_hook(hook) && !remove_tick_hook(hook));
        let before = calls.get();
        yield_now().expect("not cancelled");
        assert_eq!(calls.get(), before);
    });
}

#[test]
fn an_idle_loop_rests() {
    let runtime = runtime();
    let before = runtime.stats().turns;
    runtime.block_on_fiber(|| sleep(Duration::from_millis(500)).expect("not cancelled"));
    let turns = runtime.stats().turns - before;
    assert!(turns < 5, "{turns} turns in 500 idle milliseconds");
}

#[test]
fn a_runtime_is_not_driven_from_inside_of_a_fiber() {
    let outer = runtime();
    outer.block_on_fiber(|| {
        let error = go("nested", || {
            let inner = runtime();
            inner.block_on_fiber(|| 1)
        })
        .join()
        .expect_err("it panicked");
        assert!(error.to_string().contains("inside of a fiber"), "{error}");
        assert!(sleep(Duration::from_millis(1)).is_ok(), "the outer one is as it was");
    });
}

#[test]
fn one_that_is_cancelled_while_the_pool_is_full_is_told_so() {
    let mut config = Config::default();
    config.limits.submit_max = 1;
    config.workers.threads = 1;
    let runtime = Runtime::new(config).expect("a runtime");
    let (begun, begins) = std::sync::mpsc::channel();
    let (gate, gated) = std::sync::mpsc::channel::<()>();
    runtime.block_on_fiber(move || {
        let busy = submit(move || {
            begun.send(()).expect("the test waits");
            gated.recv().is_err()
        });
        begins.recv().expect("the thread has it");
        let waiting = try_submit(|| ()).expect("room for one");
        assert!(matches!(try_submit(|| ()), Err(SubmitError::Full)));
        let cancelled = go("cancelled", || {
            cancel_fiber(current_fiber().expect("a fiber"));
            submit(|| ()).join()
        });
        assert!(matches!(cancelled.join(), Ok(Err(JoinError::Cancelled))));
        drop(gate);
        assert!(busy.join().expect("a value"));
        waiting.join().expect("a value");
    });
}

#[test]
fn a_panic_whose_payload_panics_too_stays_in_its_fiber() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose, again");
        }
    }
    let runtime = runtime();
    runtime.block_on_fiber(|| {
        sws_runtime::current_handle()
            .invoke(|| {
                sws_runtime::run_inline("bomb", || std::panic::panic_any(Bomb));
            })
            .expect("room");
        yield_now().expect("not cancelled");
        yield_now().expect("not cancelled");
        assert_eq!(go("good", || 1).join().expect("goes on"), 1);
    });
    assert_eq!(runtime.stats().panics, 1);
}

#[test]
fn a_daemon_does_not_hold_a_drain() {
    let limits = Limits { drain_timeout: Duration::from_secs(24 * 3600), ..Limits::default() };
    let runtime = Runtime::new(Config { limits, ..Config::default() }).expect("a runtime");
    let ended = Rc::new(Cell::new(0));
    for _ in 0..20 {
        let ended = Rc::clone(&ended);
        runtime.enter(|| {
            go_daemon("daemon", move || {
                assert!(sleep(Duration::from_secs(24 * 3600)).is_err());
                ended.set(ended.get() + 1);
            })
        });
    }
    runtime.handle().shutdown();
    runtime.run();
    assert_eq!(ended.get(), 20, "each was cancelled, and the drain did not wait for its timeout");
}
