//! Write buffers in classes of size.
//!
//! A connection borrows a buffer while it has something to send and gives it back when that is sent, so that idle
//! connections own none. Free buffers are kept per class, the one released last on top; those that stayed at the bottom
//! since the last [`trim`](TieredBuffers::trim) are cold and go back to the allocator.

use crate::limits::{BUFFER_BYTES_MAX, BUFFER_BYTES_MIN};

/// Classes of [`TieredBuffers`]: 512 B, 1 KB, 2 KB, ... 64 KB.
pub const CLASSES: usize = 8;

const _: () = assert!(BUFFER_BYTES_MIN << (CLASSES - 1) == BUFFER_BYTES_MAX);

/// The counters of [`TieredBuffers`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of buffers that are acquired.
    pub in_use_bytes: usize,
    /// Bytes of free buffers that are kept.
    pub cached_bytes: usize,
    /// The most that `in_use_bytes` has been.
    pub high_water_bytes: usize,
    /// How many times `acquire` said no.
    pub refused: u64,
}

#[derive(Debug, Default)]
struct Class {
    free: Vec<Vec<u8>>,
    /// The fewest free buffers since the last trim: so many were not needed.
    idle: usize,
}

/// Buffers in 8 classes, bounded in total, counted, and trimmed.
///
/// ```
/// use sws_stackpool::TieredBuffers;
///
/// let mut buffers = TieredBuffers::new(1024 * 1024, 256 * 1024);
/// let mut out = buffers.acquire(700).expect("within the bound");
/// assert_eq!((out.len(), out.capacity()), (0, 1024));
/// out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
/// assert_eq!(buffers.stats().in_use_bytes, 1024);
///
/// buffers.release(out);
/// assert_eq!(buffers.stats().cached_bytes, 1024);
/// ```
#[derive(Debug)]
pub struct TieredBuffers {
    classes: [Class; CLASSES],
    bytes_max: usize,
    cached_bytes_max: usize,
    stats: Stats,
}

impl TieredBuffers {
    /// Buffers of at most `bytes_max` bytes in all, acquired and kept ones, of which at most `cached_bytes_max` are kept
    /// free.
    pub fn new(bytes_max: usize, cached_bytes_max: usize) -> Self {
        TieredBuffers {
            classes: Default::default(),
            bytes_max,
            cached_bytes_max: cached_bytes_max.min(bytes_max),
            stats: Stats::default(),
        }
    }

    /// The size of the smallest class that holds `min_len` bytes, `None` if none does.
    #[inline]
    pub fn class_bytes(min_len: usize) -> Option<usize> {
        class_for(min_len).map(bytes_of)
    }

    /// An empty buffer with the capacity of the smallest class that holds `min_len` bytes. `None`, and counted as refused,
    /// when the bound is reached or `min_len` is above [`BUFFER_BYTES_MAX`].
    ///
    /// The buffer is to come back through [`release`](Self::release) with the capacity it has; one that will not (it grew,
    /// or was given away) is reported by [`detach`](Self::detach).
    #[inline]
    pub fn acquire(&mut self, min_len: usize) -> Option<Vec<u8>> {
        let Some(class) = class_for(min_len) else {
            self.stats.refused += 1;
            return None;
        };
        let bytes = bytes_of(class);
        let Class { free, idle } = &mut self.classes[class];
        let buffer = match free.pop() {
            Some(buffer) => {
                *idle = (*idle).min(free.len());
                self.stats.cached_bytes -= bytes;
                buffer
            }
            None if self.make_room(bytes) => Vec::with_capacity(bytes),
            None => {
                self.stats.refused += 1;
                return None;
            }
        };
        self.stats.in_use_bytes += bytes;
        self.stats.high_water_bytes = self.stats.high_water_bytes.max(self.stats.in_use_bytes);
        Some(buffer)
    }

    /// Gives a buffer back. It is kept for the next `acquire`, or freed if enough are kept. One whose capacity is that of no
    /// class is not from here and is just dropped.
    #[inline]
    pub fn release(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        let Some(class) = class_for(bytes).filter(|&class| bytes_of(class) == bytes) else {
            return;
        };
        self.stats.in_use_bytes = self.stats.in_use_bytes.saturating_sub(bytes);
        if self.stats.cached_bytes + bytes <= self.cached_bytes_max {
            buffer.clear();
            self.stats.cached_bytes += bytes;
            self.classes[class].free.push(buffer);
        }
    }

    /// Takes a buffer that was acquired with this capacity out of the count: it will not be released.
    pub fn detach(&mut self, capacity: usize) {
        self.stats.in_use_bytes = self.stats.in_use_bytes.saturating_sub(capacity);
    }

    /// Frees the buffers that no `acquire` needed since the last call, and returns their bytes. Called now and then
    /// (seconds apart), it makes the pool follow the load down.
    pub fn trim(&mut self) -> usize {
        let mut freed = 0;
        for (class, Class { free, idle }) in self.classes.iter_mut().enumerate() {
            freed += *idle * bytes_of(class);
            free.drain(..*idle);
            *idle = free.len();
        }
        self.stats.cached_bytes -= freed;
        freed
    }

    /// The counters as they are.
    #[inline]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Frees kept buffers, large ones first, until `bytes` more fit the bound. Whether they do.
    fn make_room(&mut self, bytes: usize) -> bool {
        if self.stats.in_use_bytes + bytes > self.bytes_max {
            return false;
        }
        for (class, Class { free, idle }) in self.classes.iter_mut().enumerate().rev() {
            while self.stats.in_use_bytes + self.stats.cached_bytes + bytes > self.bytes_max {
                if free.pop().is_none() {
                    break;
                }
                *idle = (*idle).min(free.len());
                self.stats.cached_bytes -= bytes_of(class);
            }
        }
        true
    }
}

fn class_for(min_len: usize) -> Option<usize> {
    if min_len > BUFFER_BYTES_MAX {
        return None;
    }
    let bytes = min_len.max(BUFFER_BYTES_MIN).next_power_of_two();
    Some((bytes / BUFFER_BYTES_MIN).trailing_zeros() as usize)
}

fn bytes_of(class: usize) -> usize {
    BUFFER_BYTES_MIN << class
}

#[cfg(test)]
#[path = "buffers_tests.rs"]
mod tests;
