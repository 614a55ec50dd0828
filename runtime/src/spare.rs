//! Memory for single large messages, kept for the next instead of going back to the system: a fresh megabyte costs more to be
//! mapped and zeroed page by page than to be filled.

use crate::core;
use std::cell::RefCell;

/// Bytes below which the allocator serves as well.
const SPARE_BYTES_MIN: usize = 64 * 1024;

/// The kept memory of one worker.
#[derive(Default)]
pub(crate) struct Spares(RefCell<Inner>);

#[derive(Default)]
struct Inner {
    kept: Vec<Vec<u8>>,
    bytes: usize,
    /// The least that was kept since the last trim: nobody has needed it.
    unused: usize,
}

impl Spares {
    /// Empty memory of at least this capacity. The smallest that fits; a kept one that is much larger stays for others.
    pub(crate) fn acquire(&self, len: usize) -> Vec<u8> {
        if len < SPARE_BYTES_MIN {
            return Vec::with_capacity(len);
        }
        let mut inner = self.0.borrow_mut();
        let fits = |(_, spare): &(usize, &Vec<u8>)| (len..=len.saturating_mul(4)).contains(&spare.capacity());
        let found = inner.kept.iter().enumerate().filter(fits).min_by_key(|(_, spare)| spare.capacity());
        match found.map(|(place, _)| place) {
            Some(place) => {
                let spare = inner.kept.swap_remove(place);
                inner.bytes -= spare.capacity();
                inner.unused = inner.unused.min(inner.bytes);
                spare
            }
            None => Vec::with_capacity(len),
        }
    }

    /// Keeps memory, if it is worth it and no more than `bytes_max` is kept then.
    pub(crate) fn release(&self, mut spare: Vec<u8>, bytes_max: usize) {
        let mut inner = self.0.borrow_mut();
        if spare.capacity() >= SPARE_BYTES_MIN && inner.bytes + spare.capacity() <= bytes_max {
            spare.clear();
            inner.bytes += spare.capacity();
            inner.kept.push(spare);
        }
    }

    /// Gives back what nobody has needed since the last call.
    pub(crate) fn trim(&self) {
        let mut inner = self.0.borrow_mut();
        let mut left = inner.unused;
        let before = left;
        inner.kept.retain(|spare| {
            let is_unused = spare.capacity() <= left;
            left -= if is_unused { spare.capacity() } else { 0 };
            !is_unused
        });
        inner.bytes -= before - left;
        inner.unused = inner.bytes;
    }
}

/// Empty memory of at least this capacity, for one large message. What was given back by [`release_spare`] is used again.
///
/// # Panics
/// Off a worker's thread.
pub fn acquire_spare(len: usize) -> Vec<u8> {
    core::with(|core| core.spares.acquire(len))
}

/// Gives memory back for another large message; off a worker's thread, and beyond
/// [`Limits::spare_bytes_max`](crate::Limits::spare_bytes_max), it goes back to the system.
pub fn release_spare(spare: Vec<u8>) {
    core::try_with(|core| core.spares.release(spare, core.limits.spare_bytes_max));
}

/// Memory that gives itself back when the last who shares it is done.
pub(crate) struct Shared(Vec<u8>);

impl Shared {
    pub(crate) fn new(bytes: Vec<u8>) -> Shared {
        Shared(bytes)
    }
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        release_spare(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_given_back_when_nobody_needs_it() {
        let spares = Spares::default();
        let kept = |spares: &Spares| spares.0.borrow().bytes;
        let large = spares.acquire(1 << 20);
        let address = large.as_ptr();
        spares.release(large, 4 << 20);
        assert_eq!(kept(&spares), 1 << 20);
        let other = spares.acquire(100 << 10);
        assert_ne!(other.as_ptr(), address, "much larger: it stays for others");
        let again = spares.acquire(900 << 10);
        assert_eq!((again.as_ptr(), kept(&spares)), (address, 0));
        spares.release(again, 1);
        assert_eq!(kept(&spares), 0, "over the bound");
        spares.release(vec![0; 1000], 4 << 20);
        assert_eq!(kept(&spares), 0, "too small");
        spares.release(Vec::with_capacity(1 << 20), 4 << 20);
        spares.trim();
        assert_eq!(kept(&spares), 1 << 20, "it came after the last trim");
        spares.trim();
        assert_eq!(kept(&spares), 0);
        // A large one that is used now and then hides no smaller one.
        spares.release(Vec::with_capacity(64 << 10), 4 << 20);
        spares.release(Vec::with_capacity(1 << 20), 4 << 20);
        spares.trim();
        let large = spares.acquire(1 << 20);
        spares.release(large, 4 << 20);
        spares.trim();
        assert_eq!(kept(&spares), 1 << 20);
    }
}
