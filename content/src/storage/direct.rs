//! Appending past the page cache, on threads of its own.
//!
//! A write with O_DIRECT names whole blocks of memory and file. So what is appended is copied behind the bytes of the file's last
//! block, which are kept here, and filled up with zeros; the next append writes that block again. Its old bytes are the same in
//! both writes, and a sector is written whole or not at all, so they are never at risk.
//!
//! The write is one call with RWF_DSYNC, see `pwritev2(2)`: over blocks that were written before it is one operation of the disk. It
//! blocks, so a thread makes it. The ring could, but where the disk needs a flush of its own, the kernel ends such a write on a
//! worker that waits up to 4 ms for a core on which a loop is busy.

use futures_channel::oneshot;
use rustix::io::{Errno, ReadWriteFlags, pwritev2};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use sws_runtime::block_on;

/// Alignment of memory, offsets and lengths. Every disk takes it.
pub(super) const BLOCK: usize = 4096;
/// Memory that is kept for the next append, at most.
const KEPT_MAX: usize = 256 * 1024;
/// Threads that write, at most. Each partition has one write at a time.
const THREADS_MAX: usize = 4;
/// Zeros that are written at once.
const ZEROS_MAX: usize = 512 * 1024;

/// Bytes that begin at a multiple of [`BLOCK`].
#[derive(Debug, Default)]
pub(super) struct Aligned {
    memory: Vec<u8>,
    start: usize,
}

impl Aligned {
    /// Has room for `len` bytes; what was there is lost.
    pub(super) fn reserve(&mut self, len: usize) {
        if self.memory.len() < self.start + len || self.memory.is_empty() {
            self.memory = vec![0; len + BLOCK];
            self.start = self.memory.as_ptr().align_offset(BLOCK);
        }
    }

    pub(super) fn bytes(&mut self, len: usize) -> &mut [u8] {
        &mut self.memory[self.start..self.start + len]
    }
}

/// What a thread is to do; it answers by itself.
type Job = Box<dyn FnOnce(&Shared) + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// Threads that write zeros, which takes longer than an append may wait.
    zeroing: usize,
    is_closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    zeros: OnceLock<Aligned>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn zeros(&self) -> &[u8] {
        let zeros = self.zeros.get_or_init(|| {
            let mut zeros = Aligned::default();
            zeros.reserve(ZEROS_MAX);
            zeros
        });
        &zeros.memory[zeros.start..][..ZEROS_MAX]
    }
}

/// Threads that write. They start when they are needed, and end with the last who may need them.
#[derive(Default)]
pub(super) struct Writers(Arc<Shared>);

impl std::fmt::Debug for Writers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writers").field("threads", &self.0.lock().threads).finish()
    }
}

impl Writers {
    /// Has a thread do something, and suspends the fiber until it is done. When the fiber is cancelled, its thread waits for that: nothing
    /// is written any more behind the back of who opens the log next.
    fn run<T: Send + 'static>(&self, job: impl FnOnce(&Shared) -> T + Send + 'static) -> io::Result<T> {
        let (reply, answer) = oneshot::channel();
        let (running, ended) = mpsc::channel::<Infallible>();
        self.push(Box::new(move |shared| {
            // Who asked may be gone.
            let _ = reply.send(job(shared));
            drop(running);
        }))?;
        match block_on(answer) {
            Ok(answer) => answer.map_err(|_| io::Error::other("the write was dropped")),
            Err(cancelled) => {
                let _ = ended.recv();
                Err(cancelled.into())
            }
        }
    }

    /// Has a thread be there.
    pub(super) fn start(&self) -> io::Result<()> {
        let mut queue = self.0.lock();
        if queue.threads == 0 { self.start_another(&mut queue) } else { Ok(()) }
    }

    fn start_another(&self, queue: &mut Queue) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        std::thread::Builder::new().name("sws-log".to_owned()).spawn(move || work(&shared))?;
        queue.threads += 1;
        Ok(())
    }

    fn push(&self, job: Job) -> io::Result<()> {
        let mut queue = self.0.lock();
        queue.jobs.push_back(job);
        // One that has just answered takes the next job sooner than another would wake.
        let is_short = queue.threads == 0 || queue.jobs.len() + queue.zeroing.min(1) > queue.idle + 1;
        if is_short && queue.threads < THREADS_MAX {
            match self.start_another(&mut queue) {
                Ok(()) => {}
                Err(error) if queue.threads == 0 => {
                    queue.jobs.pop_back();
                    return Err(error);
                }
                // The others do it.
                Err(_) => {}
            }
        }
        drop(queue);
        self.0.wake.notify_one();
        Ok(())
    }

    /// Writes zeros from one multiple of [`BLOCK`] to another, past the page cache and without waiting until they are on the disk.
    pub(super) fn zero(&self, file: &Arc<OwnedFd>, from: u64, to: u64) -> io::Result<()> {
        let mut at = from;
        while at < to {
            let (file, offset, len) = (Arc::clone(file), at, ZEROS_MAX.min((to - at) as usize));
            self.run(move |shared| {
                shared.lock().zeroing += 1;
                let result = write_whole(&file, &shared.zeros()[..len], offset, ReadWriteFlags::empty());
                shared.lock().zeroing -= 1;
                result
            })??;
            at += len as u64;
        }
        Ok(())
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.wake.notify_all();
    }
}

