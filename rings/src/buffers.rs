//! The provided-buffer ring and the leases on its buffers.
//!
//! ```text
//!              provide                    receive completes
//!   ┌──────┐ ──────────▶ ┌────────────┐ ──────────────────▶ ┌────────────┐
//!   │ idle │             │ the kernel │                     │ leases ≥ 1 │
//!   └──────┘ ◀────────── └────────────┘ ◀────┐              └─────┬──────┘
//!                                            └── last lease drops ┘
//! ```
//!
//! With incremental consumption the kernel keeps a buffer until it is used up, so a buffer can be leased in pieces
//! while the kernel still fills the rest. It is provided again when both are done with it: the kernel said that it
//! has no more use for it, and the last lease is gone.
//!
//! # Unsafe
//!
//! One mapping holds the entries, a second one the data. Both live until the last lease and the ring are gone (they
//! share them by reference count), and the ring is closed before its part is dropped, so the kernel never writes into
//! freed memory. A byte range is leased only after the kernel reported it received, and the kernel does not write
//! there again before the buffer is provided again, which needs all leases dropped. Hence `&[u8]` of a lease is
//! never aliased by a write. Everything is on one thread: neither type is `Send`.

use crate::config::BufferConfig;
use io_uring::types::BufRingEntry;
use std::cell::Cell;
use std::io;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

/// What one buffer is doing.
#[derive(Clone, Copy, Default)]
struct BufferState {
    /// Leases on it.
    leases: u32,
    /// Where the kernel writes next.
    next: u32,
    /// Whether the kernel may still write to it.
    in_kernel: bool,
}

/// Counts of a provided-buffer ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferStats {
    /// Buffers that exist.
    pub provided: u16,
    /// Buffers the kernel may write to.
    pub in_kernel: u16,
    /// Leases that are held.
    pub leases: u32,
    /// The most buffers there have been.
    pub provided_max: u16,
}

struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Mapping> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no other memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        match NonNull::new(base.cast()) {
            Some(base) if base.as_ptr() as isize != -1 => Ok(Mapping { base, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new` with this length, and this is its one owner.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

struct Shared {
    entries: Mapping,
    data: Mapping,
    states: Box<[Cell<BufferState>]>,
    size: u32,
    incremental: bool,
    count: u16,
    provided: Cell<u16>,
    in_kernel: Cell<u16>,
    leases: Cell<u32>,
    tail: Cell<u16>,
}

/// A ring of buffers from which the kernel picks one for each receive.
pub struct BufferRing {
    shared: Rc<Shared>,
}

impl BufferRing {
    /// Maps the memory and provides the first buffers; registering it is the ring's part.
    pub(crate) fn new(config: &BufferConfig, incremental: bool) -> io::Result<BufferRing> {
        assert!(
            config.count_max.is_power_of_two() && config.count_max <= 1 << 15,
            "buffers: a power of two up to 32,768"
        );
        assert!(
            config.count >= 1 && config.count <= config.count_max,
            "buffers at the start: 1 to count_max"
        );
        assert!(config.size >= 64 && config.size.is_multiple_of(64), "bytes of a buffer: a multiple of 64");
        let entries = Mapping::new(usize::from(config.count_max) * size_of::<BufRingEntry>())?;
        let data = Mapping::new(usize::from(config.count_max) * config.size as usize)?;
        let ring = BufferRing {
            shared: Rc::new(Shared {
                entries,
                data,
                states: (0..config.count_max).map(|_| Cell::new(BufferState::default())).collect(),
                size: config.size,
                incremental,
                count: config.count,
                provided: Cell::new(0),
                in_kernel: Cell::new(0),
                leases: Cell::new(0),
                tail: Cell::new(0),
            }),
        };
        ring.grow(config.count);
        Ok(ring)
    }

    /// Whether the kernel fills a buffer in pieces.
    pub fn is_incremental(&self) -> bool {
        self.shared.incremental
    }

    /// Buffers that the kernel has now; at zero a receive ends with ENOBUFS.
    pub fn available(&self) -> u16 {
        self.shared.in_kernel.get()
    }

    /// Counts.
    pub fn stats(&self) -> BufferStats {
        let shared = &self.shared;
        BufferStats {
            provided: shared.provided.get(),
            in_kernel: shared.in_kernel.get(),
            leases: shared.leases.get(),
            provided_max: shared.provided.get(),
        }
    }

    /// Adds buffers when held leases leave the kernel fewer than half of the first count, up to `count_max`; beyond, holders
    /// are to copy ([`Lease::is_scarce`]), so that suspended handlers cannot starve the ring. Returns whether the kernel has
    /// any buffer now.
    pub(crate) fn replenish(&self) -> bool {
        let shared = &self.shared;
        if shared.in_kernel.get() < shared.count.div_ceil(2) {
            self.grow(shared.count);
        }
        shared.in_kernel.get() > 0
    }

    fn grow(&self, by: u16) {
        let shared = &self.shared;
        let from = shared.provided.get();
        let to = from.saturating_add(by).min(shared.states.len() as u16);
        for id in from..to {
            shared.provide(id);
        }
        shared.provided.set(to);
    }

    /// Takes over what one completion received: `len` bytes in buffer `id`; `more` when the kernel keeps the buffer.
    pub(crate) fn lease(&self, id: u16, len: u32, more: bool) -> Lease {
        let shared = &self.shared;
        let place = &shared.states[usize::from(id)];
        let mut state = place.get();
        assert!(state.in_kernel, "the kernel received into a buffer that it does not have");
        let offset = state.next;
        assert!(len <= shared.size - offset, "the kernel received more than the buffer holds");
        state.next += len;
        state.leases += 1;
        if !more {
            state.in_kernel = false;
            shared.in_kernel.set(shared.in_kernel.get() - 1);
        }
        place.set(state);
        shared.leases.set(shared.leases.get() + 1);
        Lease { shared: Rc::clone(shared), id, offset, len }
    }

    #[cfg(not(sws_sim))]
    pub(crate) fn entries_address(&self) -> u64 {
        self.shared.entries.base.as_ptr() as u64
    }

    #[cfg(not(sws_sim))]
    pub(crate) fn entries_count(&self) -> u16 {
        self.shared.states.len() as u16
    }
}

/// Where the scripted kernel stands: the entry it fills next, and how far that entry's buffer is filled.
#[cfg(sws_sim)]
#[derive(Default)]
pub(crate) struct Cursor {
    head: u16,
    filled: u32,
}

#[cfg(sws_sim)]
impl BufferRing {
    /// Bytes that the next provided buffer takes; 0 if there is none.
    pub(crate) fn room(&self, cursor: &Cursor) -> usize {
        match cursor.head == self.shared.tail.get() {
            true => 0,
            false => (self.shared.size - cursor.filled) as usize,
        }
    }

    /// Plays the kernel: fills the next provided buffer and says which, how much, and whether it keeps it.
    pub(crate) fn receive(&self, cursor: &mut Cursor, bytes: &[u8]) -> Option<(u16, u32, bool)> {
        let shared = &self.shared;
        if cursor.head == shared.tail.get() {
            return None;
        }
        let entry = usize::from(cursor.head & (shared.states.len() as u16 - 1));
        // SAFETY: the index is masked to the entries that were mapped, and written by `provide`.
        let id = unsafe { (*shared.entries.base.as_ptr().cast::<BufRingEntry>().add(entry)).bid() };
        let room = shared.size - cursor.filled;
        let len = room.min(bytes.len() as u32);
        // SAFETY: the range lies in buffer `id`, which the "kernel" has, beyond all that is leased of it.
        unsafe {
            let start = usize::from(id) * shared.size as usize + cursor.filled as usize;
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), shared.data.base.as_ptr().add(start), len as usize);
        }
        let more = shared.incremental && len < room;
        if more {
            cursor.filled += len;
        } else {
            *cursor = Cursor { head: cursor.head.wrapping_add(1), filled: 0 };
        }
        Some((id, len, more))
    }
}

impl Shared {
    /// Hands a buffer to the kernel.
    fn provide(&self, id: u16) {
        let mask = self.states.len() as u16 - 1;
        let tail = self.tail.get();
        let base = self.entries.base.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the index is masked to the entries that were mapped; the kernel reads an entry only below the
        // tail that is published after it is written.
        unsafe {
            let entry = &mut *base.add(usize::from(tail & mask));
            entry.set_addr(self.data.base.as_ptr().add(usize::from(id) * self.size as usize) as u64);
            entry.set_len(self.size);
            entry.set_bid(id);
        }
        let tail = tail.wrapping_add(1);
        self.tail.set(tail);
        // SAFETY: the tail lies in the first entry, is two bytes aligned to two, and the kernel only reads it.
        let published = unsafe { &*BufRingEntry::tail(base).cast::<AtomicU16>() };
        published.store(tail, Ordering::Release);
        self.states[usize::from(id)].set(BufferState { leases: 0, next: 0, in_kernel: true });
        self.in_kernel.set(self.in_kernel.get() + 1);
    }

    fn release(&self, id: u16) {
        let place = &self.states[usize::from(id)];
        let mut state = place.get();
        debug_assert!(state.leases > 0, "a lease is given back once");
        state.leases -= 1;
        place.set(state);
        self.leases.set(self.leases.get() - 1);
        if state.leases == 0 && !state.in_kernel {
            self.provide(id);
        }
    }
}

/// Received bytes in a provided buffer. Dropping the last lease on a buffer gives it back to the kernel.
pub struct Lease {
    shared: Rc<Shared>,
    id: u16,
    offset: u32,
    len: u32,
}

impl Lease {
    /// A further lease on a part of these bytes.
    ///
    /// # Panics
    /// When the range is not inside the lease.
    pub fn slice(&self, range: Range<usize>) -> Lease {
        assert!(
            range.start <= range.end && range.end <= self.len as usize,
            "a slice of a lease is inside it"
        );
        let place = &self.shared.states[usize::from(self.id)];
        let mut state = place.get();
        state.leases += 1;
        place.set(state);
        self.shared.leases.set(self.shared.leases.get() + 1);
        Lease {
            shared: Rc::clone(&self.shared),
            id: self.id,
            offset: self.offset + range.start as u32,
            len: (range.end - range.start) as u32,
        }
    }
}

impl Lease {
    /// Whether all buffers that there may be exist, and most of them are held: then nobody should hold one for long.
    pub fn is_scarce(&self) -> bool {
        let shared = &self.shared;
        let exist = usize::from(shared.provided.get());
        exist == shared.states.len() && usize::from(shared.in_kernel.get()) < exist / 2
    }
}

impl Clone for Lease {
    fn clone(&self) -> Lease {
        self.slice(0..self.len as usize)
    }
}

impl Deref for Lease {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let start = usize::from(self.id) * self.shared.size as usize + self.offset as usize;
        // SAFETY: the range was received by the kernel and is not written while it is leased, see the module doc.
        unsafe { std::slice::from_raw_parts(self.shared.data.base.as_ptr().add(start), self.len as usize) }
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        self.shared.release(self.id);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lease(buffer {}, {}..{})", self.id, self.offset, self.offset + self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(count: u16, count_max: u16, incremental: bool) -> BufferRing {
        let config = BufferConfig { count, count_max, size: 128, incremental };
        BufferRing::new(&config, incremental).expect("memory")
    }

    #[test]
    fn the_last_lease_gives_the_buffer_back() {
        let ring = ring(2, 8, false);
        let lease = ring.lease(0, 100, false);
        let part = lease.slice(10..20);
        assert_eq!(ring.available(), 1);
        drop(lease);
        assert_eq!(ring.available(), 1);
        drop(part);
        assert_eq!(ring.available(), 2);
        assert_eq!(ring.stats().leases, 0);
    }

    #[test]
    fn an_incremental_buffer_waits_for_kernel_and_leases() {
        let ring = ring(1, 8, true);
        let first = ring.lease(0, 10, true);
        let second = ring.lease(0, 20, true);
        assert_eq!((first.offset, second.offset), (0, 10));
        drop(first);
        drop(second);
        assert_eq!(ring.available(), 1, "the kernel kept it");
        let last = ring.lease(0, 98, false);
        assert_eq!(ring.available(), 0);
        drop(last);
        assert_eq!(ring.available(), 1);
    }

    #[test]
    fn held_leases_add_buffers_up_to_the_bound() {
        let ring = ring(2, 4, false);
        let mut held: Vec<Lease> = (0..2).map(|id| ring.lease(id, 1, false)).collect();
        assert_eq!(ring.available(), 0);
        assert!(ring.replenish());
        assert_eq!(ring.available(), 2);
        held.extend((2..4).map(|id| ring.lease(id, 1, false)));
        assert!(!ring.replenish(), "the bound is reached");
        held.clear();
        assert_eq!(ring.available(), 4);
    }

    #[test]
    #[should_panic(expected = "does not have")]
    fn a_buffer_is_not_received_into_twice() {
        let ring = ring(1, 1, false);
        let _held = ring.lease(0, 1, false);
        ring.lease(0, 1, false);
    }
}
