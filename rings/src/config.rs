//! How a ring is sized, and how long it waits.

use std::os::fd::RawFd;
use std::time::Duration;

/// Sizes of a ring. They count against `RLIMIT_MEMLOCK` for a user without `CAP_IPC_LOCK`.
#[derive(Clone, Debug)]
pub struct RingConfig {
    /// Entries of the submission queue, a power of two. Halved until the kernel grants it, at least 64.
    pub submission_entries: u32,
    /// Entries of the completion queue, at most 65,536.
    pub completion_entries: u32,
    /// Size of the direct-descriptor table; 0 for none. The kernel bounds it by `RLIMIT_NOFILE`.
    pub direct_descriptors: u32,
    /// The provided buffers, or none.
    pub buffers: Option<BufferConfig>,
    /// A ring whose kernel worker threads are to be shared (`IORING_SETUP_ATTACH_WQ`).
    pub attach: Option<RawFd>,
}

impl Default for RingConfig {
    fn default() -> RingConfig {
        RingConfig {
            submission_entries: 1024,
            completion_entries: 8192,
            direct_descriptors: 0,
            buffers: Some(BufferConfig::default()),
            attach: None,
        }
    }
}

/// Sizes of a provided-buffer ring.
#[derive(Clone, Debug)]
pub struct BufferConfig {
    /// Buffers handed to the kernel at the start; as many again whenever fewer than half of them are left. All of them are
    /// touched in time, also while little comes.
    pub count: u16,
    /// The most buffers there may be, a power of two of at most 32,768: further ones are added while leases
    /// are held back.
    pub count_max: u16,
    /// Bytes of a buffer, a multiple of 64.
    pub size: u32,
    /// Whether the kernel may use one buffer for several receives (`IOU_PBUF_RING_INC`, kernel 6.12), where it can.
    pub incremental: bool,
}

impl Default for BufferConfig {
    fn default() -> BufferConfig {
        BufferConfig { count: 16, count_max: 1024, size: 32 * 1024, incremental: true }
    }
}

/// How [`Ring::submit_and_wait`](crate::Ring::submit_and_wait) waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// Return once so many completions are there; 0 only looks.
    pub completions: u32,
    /// Return after this time in any case; `None` waits without end.
    pub timeout: Option<Duration>,
    /// Once this time has passed, one completion is enough (kernel 6.12; ignored where it is missing).
    pub min_wait: Option<Duration>,
}

impl Wait {
    /// Submits and takes what is there.
    pub const POLL: Wait = Wait { completions: 0, timeout: None, min_wait: None };

    /// Waits for one completion, at most `timeout`.
    pub fn one(timeout: Option<Duration>) -> Wait {
        Wait { completions: 1, timeout, min_wait: None }
    }
}
