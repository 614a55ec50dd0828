//! The pool of large blocks.

use super::*;

#[test]
fn bound_holds_and_shortage_is_counted() {
    let mut pool = LargePool::new(2);
    let (a, b) = (pool.acquire().unwrap(), pool.acquire().unwrap());
    assert_eq!(a.capacity(), LARGE_BLOCK_BYTES);
    assert!(pool.acquire().is_none());
    pool.release(a);
    let stats = LargeStats { in_use_blocks: 1, cached_blocks: 1, high_water_blocks: 2, refused: 1 };
    assert_eq!(pool.stats(), stats);
    drop(b);
    assert_eq!(pool.stats().in_use_blocks, 0, "a dropped block is counted out");
    assert!(pool.acquire().is_some());
}

#[test]
fn blocks_come_back_empty() {
    let mut pool = LargePool::new(1);
    let mut block = pool.acquire().unwrap();
    block.extend_from_slice(b"secret");
    pool.release(block);
    assert!(pool.acquire().unwrap().is_empty());
}

#[test]
fn a_block_that_grew_or_is_foreign_is_not_kept() {
    let mut pool = LargePool::new(2);
    let mut grown = pool.acquire().unwrap();
    grown.resize(LARGE_BLOCK_BYTES + 1, 0);
    pool.release(grown);
    pool.release(LargePool::new(1).acquire().unwrap());
    let stats = LargeStats { in_use_blocks: 0, cached_blocks: 0, high_water_blocks: 1, refused: 0 };
    assert_eq!(pool.stats(), stats);
}

#[test]
fn trim_frees_what_was_not_needed_since_the_last() {
    let mut pool = LargePool::new(4);
    let blocks: Vec<_> = (0..4).map(|_| pool.acquire().unwrap()).collect();
    blocks.into_iter().for_each(|block| pool.release(block));
    assert_eq!(pool.trim(), 0, "all were needed just before");
    let block = pool.acquire().unwrap();
    pool.release(block);
    assert_eq!(pool.trim(), 3);
    assert_eq!(pool.stats().cached_blocks, 1);
    assert_eq!(pool.trim(), 1);
    assert_eq!(pool.stats().cached_blocks, 0);
}