fn work(shared: &Shared) {
    let mut queue = shared.lock();
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            drop(queue);
            job(shared);
            queue = shared.lock();
        } else if queue.is_closed {
            queue.threads -= 1;
            return;
        } else {
            queue.idle += 1;
            queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

/// The writing end of a file that is appended to.
#[derive(Debug)]
pub(super) struct Direct {
    file: Arc<OwnedFd>,
    staging: Aligned,
    /// Where the next append goes if the tail is known, and the bytes of the block before it.
    end: u64,
    tail: Vec<u8>,
}

impl Direct {
    /// Over a file that was opened with O_DIRECT.
    pub(super) fn new(file: Arc<OwnedFd>) -> Direct {
        Direct { file, staging: Aligned::default(), end: u64::MAX, tail: Vec::new() }
    }

    /// Writes `data` at an offset, and suspends the fiber until it is on the disk. `read` reads the file; it is asked for the block that
    /// lies before the offset, unless the last append ended there.
    pub(super) fn append(
        &mut self,
        writers: &Writers,
        data: &[u8],
        offset: u64,
        read: impl FnOnce(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<()> {
        let block = offset - offset % BLOCK as u64;
        let before = (offset - block) as usize;
        if self.end != offset {
            self.tail.resize(before, 0);
            if read(&mut self.tail, block)? < before {
                // The file ends before the place: what would be filled in here is not what belongs there.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let len = before + data.len();
        let padded = len.next_multiple_of(BLOCK);
        self.staging.reserve(padded);
        let bytes = self.staging.bytes(padded);
        bytes[..before].copy_from_slice(&self.tail);
        bytes[before..len].copy_from_slice(data);
        bytes[len..].fill(0);
        self.end = u64::MAX;
        let (file, mut staging) = (Arc::clone(&self.file), std::mem::take(&mut self.staging));
        let (staging, result) = writers.run(move |_| {
            let result = write_whole(&file, staging.bytes(padded), block, ReadWriteFlags::DSYNC);
            (staging, result)
        })?;
        self.staging = staging;
        result?;
        self.end = offset + data.len() as u64;
        let tail = len - len % BLOCK;
        self.tail.clear();
        self.tail.extend_from_slice(&self.staging.bytes(padded)[tail..len]);
        if padded > KEPT_MAX {
            self.staging = Aligned::default();
        }
        Ok(())
    }
}

/// Writes all, again from the last whole block after a short write.
fn write_whole(file: impl AsFd, mut bytes: &[u8], mut offset: u64, flags: ReadWriteFlags) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = match pwritev2(&file, &[IoSlice::new(bytes)], offset, flags) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        let whole = if count >= bytes.len() { bytes.len() } else { count - count % BLOCK };
        if whole == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[whole..];
        offset += whole as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    use sws_runtime::{Runtime, go, yield_now};

    #[test]
    fn a_worker_that_ends_leaves_no_write_behind() {
        let (started, starting) = mpsc::channel();
        let is_done = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_done);
        let runtime = Runtime::new(Default::default()).expect("a runtime");
        runtime.block_on_fiber(move || {
            let writers = Writers::default();
            go("writer", move || {
                writers.run(move |_| {
                    started.send(()).expect("the test waits for it");
                    // A slow disk.
                    std::thread::sleep(Duration::from_millis(100));
                    done.store(true, Ordering::SeqCst);
                })
            });
            while starting.try_recv().is_err() {
                yield_now().expect("nobody cancels the test");
            }
        });
        drop(runtime);
        assert!(is_done.load(Ordering::SeqCst), "the write was still under way when the worker had ended");
    }

    #[test]
    fn memory_is_aligned_and_grows() {
        let mut aligned = Aligned::default();
        for len in [4096, 8192, 4096, 1 << 20] {
            aligned.reserve(len);
            let bytes = aligned.bytes(len);
            assert_eq!((bytes.len(), bytes.as_ptr().align_offset(BLOCK)), (len, 0));
        }
    }
}
