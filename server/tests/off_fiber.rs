//! What waits is called on a fiber. Who calls it elsewhere is told where that is.

use std::panic::{catch_unwind, set_hook};
use std::sync::mpsc;
use std::time::Duration;
use sws::runtime::{go, sleep, submit};
use sws::{Router, Server};

const ON_A_WORKER: &str = "only a fiber can wait; call this on a fiber: in a handler, or by go(..)";
const ELSEWHERE: &str =
    "no worker runs on this thread: call this in a handler, on a fiber, or where a server makes its router";

/// What a wait says that cannot be.
fn said_of_a_wait() -> String {
    let panic = catch_unwind(|| sleep(Duration::ZERO)).expect_err("it cannot wait");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().expect("a text").to_string(),
    }
}

#[test]
fn a_wait_says_where_it_is_to_be_called() {
    let (told, said) = mpsc::channel();
    let running = Server::bind("127.0.0.1:0").expect("bound").spawn(move || {
        // On a worker's thread, and no fiber yet.
        told.send(said_of_a_wait()).expect("somebody listens");
        Router::new()
    });
    let on_a_worker = said.recv().expect("it was told");
    running.expect("it serves").shutdown();
    assert!(on_a_worker.contains(ON_A_WORKER), "{on_a_worker}");
    let elsewhere = said_of_a_wait();
    assert!(elsewhere.contains(ELSEWHERE), "{elsewhere}");
    // The line that is named is the caller's.
    let (told, said) = mpsc::channel();
    set_hook(Box::new(move |info| told.send(info.location().map(|at| at.file().to_owned())).expect("heard")));
    let calls: [fn(); 3] =
        [|| drop(go("a", || ())), || drop(submit(|| ())), || sleep(Duration::ZERO).expect("it panics")];
    for call in calls {
        catch_unwind(call).expect_err("there is no worker");
        assert_eq!(said.recv().expect("it was told").as_deref(), Some(file!()));
    }
}
