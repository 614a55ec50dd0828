//! The ways to make a batch durable. Each tells how long the thread of the loop was kept from other work ([`Spent`]).
//!
//! ```text
//! on the ring    push, enter ┄┄┄┄┄┄┄ (free) ┄┄┄┄┄┄┄ completion     lost: the enter, and what waiting loses
//! as a call      pwrite, fdatasync ──────────────── return         lost: all of it
//! on a thread    unpark ┄┄┄┄┄┄┄┄┄┄┄┄ (free) ┄┄┄┄┄┄┄ eventfd        lost: the unpark, and what waiting loses
//! ```

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use io_uring::types::{Fd, FsyncFlags};
use io_uring::{opcode, squeue};

use super::file::LogFile;
use super::turns::{Spent, Turns};
use crate::pingpong::EventFd;

/// A way to make a file's batch durable.
pub trait Commit {
    /// Makes it durable at `offset`, and waits until it is.
    fn commit(&mut self, offset: u64) -> io::Result<Spent>;
}

/// What a call, on whichever thread, does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// pwrite(2), then fdatasync(2).
    WriteThenSync,
    /// pwritev2(2) with RWF_DSYNC.
    DsyncWrite,
}

impl Call {
    fn make(self, log: &LogFile, offset: u64) -> io::Result<()> {
        match self {
            Call::WriteThenSync => {
                log.file().write_all_at(log.batch(), offset)?;
                log.file().sync_data()
            }
            Call::DsyncWrite => {
                let batch = log.batch();
                let part = libc::iovec { iov_base: batch.as_ptr().cast_mut().cast(), iov_len: batch.len() };
                let at = offset as libc::off_t;
                // SAFETY: the one part is the batch, which outlives the call and is only read.
                let written = unsafe { libc::pwritev2(log.fd(), &part, 1, at, libc::RWF_DSYNC) };
                all_written(written, batch.len())
            }
        }
    }
}

