//! The cross-thread door: the one way by which another thread reaches the IO thread.
//!
//! Any thread pushes messages through a [`DoorHandle`]; the IO thread, which owns the [`Door`], drains them in the order
//! in which they were pushed and is woken if it sleeps. What the door guarantees:
//!
//! - **FIFO.** One queue serves ordinary and reserved pushes, so what one thread pushes arrives in its order.
//! - **Bounded.** [`DoorHandle::push`] refuses when `capacity` messages wait. [`DoorHandle::push_reserved`] is exempt, for
//!   messages that must not be lost and whose number is bounded by what caused them: a worker's result (one for each
//!   job, and the job queue is bounded) or a fiber's wake-up (at most one outstanding for each fiber).
//! - **No lost wake-up.** A message pushed while the IO thread sleeps, or is about to, ends that sleep.
//! - **One wake for each batch.** Of all pushes between two drains at most one makes the system call, and none
//!   while the loop is awake, because it looks at the door before it sleeps.
//! - **Nothing vanishes at close.** Each message is drained, or given back as [`PushError::Closed`], or dropped with the door.
//!
//! The wake protocol is one word of two bits. `PENDING` says that the queue holds something; it changes only under the
//! queue's lock, so it is exact. `ASLEEP` says that the IO thread may be waiting; only the IO thread changes it.
//!
//! ```text
//! IO thread                              pusher
//! prepare_wait: 0 -> ASLEEP, or refuse   lock, push; if the queue was empty: set PENDING,
//! (wait for completions)                 and if ASLEEP was set: wake after unlock
//! finish_wait:  clear ASLEEP
//! drain:        lock, take; if the queue is empty: clear PENDING
//! ```
//!
//! Both sides change the same word by read-modify-write, so one comes first: either the pusher sees `ASLEEP` and wakes, or
//! the IO thread sees `PENDING` and does not sleep.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::PoisonError;

use crate::sync_shim::{Arc, AtomicU32, Mutex, MutexGuard, Ordering};

const ASLEEP: u32 = 1;
const PENDING: u32 = 2;

/// What ends the IO thread's sleep: an [`EventFd`], or another means (a ring message, a counter in a test).
pub trait Wake: Send + Sync {
    /// Ends the sleep, or makes the next one end at once. Called on the pusher's thread, with no lock held.
    fn wake(&self);
}

/// The IO thread's side of the door. See the [module](self) for what it guarantees.
///
/// ```
/// use std::collections::VecDeque;
/// use sws_runtime::door::Door;
///
/// let mut door = Door::<u32>::new(16)?;
/// let handle = door.handle();
/// std::thread::spawn(move || handle.push(7)).join().unwrap().unwrap();
///
/// let mut batch = VecDeque::new();
/// assert!(!door.prepare_wait(), "something waits, so the loop must not sleep");
/// assert_eq!(door.drain(&mut batch, usize::MAX), 1);
/// assert_eq!(batch, [7]);
/// assert!(door.prepare_wait());
/// door.finish_wait();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Door<T, W: Wake = EventFd> {
    shared: Arc<Shared<T, W>>,
}

/// The other threads' side of the door; cheap to clone.
pub struct DoorHandle<T, W: Wake = EventFd> {
    shared: Arc<Shared<T, W>>,
}

struct Shared<T, W> {
    state: AtomicU32,
    queue: Mutex<Queue<T>>,
    wake: W,
}

struct Queue<T> {
    items: VecDeque<T>,
    capacity: usize,
    closed: bool,
    stats: DoorStats,
}

/// What has gone through a door since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DoorStats {
    /// Messages that wait to be drained.
    pub queued: usize,
    /// The most messages that ever waited at once.
    pub queued_high_water: usize,
    /// Messages taken in, ordinary and reserved.
    pub pushed: u64,
    /// Ordinary messages given back because the door was full.
    pub refused: u64,
    /// Wake-ups sent to the IO thread.
    pub wakes: u64,
}

/// Why a message was not taken in; it is given back.
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError<T> {
    /// As many messages wait as the door may hold.
    Full(T),
    /// The IO thread has closed the door.
    Closed(T),
}

impl<T> PushError<T> {
    /// The message that was not taken in.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the IO thread's queue is full",
            Self::Closed(_) => "the IO thread has ended",
        })
    }
}

impl<T> std::error::Error for PushError<T> {}

impl<T> Door<T> {
    /// A door that holds at most `capacity` ordinary messages and wakes through an eventfd of its own.
    ///
    /// # Panics
    /// If `capacity` is zero.
    pub fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self::with_wake(capacity, EventFd::new()?))
    }

    /// The descriptor that becomes readable when the sleeping IO thread is to wake; a ring reads or polls it.
    pub fn eventfd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }
}

impl<T, W: Wake> Door<T, W> {
    /// A door that holds at most `capacity` ordinary messages and wakes through `wake`.
    ///
    /// # Panics
    /// If `capacity` is zero.
    pub fn with_wake(capacity: usize, wake: W) -> Self {
        assert!(capacity > 0, "a door without capacity would refuse everything");
        let queue = Queue { items: VecDeque::new(), capacity, closed: false, stats: DoorStats::default() };
        Self { shared: Arc::new(Shared { state: AtomicU32::new(0), queue: Mutex::new(queue), wake }) }
    }

    /// A handle for other threads.
    pub fn handle(&self) -> DoorHandle<T, W> {
        DoorHandle { shared: Arc::clone(&self.shared) }
    }

    /// The means by which the IO thread is woken.
    pub fn wake(&self) -> &W {
        &self.shared.wake
    }

