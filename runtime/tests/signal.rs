//! Signals, each test with a process of its own: this program runs itself again, with one test that does nothing otherwise.
#![cfg(not(sws_sim))]

use std::io::{BufRead, BufReader, ErrorKind, Lines, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream as StdUnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use sws_runtime::net::UnixStream;
use sws_runtime::signal::Signals;
use sws_runtime::{Config, Runtime, go};

const ROLE: &str = "SWS_SIGNAL_TEST_ROLE";
const SOCKET: &str = "SWS_SIGNAL_TEST_SOCKET";
/// Begins the lines that are not the test harness's.
const MARK: &str = "child: ";

/// The process that gets the signals; without its role it does nothing. Its one fiber waits for a byte from the parent.
#[test]
fn child() {
    let (Ok(role), Ok(socket)) = (std::env::var(ROLE), std::env::var(SOCKET)) else { return };
    // SAFETY: SIG_DFL is no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let mut signals = Signals::block().expect("blocked");
    let mut workers = Vec::new();
    if role == "two" {
        let (tell, told) = mpsc::channel();
        workers.push(thread::spawn(move || {
            let other = Runtime::new(Config::default()).expect("a runtime");
            tell.send(other.handle()).expect("the first worker waits");
            other.run();
            println!("{MARK}the other worker has ended");
        }));
        signals = signals.also(told.recv().expect("a handle"));
    }
    let runtime = Runtime::new(Config::default()).expect("a runtime");
    runtime.handle_signals(signals);
    runtime.enter(|| {
        go("sitting", move || {
            let mut parent = UnixStream::connect(socket).expect("the parent listens");
            println!("{MARK}ready");
            // The loop reads no signal before this fiber waits.
            let count = parent.read(&mut [0]).expect("a byte, or the end");
            println!("{MARK}the fiber has read {count}");
        })
    });
    runtime.run();
    workers.into_iter().for_each(|worker| worker.join().expect("ends"));
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(writer.write(b"x").expect_err("nobody reads").kind(), ErrorKind::BrokenPipe);
    println!("{MARK}over");
}

/// The child, and what it says.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    errors: Lines<BufReader<ChildStderr>>,
    socket: StdUnixStream,
    path: PathBuf,
}

impl Process {
    fn start(role: &str) -> Process {
        let path = std::env::temp_dir().join(format!("sws-signal-{role}-{}", std::process::id()));
        let listener = UnixListener::bind(&path).expect("bound");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "child", "--nocapture"])
            .env(ROLE, role)
            .env(SOCKET, &path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // The harness runs a test on a thread that is not the process's first, which would take the signals instead. So they are
        // blocked from the start, as they are in a program that calls `Signals::block` first.
        // SAFETY: between fork and exec only functions that are safe there are called, on memory of this frame.
        unsafe { command.pre_exec(block_handled) };
        let mut child = command.spawn().expect("started");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let errors = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (socket, _) = listener.accept().expect("the child connects");
        let mut process = Process { child, lines, errors, socket, path };
        process.expect_line("ready");
        process
    }

    /// Reads up to this line.
    fn expect_line(&mut self, wanted: &str) {
        for line in self.lines.by_ref() {
            let line = line.expect("text");
            // The harness's own line may stand before it.
            if line.split_once(MARK).is_some_and(|(_, text)| text == wanted) {
                return;
            }
        }
        panic!("the child ended without `{wanted}`: {:?}", self.errors.by_ref().collect::<Vec<_>>());
    }

    fn kill(&self, signal: i32) {
        // SAFETY: takes no pointers; the child has not been waited for, so its number is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After a failed assertion it may still run; otherwise it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}

fn block_handled() -> std::io::Result<()> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset makes a set of it, which outlives the calls.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1] {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
    Ok(())
}

fn is_blocked(signal: i32) -> bool {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call fills the set in, which outlives both.
    unsafe {
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), set.as_mut_ptr()), 0);
        libc::sigismember(set.as_ptr(), signal) == 1
    }
}

#[test]
fn a_first_signal_lets_what_runs_finish() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut process = Process::start(if signal == libc::SIGTERM { "term" } else { "int" });
        process.kill(signal);
        process.socket.write_all(b"x").expect("written");
        process.expect_line("the fiber has read 1");
        process.expect_line("over");
        assert_eq!(process.exit_code(), Some(0));
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let mut process = Process::start("two");
    process.kill(libc::SIGTERM);
    // The worker that has nothing to do ends, by which the first signal is known to have been read; the other's fiber waits on.
    process.expect_line("the other worker has ended");
    process.kill(libc::SIGINT);
    assert_eq!(process.exit_code(), Some(128 + libc::SIGINT));
}

#[test]
fn a_table_of_the_fibers_is_printed_on_demand() {
    let mut process = Process::start("table");
    for _ in 0..3 {
        process.kill(libc::SIGUSR1);
        let row = loop {
            let line = process.errors.next().expect("a line").expect("text");
            if line.ends_with("sitting") {
                break line;
            }
        };
        let fields: Vec<&str> = row.split_whitespace().collect();
        assert_eq!((fields[2], fields[3], fields[4]), ("waiting", "receive", "sitting"), "{row}");
        fields[0].parse::<u64>().expect("an age");
        assert!(fields[1].parse::<u64>().expect("a size") > 0);
    }
    process.kill(libc::SIGTERM);
    process.socket.shutdown(std::net::Shutdown::Both).expect("ends");
    process.expect_line("the fiber has read 0");
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn threads_that_are_started_later_do_not_get_the_signals() {
    thread::spawn(|| {
        assert!(!is_blocked(libc::SIGTERM));
        let _signals = Signals::block().expect("blocked");
        let blocked = || [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1].into_iter().all(is_blocked);
        assert!(blocked() && thread::spawn(blocked).join().expect("ends"));
        assert!(!is_blocked(libc::SIGHUP));
    })
    .join()
    .expect("ends");
}