fn all_written(written: isize, length: usize) -> io::Result<()> {
    match written {
        negative if negative < 0 => Err(io::Error::last_os_error()),
        written if written as usize == length => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// The call on the thread of the loop itself.
pub struct OnLoop {
    log: LogFile,
    call: Call,
}

impl OnLoop {
    /// Commits to `log`.
    pub fn new(log: LogFile, call: Call) -> Self {
        OnLoop { log, call }
    }
}

impl Commit for OnLoop {
    fn commit(&mut self, offset: u64) -> io::Result<Spent> {
        let start = Instant::now();
        self.call.make(&self.log, offset)?;
        Ok(Spent { lost: start.elapsed(), ..Spent::default() })
    }
}

/// What the ring is told to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chain {
    /// WRITE, linked to FSYNC with DATASYNC. Only the second one is completed to the loop.
    WriteThenSync,
    /// WRITE with RWF_DSYNC.
    DsyncWrite,
    /// The same, handed to a worker of the ring at once, which a buffered write is anyway.
    DsyncWriteByWorker,
}

/// Operations of the ring.
pub struct OnRing {
    turns: Turns,
    log: LogFile,
    chain: Chain,
}

impl OnRing {
    /// Commits to `log`, by the ring of `turns`.
    pub fn new(turns: Turns, log: LogFile, chain: Chain) -> Self {
        OnRing { turns, log, chain }
    }
}

impl Commit for OnRing {
    fn commit(&mut self, offset: u64) -> io::Result<Spent> {
        let batch = self.log.batch();
        let (file, length) = (Fd(self.log.fd()), batch.len());
        let rw_flags = if self.chain == Chain::WriteThenSync { 0 } else { libc::RWF_DSYNC };
        let write = opcode::Write::new(file, batch.as_ptr(), length as u32).offset(offset).rw_flags(rw_flags);
        let write = write.build().user_data(length as u64);
        let entries: &[squeue::Entry] = match self.chain {
            Chain::WriteThenSync => {
                let flags = squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS;
                let sync = opcode::Fsync::new(file).flags(FsyncFlags::DATASYNC);
                &[write.flags(flags), sync.build()]
            }
            Chain::DsyncWrite => &[write],
            Chain::DsyncWriteByWorker => &[write.flags(squeue::Flags::ASYNC)],
        };
        // SAFETY: the batch is only read by the kernel, nobody changes it, and it lives as long as the log, which the
        // order of the fields drops after the ring.
        unsafe { self.turns.push(entries) };
        let mut spent = self.turns.submit()?;
        let (completion, waiting) = self.turns.wait()?;
        spent += waiting;
        match completion.result() {
            negative if negative < 0 => Err(io::Error::from_raw_os_error(-negative)),
            // The length of what the write was to write, or the zero of the sync, whose write is only completed to the
            // loop where it was short or failed.
            result if result as u64 == completion.user_data() => Ok(spent),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

/// The call on a thread of the log's own, which is unparked with an offset and answers by an eventfd that the loop's
/// ring reads.
pub struct OnThread {
    turns: Turns,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Where the ring's read of the eventfd puts the count: never freed, since the read that is armed when the ring
    /// is closed may end later.
    count: &'static AtomicU64,
}

struct Shared {
    /// [`IDLE`], [`END`], or the offset to commit at.
    job: AtomicU64,
    /// Of the last commit; set before `done` is signalled.
    failure: Mutex<Option<io::Error>>,
    done: EventFd,
}

const IDLE: u64 = u64::MAX;
const END: u64 = u64::MAX - 1;

impl OnThread {
    /// Starts the thread, which owns `log` and answers to the ring of `turns`.
    pub fn start(turns: Turns, log: LogFile, call: Call) -> io::Result<Self> {
        let shared = Shared { job: AtomicU64::new(IDLE), failure: Mutex::new(None), done: EventFd::new()? };
        let shared = Arc::new(shared);
        let thread = thread::Builder::new().name("log".into()).spawn({
            let shared = shared.clone();
            move || shared.serve(&log, call)
        })?;
        let count = Box::leak(Box::new(AtomicU64::new(0)));
        let mut on_thread = OnThread { turns, shared, thread: Some(thread), count };
        on_thread.arm();
        Ok(on_thread)
    }

    /// Queues the read of the eventfd; the next wait submits it.
    fn arm(&mut self) {
        let read = opcode::Read::new(Fd(self.shared.done.as_raw_fd()), self.count.as_ptr().cast(), 8).build();
        // SAFETY: the eight bytes are never freed, and only read after the completion.
        unsafe { self.turns.push(&[read]) };
    }

    fn wake(&self, job: u64) {
        self.shared.job.store(job, Ordering::Release);
        self.thread.as_ref().expect("taken only when dropped").thread().unpark();
    }
}

impl Commit for OnThread {
    fn commit(&mut self, offset: u64) -> io::Result<Spent> {
        let start = Instant::now();
        self.wake(offset);
        let mut spent = Spent { lost: start.elapsed(), ..Spent::default() };
        let (completion, waiting) = self.turns.wait()?;
        spent += waiting;
        let result = completion.result();
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        self.arm();
        match self.shared.failure.lock().expect("nobody panics with it").take() {
            Some(failure) => Err(failure),
            None => Ok(spent),
        }
    }
}

impl Drop for OnThread {
    fn drop(&mut self) {
        self.wake(END);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the log's thread does not panic");
        }
    }
}

impl Shared {
    fn serve(&self, log: &LogFile, call: Call) {
        loop {
            match self.job.swap(IDLE, Ordering::Acquire) {
                IDLE => thread::park(),
                END => return,
                offset => {
                    if let Err(error) = call.make(log, offset) {
                        *self.failure.lock().expect("nobody panics with it") = Some(error);
                    }
                    self.done.signal().expect("an eventfd takes a one");
                }
            }
        }
    }
}
