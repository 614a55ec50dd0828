//! Stacks of fibers, and the pool that holds them.
//!
//! ```text
//! region: one mapping of STACKS_PER_REGION stacks, made when the one before it is used up
//! ┌───────┬──────────────────┬───────┬──────────────────┬──
//! │ guard │ stack 0  ◀─ grows│ guard │ stack 1  ◀─ grows│ …
//! └───────┴──────────────────┴───────┴──────────────────┴──
//!          limit         base
//! ```
//!
//! A guard is one page made inaccessible by MADV_GUARD_INSTALL (kernel 6.13), which needs no mapping of its own, or by
//! `mprotect` where that is missing.
//!
//! # Unsafe
//!
//! The pool owns the mappings and never unmaps them while it lives. A [`FiberStack`] is handed to one owner at a time:
//! either it lies in the free list, or one coroutine runs on it. `Runtime` ends all fibers before the pool is dropped;
//! if it cannot, it leaks the pool.

use corosensei::stack::{Stack, StackPointer};
use std::io;
use std::num::NonZeroUsize;

const PAGE: usize = 4096;
/// Stacks mapped at once: 64 MB of addresses at the default size, committed page by page.
const STACKS_PER_REGION: usize = 1024;
/// `MADV_GUARD_INSTALL`, kernel 6.13.
const GUARD_INSTALL: i32 = 102;

/// Memory that one fiber runs on. Its lowest page is the guard.
pub(crate) struct FiberStack {
    bottom: usize,
    len: usize,
}

// SAFETY: base and limit are the ends of memory that stays mapped while the pool lives and that has no other owner.
unsafe impl Stack for FiberStack {
    #[inline]
    fn base(&self) -> StackPointer {
        NonZeroUsize::new(self.bottom + self.len).expect("a mapping is not at zero")
    }

    #[inline]
    fn limit(&self) -> StackPointer {
        NonZeroUsize::new(self.bottom + PAGE).expect("a mapping is not at zero")
    }
}

impl FiberStack {
    fn discard(&self) {
        // SAFETY: the stack lies in the free list, so nothing on it is in use, and the guard page is left out.
        unsafe { libc::madvise((self.bottom + PAGE) as *mut _, self.len - PAGE, libc::MADV_DONTNEED) };
    }
}

struct Region {
    base: usize,
    used: usize,
}

/// Counts of stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackStats {
    /// Stacks with a fiber on them.
    pub in_use: usize,
    /// Stacks that wait.
    pub free: usize,
    /// The most stacks there were in use.
    pub high_water: usize,
}

/// All stacks of a worker.
pub(crate) struct Stacks {
    bytes: usize,
    max: usize,
    regions: Vec<Region>,
    free: Vec<FiberStack>,
    /// How many of `free`, from the bottom, were given back to the kernel or never touched.
    cold: usize,
    /// The fewest that were free since the last trim.
    idle: usize,
    made: usize,
    high_water: usize,
}

impl Stacks {
    pub(crate) fn new(bytes: usize, max: usize) -> Stacks {
        assert!(
            bytes >= 4 * PAGE && bytes.is_multiple_of(PAGE),
            "bytes of a stack: whole pages, at least four"
        );
        Stacks { bytes, max, regions: Vec::new(), free: Vec::new(), cold: 0, idle: 0, made: 0, high_water: 0 }
    }

    /// A stack that was used last, or a new one. `None` when there are as many as there may be, or no memory.
    #[inline]
    pub(crate) fn acquire(&mut self) -> Option<FiberStack> {
        match self.free.pop() {
            Some(stack) => {
                self.idle = self.idle.min(self.free.len());
                self.cold = self.cold.min(self.free.len());
                self.high_water = self.high_water.max(self.made - self.free.len());
                Some(stack)
            }
            None => self.make(),
        }
    }

    #[inline]
    pub(crate) fn release(&mut self, stack: FiberStack) {
        self.free.push(stack);
    }

    fn make(&mut self) -> Option<FiberStack> {
        if self.made == self.max {
            return None;
        }
        if self.regions.last().is_none_or(|region| region.used == STACKS_PER_REGION) {
            let base = map(self.bytes * STACKS_PER_REGION).ok()?;
            self.regions.push(Region { base, used: 0 });
        }
        let region = self.regions.last_mut()?;
        let bottom = region.base + region.used * self.bytes;
        guard(bottom).ok()?;
        region.used += 1;
        self.made += 1;
        self.high_water = self.high_water.max(self.made - self.free.len());
        Some(FiberStack { bottom, len: self.bytes })
    }

    /// Gives the memory of stacks that nobody needed since the last call back to the kernel.
    pub(crate) fn trim(&mut self) {
        let cold = self.idle.saturating_sub(1);
        for stack in self.free.iter().take(cold).skip(self.cold) {
            stack.discard();
        }
        self.cold = self.cold.max(cold);
        self.idle = self.free.len();
    }

    pub(crate) fn stats(&self) -> StackStats {
        StackStats { in_use: self.made - self.free.len(), free: self.free.len(), high_water: self.high_water }
    }

    /// Whether an address lies in a guard page of one of these stacks.
    pub(crate) fn is_guard(&self, address: usize) -> bool {
        self.regions.iter().any(|region| {
            let end = region.base + region.used * self.bytes;
            (region.base..end).contains(&address) && (address - region.base) % self.bytes < PAGE
        })
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        assert_eq!(self.free.len(), self.made, "stacks are dropped when no fiber is left on them");
        for region in &self.regions {
            // SAFETY: mapped by `map` with this length, and no stack of it is in use.
            unsafe { libc::munmap(region.base as *mut _, self.bytes * STACKS_PER_REGION) };
        }
    }
}

fn map(len: usize) -> io::Result<usize> {
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches no other memory. Huge pages are off
    // because a stack that uses one small page would otherwise be charged 2 MB.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let base = libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        libc::madvise(base, len, libc::MADV_NOHUGEPAGE);
        Ok(base as usize)
    }
}

fn guard(bottom: usize) -> io::Result<()> {
    // SAFETY: the page is the lowest of a stack that is not in use yet.
    unsafe {
        if libc::madvise(bottom as *mut _, PAGE, GUARD_INSTALL) == 0
            || libc::mprotect(bottom as *mut _, PAGE, libc::PROT_NONE) == 0
        {
            return Ok(());
        }
    }
    Err(io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_reused_hot_and_bounded() {
        let mut stacks = Stacks::new(16 * PAGE, 2);
        let first = stacks.acquire().expect("one");
        let second = stacks.acquire().expect("two");
        assert!(stacks.acquire().is_none(), "the bound holds");
        let bottom = second.bottom;
        stacks.release(first);
        stacks.release(second);
        let hot = stacks.acquire().expect("free");
        assert_eq!(hot.bottom, bottom);
        assert_eq!(stacks.stats(), StackStats { in_use: 1, free: 1, high_water: 2 });
        stacks.release(hot);
        stacks.trim();
        stacks.trim();
    }

    #[test]
    fn guards_are_known() {
        let mut stacks = Stacks::new(16 * PAGE, 2);
        let stack = stacks.acquire().expect("one");
        assert!(stacks.is_guard(stack.bottom) && stacks.is_guard(stack.limit().get() - 1));
        assert!(!stacks.is_guard(stack.limit().get()));
        stacks.release(stack);
    }
}