    /// Says that the IO thread is about to wait. True: it may sleep, and any push from here on wakes it.
    /// False: something waits already and the loop must drain first; nothing was announced.
    #[must_use = "the loop must not sleep if this is false"]
    pub fn prepare_wait(&self) -> bool {
        match self.shared.state.compare_exchange(0, ASLEEP, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            // Announced before and still nothing there.
            Err(state) => state == ASLEEP,
        }
    }

    /// Says that the IO thread is awake; until the next [`prepare_wait`](Self::prepare_wait) a push costs no
    /// system call.
    pub fn finish_wait(&self) {
        self.shared.state.fetch_and(!ASLEEP, Ordering::AcqRel);
    }

    /// True if nothing waits. One load; the answer may be old by the time it is used.
    pub fn is_empty(&self) -> bool {
        self.shared.state.load(Ordering::Acquire) & PENDING == 0
    }

    /// Moves at most `max` messages to the end of `into`, oldest first, and returns how many. Takes no lock when
    /// nothing waits; a whole batch into an empty `into` is one swap.
    pub fn drain(&mut self, into: &mut VecDeque<T>, max: usize) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut queue = self.shared.lock();
        let count = queue.items.len().min(max);
        if into.is_empty() && count == queue.items.len() {
            mem::swap(into, &mut queue.items);
        } else {
            into.extend(queue.items.drain(..count));
        }
        if queue.items.is_empty() {
            self.shared.state.fetch_and(!PENDING, Ordering::AcqRel);
        }
        count
    }

    /// Refuses all further pushes. What was taken in before can still be drained.
    pub fn close(&mut self) {
        self.shared.lock().closed = true;
    }

    /// Counts of what went through.
    pub fn stats(&self) -> DoorStats {
        self.shared.stats()
    }
}

impl<T, W: Wake> Drop for Door<T, W> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        let items = mem::take(&mut queue.items);
        self.shared.state.store(0, Ordering::Release);
        drop(queue);
        // After the lock is gone: a message's destructor may push.
        drop(items);
    }
}

impl<T, W: Wake> DoorHandle<T, W> {
    /// Hands `message` to the IO thread.
    ///
    /// # Errors
    /// [`PushError::Full`] if `capacity` messages (ordinary and reserved together) wait, [`PushError::Closed`] if the IO
    /// thread has ended; both give the message back.
    pub fn push(&self, message: T) -> Result<(), PushError<T>> {
        let mut queue = self.shared.lock();
        if queue.closed {
            return Err(PushError::Closed(message));
        }
        if queue.items.len() >= queue.capacity {
            queue.stats.refused += 1;
            return Err(PushError::Full(message));
        }
        self.shared.push_locked(queue, message);
        Ok(())
    }

    /// Hands over a message for which room was reserved when its cause began; it is never refused for want of room.
    /// The caller answers for the bound: at most one outstanding message for each submitted job or parked fiber.
    ///
    /// # Errors
    /// [`PushError::Closed`] if the IO thread has ended.
    pub fn push_reserved(&self, message: T) -> Result<(), PushError<T>> {
        let queue = self.shared.lock();
        if queue.closed {
            return Err(PushError::Closed(message));
        }
        self.shared.push_locked(queue, message);
        Ok(())
    }

    /// True once the IO thread has closed the door.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Counts of what went through.
    pub fn stats(&self) -> DoorStats {
        self.shared.stats()
    }
}

impl<T, W: Wake> Clone for DoorHandle<T, W> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T, W: Wake> fmt::Debug for DoorHandle<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DoorHandle").field("stats", &self.stats()).finish()
    }
}

impl<T, W: Wake> fmt::Debug for Door<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("stats", &self.stats()).finish()
    }
}

impl<T, W: Wake> Shared<T, W> {
    /// No code of others runs under this lock, so a poisoned one cannot hold a broken queue.
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push_locked(&self, mut queue: MutexGuard<'_, Queue<T>>, message: T) {
        let first = queue.items.is_empty();
        queue.items.push_back(message);
        queue.stats.pushed += 1;
        queue.stats.queued_high_water = queue.stats.queued_high_water.max(queue.items.len());
        let asleep = first && self.state.fetch_or(PENDING, Ordering::AcqRel) & ASLEEP != 0;
        queue.stats.wakes += u64::from(asleep);
        drop(queue);
        if asleep {
            self.wake.wake();
        }
    }

    fn stats(&self) -> DoorStats {
        let queue = self.lock();
        DoorStats { queued: queue.items.len(), ..queue.stats }
    }
}

/// An eventfd, as the means to end a wait on a ring.
///
/// It is a blocking descriptor, because a ring's READ of a non-blocking one returns EAGAIN instead of waiting.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new eventfd whose count is zero.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just returned this descriptor and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sets the count to zero without waiting, for a loop that polls the descriptor instead of reading it by
    /// a ring. False if it was zero.
    pub fn clear(&self) -> bool {
        let mut count = 0u64;
        let iov = libc::iovec { iov_base: (&raw mut count).cast(), iov_len: size_of::<u64>() };
        // SAFETY: `iov` describes the eight bytes of `count`, which outlives the call; RWF_NOWAIT keeps it from blocking.
        let read = unsafe { libc::preadv2(self.0.as_raw_fd(), &iov, 1, -1, libc::RWF_NOWAIT) };
        read == size_of::<u64>() as isize
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Wake for EventFd {
    fn wake(&self) {
        let one = 1u64;
        loop {
            // SAFETY: the eight bytes of `one` outlive the call.
            let written =
                unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
            // The write can neither block nor fail otherwise: at most one wake is outstanding for each drain.
            if written >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "door_tests.rs"]
mod tests;
