//! The ring itself.
//!
//! # Unsafe
//!
//! The queues are owned by this value and used on one thread (`Ring` is not `Send`). What the submissions point to is
//! the business of whoever calls [`Ring::push`].

use crate::buffers::BufferRing;
use crate::completion::{Completion, RingStats};
use crate::config::{BufferConfig, RingConfig, Wait};
use crate::op::Op;
use crate::probe;
use crate::setup::{self, SetupError};
use crate::token::Token;
use io_uring::{IoUring, cqueue, squeue, types};
use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;

/// The buffer group of the provided-buffer ring.
const GROUP: u16 = 0;
/// `IOU_PBUF_RING_INC`, kernel 6.12.
const INCREMENTAL: u16 = 2;
const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const REGISTER_RING_FDS: u32 = 20;

/// An io_uring with its provided buffers. Made and used on one thread.
pub struct Ring {
    uring: IoUring,
    buffers: Option<BufferRing>,
    backlog: VecDeque<squeue::Entry>,
    stats: RingStats,
    registered: Option<u32>,
    direct: u32,
    min_wait: bool,
    one_thread: PhantomData<Rc<()>>,
}

impl Ring {
    /// Makes a ring on this thread.
    ///
    /// # Errors
    /// [`SetupError`] names what forbids it. A table of direct descriptors that cannot be registered is not an error:
    /// [`direct_descriptors`](Ring::direct_descriptors) is then 0.
    pub fn new(config: &RingConfig) -> Result<Ring, SetupError> {
        let uring = setup::build(config)?;
        let mut ring = Ring {
            min_wait: uring.params().is_feature_min_timeout(),
            uring,
            buffers: None,
            backlog: VecDeque::new(),
            stats: RingStats::default(),
            registered: None,
            direct: 0,
            one_thread: PhantomData,
        };
        ring.register_self();
        if config.direct_descriptors > 0
            && ring.uring.submitter().register_files_sparse(config.direct_descriptors).is_ok()
        {
            ring.direct = config.direct_descriptors;
        }
        if let Some(buffers) = &config.buffers {
            ring.register_buffers(buffers)?;
        }
        Ok(ring)
    }

    /// Registers the ring's own descriptor, which saves a look-up at each enter (5.18). Optional.
    fn register_self(&mut self) {
        #[repr(C)]
        struct Update {
            offset: u32,
            reserved: u32,
            data: u64,
        }
        let fd = self.uring.as_raw_fd();
        let mut update = Update { offset: u32::MAX, reserved: 0, data: fd as u64 };
        // SAFETY: IORING_REGISTER_RING_FDS takes an array of `count` io_uring_rsrc_update, which this struct is.
        let count = unsafe {
            libc::syscall(libc::SYS_io_uring_register, fd, REGISTER_RING_FDS, &raw mut update, 1u32)
        };
        self.registered = (count == 1).then_some(update.offset);
    }

    /// Registers the provided buffers; fewer of them where their entries do not fit beside the ring in the locked memory.
    fn register_buffers(&mut self, config: &BufferConfig) -> Result<(), SetupError> {
        let mut config = config.clone();
        loop {
            let refusal = match self.try_register_buffers(&config)? {
                None => return Ok(()),
                Some(refusal) => refusal,
            };
            match refusal.raw_os_error() {
                Some(libc::ENOMEM) if config.count_max / 2 >= config.count => config.count_max /= 2,
                Some(libc::EINVAL) => {
                    return Err(SetupError::TooOld { feature: "provided-buffer rings (Linux 5.19)" });
                }
                _ => return Err(refusal.into()),
            }
        }
    }

    /// Tries the modes of a buffer ring of one size; returns why the kernel takes none.
    fn try_register_buffers(&mut self, config: &BufferConfig) -> Result<Option<io::Error>, SetupError> {
        let modes: &[bool] = if config.incremental { &[true, false] } else { &[false] };
        let mut refusal = io::Error::from_raw_os_error(libc::EINVAL);
        for &incremental in modes {
            let buffers = BufferRing::new(config, incremental)?;
            let flags = if incremental { INCREMENTAL } else { 0 };
            // SAFETY: the entries stay mapped until the ring is closed: fields of `Ring` drop in their order, `uring`
            // before `buffers`, and leases keep the mappings alive after that.
            let registered = unsafe {
                self.uring.submitter().register_buf_ring_with_flags(
                    buffers.entries_address(),
                    buffers.entries_count(),
                    GROUP,
                    flags,
                )
            };
            match registered {
                Ok(()) => {
                    self.buffers = Some(buffers);
                    return Ok(None);
                }
                Err(error) => refusal = error,
            }
        }
        Ok(Some(refusal))
    }

