//! What is said when a fiber's stack overflows.
//!
//! A write into a guard page raises SIGSEGV. The handler runs on a stack of its own, finds the running fiber through the
//! thread's runtime, writes one line that names the handler and the setting, and ends the process by the default action.
//! A fault that is not in a guard page goes to the handler that was there before (the standard library's).
//!
//! # Unsafe
//!
//! The handler may only do what is safe inside a signal: it reads cells of its own thread's runtime, formats into a
//! fixed buffer, and calls `write`. The fault happened in fiber code, where no table of the runtime is half-written.

use crate::core;
use crate::workers::current_job_stack;
use std::cell::Cell;
use std::io::Write;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

const SIGNAL_STACK: usize = 64 * 1024;
/// Bytes below a job's stack that are its guard.
const GUARD_REACH: usize = 4096;
static INSTALL: Once = Once::new();
static PREVIOUS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static HAS_SIGNAL_STACK: Cell<bool> = const { Cell::new(false) };
}

/// Installs the handler for the process, once, and a signal stack for this thread.
pub(crate) fn install() {
    INSTALL.call_once(|| {
        // SAFETY: sigaction is given a zeroed, then filled struct and a handler of the right signature.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            let mut before: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGSEGV, &action, &mut before);
            if before.sa_flags & libc::SA_SIGINFO != 0 {
                PREVIOUS.store(before.sa_sigaction, Ordering::Release);
            }
        }
    });
    if HAS_SIGNAL_STACK.replace(true) {
        return;
    }
    // SAFETY: the memory is leaked to the thread: it must be there as long as the thread can fault.
    unsafe {
        let mut current: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(std::ptr::null(), &mut current);
        if current.ss_flags & libc::SS_DISABLE != 0 {
            let memory: &'static mut [u8] = Box::leak(vec![0u8; SIGNAL_STACK].into_boxed_slice());
            let stack =
                libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: SIGNAL_STACK };
            libc::sigaltstack(&stack, std::ptr::null_mut());
        }
    }
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid siginfo to a SA_SIGINFO handler.
    let address = unsafe { (*info).si_addr() } as usize;
    let overflow = core::try_with(|core| core.fibers.is_guard(address).then(|| core.fibers.last_name()));
    if let Some(Some(name)) = overflow {
        let mut line = [0u8; 512];
        let mut rest = &mut line[..];
        let _ = writeln!(
            rest,
            "sws: stack overflow in the fiber of handler `{name}`: raise Limits::stack_bytes, or move large values to the heap"
        );
        let len = 512 - rest.len();
        // SAFETY: writes the filled part of the buffer; then the default action ends the process with the signal.
        unsafe {
            libc::write(2, line.as_ptr().cast(), len);
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        }
        return;
    }
    if let Some(stack) = current_job_stack()
        && (stack.start.saturating_sub(GUARD_REACH)..stack.start).contains(&address)
    {
        const LINE: &[u8] = b"sws: stack overflow in a job on the worker pool: raise WorkerConfig::stack_bytes, or move large values to the heap\n";
        // SAFETY: as above.
        unsafe {
            libc::write(2, LINE.as_ptr().cast(), LINE.len());
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        }
        return;
    }
    let previous = PREVIOUS.load(Ordering::Acquire);
    // SAFETY: the address was a SA_SIGINFO handler's, taken from sigaction.
    unsafe {
        if previous > 1 {
            let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                std::mem::transmute(previous);
            handler(signal, info, context);
        } else {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        }
    }
}
