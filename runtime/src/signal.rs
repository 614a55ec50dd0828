//! Signals, through the loop.
//!
//! They are blocked for all threads and read from a signalfd, so no code runs in a signal's context. Signals of one kind that
//! come faster than they are read are one; that a second SIGTERM may be lost so is the kernel's way, and a third will do.
//!
//! # Unsafe
//!
//! Calls of the C library on sets and records that lie on the stack of the caller.

use crate::core::{self, Core};
use crate::fiber::FiberInfo;
use crate::runtime::{Handle, Runtime, dump_fibers};
use crate::watch::{Interest, watch};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

const HANDLED: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1];
/// What a shell reports of a process that a signal has ended, less the signal's number.
const EXIT_BASE: i32 = 128;

/// The signals SIGINT, SIGTERM and SIGUSR1, taken from their default. Given to [`Runtime::handle_signals`], they do this:
///
/// | signal | effect |
/// |---|---|
/// | first SIGINT or SIGTERM | the worker drains: it accepts no more, and ends when what runs is finished |
/// | second | the process exits at once, with 128 + the signal's number |
/// | SIGUSR1 | a table of all fibers goes to the standard error |
///
/// ```no_run
/// use sws_runtime::signal::Signals;
/// use sws_runtime::{Config, Runtime};
///
/// // Before any thread is started: threads inherit the mask.
/// let signals = Signals::block()?;
/// let runtime = Runtime::new(Config::default()).unwrap();
/// runtime.handle_signals(signals);
/// runtime.run();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Signals {
    fd: OwnedFd,
    others: Vec<Handle>,
}

impl Signals {
    /// Blocks the signals for this thread, and for those it starts from here on: to be called before there are any.
    /// SIGPIPE is ignored.
    ///
    /// # Errors
    /// As `sigprocmask(2)` and `signalfd(2)`.
    pub fn block() -> io::Result<Signals> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset makes a set of it, and the set outlives all calls. SIG_IGN is no code of ours.
        let fd = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in HANDLED {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            let refused = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            if refused != 0 {
                return Err(io::Error::from_raw_os_error(refused));
            }
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::signalfd(-1, set.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and has no other owner.
        Ok(Signals { fd: unsafe { OwnedFd::from_raw_fd(fd) }, others: Vec::new() })
    }

    /// Has another worker drain too.
    pub fn also(mut self, handle: Handle) -> Signals {
        self.others.push(handle);
        self
    }

    /// The next signal that has come, if one has.
    fn next(&self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        loop {
            // SAFETY: the record has room for the bytes asked for.
            let count = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
            if count == size as isize {
                // SAFETY: the kernel has filled the record.
                return Some(unsafe { info.assume_init() }.ssi_signo as i32);
            }
            if count >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return None;
            }
        }
    }

    /// Acts on all that have come. `is_draining` says whether one of them has begun the end before.
    fn act(&self, core: &Core, is_draining: &mut bool) {
        while let Some(signal) = self.next() {
            match signal {
                libc::SIGUSR1 => print_fibers(),
                _ if *is_draining => std::process::exit(EXIT_BASE + signal),
                _ => {
                    *is_draining = true;
                    core.drain();
                    self.others.iter().for_each(Handle::shutdown);
                }
            }
        }
    }
}

impl Runtime {
    /// Has this worker's loop read the signals, as said at [`Signals`].
    pub fn handle_signals(&self, signals: Signals) {
        self.enter(|| {
            let signals = Rc::new(signals);
            let shared = Rc::clone(&signals);
            let mut is_draining = false;
            // The callback owns the descriptor, and so keeps it open for as long as it is watched.
            watch(signals.fd.as_fd(), Interest::Readable, move |_| {
                core::with(|core| shared.act(core, &mut is_draining));
            });
        });
    }
}

fn print_fibers() {
    // Nobody may read the standard error, which is no reason to end.
    let _ = io::stderr().lock().write_all(fiber_table(&dump_fibers()).as_bytes());
}

/// One line for each fiber, those that exist longest first.
fn fiber_table(fibers: &[FiberInfo]) -> String {
    let mut fibers: Vec<&FiberInfo> = fibers.iter().collect();
    fibers.sort_by_key(|fiber| std::cmp::Reverse(fiber.age));
    let mut text = format!("sws: {} fibers\n", fibers.len());
    if !fibers.is_empty() {
        text.push_str("     age ms  stack bytes  state    waits for         name\n");
    }
    for fiber in fibers {
        let waits_for = if fiber.state == "waiting" { fiber.waits_for } else { "" };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:>11}  {:>11}  {:<7}  {:<16}  {}",
            fiber.age.as_millis(),
            fiber.stack_used,
            fiber.state,
            waits_for,
            fiber.name
        );
    }
    text
}
