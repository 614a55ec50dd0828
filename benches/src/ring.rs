//! A bare io_uring loop: one ring, one set of provided buffers, one wait per turn. The floors and the WebSocket client
//! stand on it.
//!
//! Ownership: a ring and its buffers are used by one thread. The memory of the buffers is written by the kernel from
//! the moment a buffer is given until a completion names it, so it is never unmapped while an operation that may
//! choose a buffer is armed: [`Ring::retire`] is for those who know that none is, and without it the memory stays.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::types::{BufRingEntry, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, squeue};

use crate::sys::{self, count_system_call};

/// How long a turn waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For one completion.
    ForOne,
    /// For [`BATCH`] completions, or after [`BATCH_USEC`] for one.
    Batch,
}

/// Completions that a batched wait is content with.
pub const BATCH: usize = 64;
/// The minimum of a batched wait.
pub const BATCH_USEC: u32 = 200;
/// Without a timeout a minimum wait ends with ETIME even where nothing came; with one it goes on for one.
const BATCH_TIMEOUT: Timespec = Timespec::new().sec(10);
const SQ_ENTRIES: u32 = 4096;
const CQ_ENTRIES: u32 = 16_384;
/// The group of the provided buffers.
pub const BUFFER_GROUP: u16 = 0;

/// A ring with provided buffers.
pub struct Ring {
    ring: IoUring,
    buffers: BufferRing,
}

impl Ring {
    /// A new one for this thread, with `buffers` of `buffer_bytes` each.
    pub fn new(buffers: u16, buffer_bytes: usize) -> io::Result<Self> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(CQ_ENTRIES)
            .build(SQ_ENTRIES)?;
        let buffers = BufferRing::register(&ring, buffers, buffer_bytes)?;
        Ok(Ring { ring, buffers })
    }

    /// Submits what was pushed, waits, and appends what has completed.
    pub fn turn(&mut self, wait: Wait, completions: &mut Vec<cqueue::Entry>) -> io::Result<()> {
        count_system_call();
        let entered = match wait {
            Wait::ForOne => self.ring.submit_and_wait(1),
            Wait::Batch if !self.ring.params().is_feature_min_timeout() => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel has no minimum wait"));
            }
            Wait::Batch => {
                let args = SubmitArgs::new().timespec(&BATCH_TIMEOUT).min_wait_usec(BATCH_USEC);
                self.ring.submitter().submit_with_args(BATCH, &args)
            }
        };
        self.entered(entered, completions)
    }

    /// The same, for `count` completions or at most `timeout`. Until there are so many the kernel does not wake this
    /// thread.
    pub fn turn_within(
        &mut self,
        timeout: Duration,
        count: usize,
        completions: &mut Vec<cqueue::Entry>,
    ) -> io::Result<()> {
        let timeout = Timespec::from(timeout);
        let args = SubmitArgs::new().timespec(&timeout);
        let entered = self.ring.submitter().submit_with_args(count, &args);
        self.entered(entered, completions)
    }

    fn entered(
        &mut self,
        entered: io::Result<usize>,
        completions: &mut Vec<cqueue::Entry>,
    ) -> io::Result<()> {
        match entered {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::ETIME)) => {}
            result => drop(result?),
        }
        completions.extend(self.ring.completion());
        Ok(())
    }

    /// Queues an operation for the next turn, or submits at once where the queue is full.
    ///
    /// # Safety
    /// What the entry points to outlives the operation, and is not changed before its completion.
    pub unsafe fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: the caller says that what the entry points to outlives the operation.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            count_system_call();
            self.ring.submit()?;
        }
    }

    /// The bytes of the buffer that `completion` names, with the buffer's number. The buffer is to be given back.
    pub fn received(&mut self, completion: &cqueue::Entry) -> Option<(u16, &mut [u8])> {
        let id = cqueue::buffer_select(completion.flags())?;
        Some((id, self.buffers.bytes(id, completion.result().max(0) as usize)))
    }

    /// Gives a buffer to the kernel again.
    pub fn give_back(&mut self, id: u16) {
        self.buffers.give_back(id);
    }

    /// Bytes of one buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.buffers.buffer_bytes
    }

    /// Ends the ring and unmaps its buffers.
    ///
    /// # Safety
    /// No operation that may choose one of the buffers is armed.
    pub unsafe fn retire(self) {
        let Ring { ring, buffers } = self;
        drop(ring);
        // SAFETY: the ring that knew the mappings is closed, the caller says that no operation writes to them, and
        // nobody holds their bytes, as `buffers` is owned here.
        unsafe {
            libc::munmap(buffers.entries.cast(), buffers.entries_bytes());
            libc::munmap(buffers.memory.cast(), usize::from(buffers.count) * buffers.buffer_bytes);
        }
    }
}

/// Sets TCP_NODELAY on a descriptor that is open.
pub fn set_nodelay(fd: RawFd) -> io::Result<()> {
    let on: i32 = 1;
    count_system_call();
    // SAFETY: the option value is an int that outlives the call, and its size is given.
    let done = unsafe {
        libc::setsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            size_of::<i32>() as u32,
        )
    };
    sys::check(done).map(drop)
}

/// Provided buffers, and the ring by which they are given to the kernel.
struct BufferRing {
    entries: *mut BufRingEntry,
    memory: *mut u8,
    count: u16,
    buffer_bytes: usize,
    tail: u16,
}

impl BufferRing {
    /// Maps and registers the ring and gives the kernel all buffers.
    fn register(ring: &IoUring, count: u16, buffer_bytes: usize) -> io::Result<Self> {
        assert!(count.is_power_of_two() && u32::try_from(buffer_bytes).is_ok(), "as the kernel wants them");
        let ring_bytes = usize::from(count) * size_of::<BufRingEntry>();
        let entries = map(ring_bytes)?.cast::<BufRingEntry>();
        let memory = map(usize::from(count) * buffer_bytes)?;
        // SAFETY: the mapping is page-aligned, has room for all entries and is not unmapped before the ring is closed.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(entries as u64, count, BUFFER_GROUP, 0)?;
        }
        let mut buffers = BufferRing { entries, memory, count, buffer_bytes, tail: 0 };
        (0..count).for_each(|id| buffers.give_back(id));
        Ok(buffers)
    }

    fn entries_bytes(&self) -> usize {
        usize::from(self.count) * size_of::<BufRingEntry>()
    }

    fn bytes(&mut self, id: u16, length: usize) -> &mut [u8] {
        assert!(
            id < self.count && length <= self.buffer_bytes,
            "the kernel names a buffer that was given to it"
        );
        // SAFETY: the range lies in the mapping, as asserted, and the kernel does not write to a buffer
        // between its completion and `give_back`, which takes `&mut self`.
        unsafe {
            std::slice::from_raw_parts_mut(self.memory.add(usize::from(id) * self.buffer_bytes), length)
        }
    }

    fn give_back(&mut self, id: u16) {
        assert!(id < self.count, "a buffer of this ring");
        // SAFETY: entry and buffer lie in their mappings; the kernel reads the entry only after the tail
        // has moved past it, which the store with Release does last.
        unsafe {
            let entry = &mut *self.entries.add(usize::from(self.tail % self.count));
            entry.set_addr(self.memory.add(usize::from(id) * self.buffer_bytes) as u64);
            entry.set_len(self.buffer_bytes as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

fn map(bytes: usize) -> io::Result<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    // SAFETY: asks for new memory at an address of the kernel's choice.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(at.cast()) }
}
