//! What a ring returns, and what it counts; the same of a scripted one.

use crate::Lease;
use crate::token::Token;

/// The end, or a part, of an operation.
#[derive(Debug)]
pub struct Completion {
    /// As it was submitted.
    pub token: Token,
    /// What the operation's manual page says it returns, or the errno.
    pub result: Result<u32, i32>,
    /// The received bytes, where the kernel picked the buffer.
    pub lease: Option<Lease>,
    /// Whether the operation goes on (multishot).
    pub more: bool,
}

/// Counts of a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingStats {
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Operations submitted.
    pub submissions: u64,
    /// Completions taken.
    pub completions: u64,
    /// Completions that nobody waited for any more.
    pub ghosts: u64,
    /// Times the submission queue was full.
    pub submission_queue_full: u64,
    /// Times the completion queue overflowed into the kernel's list.
    pub completion_queue_overflow: u64,
}