    /// Submits an operation with the next [`submit_and_wait`](Ring::submit_and_wait). A full queue is flushed first;
    /// what the kernel does not take even then waits in a backlog, in order.
    ///
    /// # Safety
    /// All memory that `op` names stays valid, unmoved and not otherwise written (or, if the kernel writes it, not
    /// otherwise read) until the completion with this token and without `more` was drained, or the ring is dropped.
    pub unsafe fn push(&mut self, op: &Op, token: Token) {
        let entry = op.encode(GROUP).user_data(token.user_data());
        if self.backlog.is_empty() && self.try_push(&entry) {
            return;
        }
        self.stats.submission_queue_full += 1;
        self.backlog.push_back(entry);
        self.enter(0, Wait::POLL);
        self.push_backlog();
    }

    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the caller of `push` keeps what the entry points to.
        unsafe { self.uring.submission().push(entry) }.is_ok()
    }

    fn push_backlog(&mut self) {
        while let Some(entry) = self.backlog.front().cloned() {
            if !self.try_push(&entry) {
                break;
            }
            self.backlog.pop_front();
        }
    }

    /// Submits what was pushed and waits. Returns early on a signal; never fails for what a later call can mend.
    pub fn submit_and_wait(&mut self, wait: Wait) {
        self.push_backlog();
        if self.uring.submission().cq_overflow() {
            self.stats.completion_queue_overflow += 1;
        }
        let wanted = if self.backlog.is_empty() { wait.completions } else { 0 };
        self.enter(wanted, wait);
    }

    /// One `io_uring_enter`. GETEVENTS is always set: it runs deferred task work, and moves what overflowed.
    fn enter(&mut self, wanted: u32, wait: Wait) {
        let submit = self.uring.submission().len() as u32;
        let timespec = wait.timeout.map(types::Timespec::from);
        let mut args = types::SubmitArgs::new();
        if let Some(timespec) = &timespec {
            args = args.timespec(timespec);
        }
        if let (true, Some(min_wait)) = (self.min_wait, wait.min_wait) {
            args = args.min_wait_usec(min_wait.as_micros().min(u128::from(u32::MAX)) as u32);
        }
        let (fd, registered) = match self.registered {
            Some(index) => (index as i32, ENTER_REGISTERED_RING),
            None => (self.uring.as_raw_fd(), 0),
        };
        self.stats.enters += 1;
        // SAFETY: the argument is an io_uring_getevents_arg that lives over the call, as EXT_ARG says.
        let submitted = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                fd,
                submit,
                wanted,
                ENTER_GETEVENTS | ENTER_EXT_ARG | registered,
                &raw const args,
                size_of_val(&args),
            )
        };
        if submitted >= 0 {
            self.stats.submissions += submitted as u64;
            return;
        }
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        // ETIME: the timeout. EINTR: a signal. EBUSY, EAGAIN, ENOMEM: the kernel wants completions taken first, and
        // what was not submitted stays in the queue. EBADR: the kernel had no memory for a completion and dropped it; its
        // operation ends by its deadline. Anything else is a mistake of this file.
        assert!(
            matches!(
                errno,
                libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ENOMEM | libc::EBADR
            ),
            "io_uring_enter: errno {errno}"
        );
    }

    /// Moves all completions into `out` and returns how many were ghosts. `is_live` says whether somebody still waits
    /// for the token; if not, the completion is dropped here and its buffer given back.
    pub fn drain(&mut self, mut is_live: impl FnMut(Token) -> bool, out: &mut Vec<Completion>) -> usize {
        let mut ghosts = 0;
        let mut taken = 0;
        for entry in self.uring.completion() {
            taken += 1;
            let completion = completion(self.buffers.as_ref(), &entry);
            match is_live(completion.token) {
                true => out.push(completion),
                false => ghosts += 1,
            }
        }
        self.stats.completions += taken;
        self.stats.ghosts += ghosts;
        if let Some(buffers) = &self.buffers {
            buffers.replenish();
        }
        ghosts as usize
    }

    /// The provided buffers.
    pub fn buffers(&self) -> Option<&BufferRing> {
        self.buffers.as_ref()
    }

    /// Size of the direct-descriptor table, 0 if there is none.
    pub fn direct_descriptors(&self) -> u32 {
        self.direct
    }

    /// Counts.
    pub fn stats(&self) -> RingStats {
        self.stats
    }

    /// Has the kernel write `eventfd` at each completion, which is how a ring wakes another one that polls it.
    ///
    /// # Errors
    /// As `io_uring_register(2)`.
    pub fn register_eventfd(&self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        self.uring.submitter().register_eventfd(eventfd.as_raw_fd())
    }

    /// What this ring can do.
    pub fn features(&self) -> crate::Features {
        probe::of(&self.uring, self.buffers.as_ref().is_some_and(BufferRing::is_incremental), self.direct > 0)
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.uring.as_raw_fd()
    }
}

/// ERESTARTSYS, a number of the kernel's own: a splice on a kernel's thread that was interrupted, as by SIGSTOP, ends with it.
const INTERRUPTED: i32 = -512;

fn completion(buffers: Option<&BufferRing>, entry: &cqueue::Entry) -> Completion {
    let flags = entry.flags();
    let result = match entry.result() {
        value @ 0.. => Ok(value as u32),
        INTERRUPTED => Err(libc::EINTR),
        errno => Err(-errno),
    };
    let lease = match (cqueue::buffer_select(flags), buffers) {
        (Some(id), Some(buffers)) => Some(buffers.lease(id, result.unwrap_or(0), cqueue::buffer_more(flags))),
        _ => None,
    };
    Completion { token: Token::from_user_data(entry.user_data()), result, lease, more: cqueue::more(flags) }
}
