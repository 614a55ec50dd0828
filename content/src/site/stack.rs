//! A stack that is large enough for what the files of a site may nest.

use std::panic::resume_unwind;
use std::thread::{Builder, Scope, ScopedJoinHandle, scope};

/// Bytes of the stack on which files are parsed and pages rendered. They are reserved: what is not touched costs no memory. The
/// deepest that the bounds allow takes less than 1 MB of it, and less than 6 MB in a build without optimization.
pub(super) const STACK_BYTES: usize = 16 << 20;

/// Starts a thread that has such a stack.
///
/// # Panics
/// If no thread can be started.
pub(super) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    let thread = Builder::new().name("sws-site".to_owned()).stack_size(STACK_BYTES);
    thread.spawn_scoped(scope, work).expect("a thread for the files of a site")
}

/// Does work on such a stack, whatever the caller stands on: a fiber has 128 KB, a job on the pool 256 KB.
///
/// # Panics
/// If no thread can be started, and as the work does.
pub(super) fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    scope(|scope| spawn(scope, work).join()).unwrap_or_else(|panic| resume_unwind(panic))
}
