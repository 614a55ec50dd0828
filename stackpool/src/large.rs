//! Blocks of 1 MB for bodies that no write buffer holds.
//!
//! Blocks are few and dear, so a shortage is an answer (`None`: the server says 503), not a wait. A block that is dropped
//! instead of released is freed and counted out all the same: the count cannot drift, on whatever thread the block ends.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::limits::LARGE_BLOCK_BYTES;

/// The counters of a [`LargePool`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargeStats {
    /// Blocks that are acquired.
    pub in_use_blocks: usize,
    /// Free blocks that are kept.
    pub cached_blocks: usize,
    /// The most that `in_use_blocks` has been.
    pub high_water_blocks: usize,
    /// How many times `acquire` said no.
    pub refused: u64,
}

/// A block of a [`LargePool`]: a byte vector, empty when acquired, with room for [`LARGE_BLOCK_BYTES`].
///
/// One that grew beyond its room is freed on release instead of kept.
#[derive(Debug)]
pub struct LargeBlock {
    bytes: Vec<u8>,
    /// Shared by the pool and its blocks in use: the count of its owners is the count of those.
    tally: Arc<()>,
}

impl Deref for LargeBlock {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for LargeBlock {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// A bounded number of [`LargeBlock`]s.
///
/// ```
/// use sws_stackpool::LargePool;
///
/// let mut pool = LargePool::new(1);
/// let mut body = pool.acquire().expect("the first block");
/// body.extend_from_slice(b"a large upload");
/// assert!(pool.acquire().is_none()); // 503 Service Unavailable
/// assert_eq!(pool.stats().refused, 1);
///
/// pool.release(body);
/// assert!(pool.acquire().expect("free again").is_empty());
/// ```
#[derive(Debug)]
pub struct LargePool {
    free: Vec<Vec<u8>>,
    /// The fewest free blocks since the last trim: so many were not needed.
    idle: usize,
    blocks_max: usize,
    tally: Arc<()>,
    high_water_blocks: usize,
    refused: u64,
}

impl LargePool {
    /// A pool of at most `blocks_max` blocks, acquired and kept ones. None is allocated yet.
    pub fn new(blocks_max: usize) -> Self {
        LargePool {
            free: Vec::new(),
            idle: 0,
            blocks_max,
            tally: Arc::new(()),
            high_water_blocks: 0,
            refused: 0,
        }
    }

    /// An empty block. `None`, and counted as refused, when all are in use.
    pub fn acquire(&mut self) -> Option<LargeBlock> {
        let in_use = self.in_use();
        if in_use >= self.blocks_max {
            self.refused += 1;
            return None;
        }
        let bytes = self.free.pop().unwrap_or_else(|| Vec::with_capacity(LARGE_BLOCK_BYTES));
        self.idle = self.idle.min(self.free.len());
        self.high_water_blocks = self.high_water_blocks.max(in_use + 1);
        Some(LargeBlock { bytes, tally: Arc::clone(&self.tally) })
    }

    /// Gives a block back, to be kept for the next `acquire`. A block of another pool is freed.
    pub fn release(&mut self, block: LargeBlock) {
        let LargeBlock { mut bytes, tally } = block;
        if Arc::ptr_eq(&tally, &self.tally) && bytes.capacity() == LARGE_BLOCK_BYTES {
            bytes.clear();
            self.free.push(bytes);
        }
    }

    /// Frees the blocks that no `acquire` needed since the last call, and returns how many those were.
    pub fn trim(&mut self) -> usize {
        let freed = self.idle;
        self.free.drain(..freed);
        self.idle = self.free.len();
        freed
    }

    /// The counters as they are.
    pub fn stats(&self) -> LargeStats {
        LargeStats {
            in_use_blocks: self.in_use(),
            cached_blocks: self.free.len(),
            high_water_blocks: self.high_water_blocks,
            refused: self.refused,
        }
    }

    fn in_use(&self) -> usize {
        Arc::strong_count(&self.tally) - 1
    }
}

#[cfg(test)]
#[path = "large_tests.rs"]
mod tests;
