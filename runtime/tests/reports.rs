//! What is said on the standard error: a stack overflow, and a turn that took too long. Each test runs this program again.
#![cfg(not(sws_sim))]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use sws_runtime::{Config, Runtime, go, sleep};

const ROLE: &str = "SWS_REPORTS_TEST_ROLE";

/// Runs the test `child` in a process of its own, in a role.
fn run(role: &str) -> Output {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["--exact", "child", "--nocapture"]).env(ROLE, role).env("RUST_BACKTRACE", "full");
    command.output().expect("it runs")
}

/// Does what its role says; without one, nothing.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    match role.as_str() {
        "overflow" => runtime.block_on_fiber(|| {
            go("too deep", || dig(1)).join().expect("it never returns");
        }),
        "panic" => runtime.block_on_fiber(|| {
            let error =
                go("panicking", || -> () { panic!("with a backtrace") }).join().expect_err("it panicked");
            println!("survived: {error}");
        }),
        "slow" => runtime.block_on_fiber(|| {
            go("a busy handler", || {
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_millis(60) {
                    std::hint::spin_loop();
                }
            })
            .join()
            .expect("it ends");
            sleep(Duration::from_millis(1)).expect("not cancelled");
        }),
        other => panic!("no role {other}"),
    }
}

/// Uses up any stack.
#[expect(unconditional_recursion, reason = "that is the point")]
fn dig(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    dig(depth + 1) + std::hint::black_box(room)[7]
}

#[test]
fn an_overflow_names_the_handler_and_the_setting() {
    let output = run("overflow");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("stack overflow in the fiber of handler `too deep`"), "{said}");
    assert!(said.contains("Limits::stack_bytes"), "{said}");
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "the default action ends the process");
}

#[test]
fn a_panic_with_a_whole_backtrace_fits_on_a_fiber_s_stack() {
    let output = run("panic");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {said}", output.status);
    assert!(String::from_utf8_lossy(&output.stdout).contains("survived: panicked: with a backtrace"));
}

#[test]
fn a_slow_turn_names_the_handler_that_took_it() {
    let output = run("slow");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("a turn of the loop took"), "{said}");
    assert!(said.contains("handler `a busy handler`"), "{said}");
}
