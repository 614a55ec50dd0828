//! What the buffers promise, and a model test against a count of every buffer.

use super::*;

#[test]
fn each_length_has_its_class() {
    let mut buffers = TieredBuffers::new(1 << 20, 0);
    let table = [(0, 512), (1, 512), (512, 512), (513, 1024), (4096, 4096), (4097, 8192), (65_536, 65_536)];
    for (min_len, bytes) in table {
        let buffer = buffers.acquire(min_len).unwrap();
        assert_eq!((buffer.len(), buffer.capacity()), (0, bytes), "min_len {min_len}");
        assert_eq!(TieredBuffers::class_bytes(min_len), Some(bytes));
        buffers.release(buffer);
    }
    assert!(buffers.acquire(65_537).is_none());
    assert!(buffers.acquire(usize::MAX).is_none());
    assert_eq!(buffers.stats(), Stats { high_water_bytes: 65_536, refused: 2, ..Stats::default() });
}

#[test]
fn buffers_come_back_empty_and_the_hottest_first() {
    let mut buffers = TieredBuffers::new(1 << 20, 1 << 20);
    let (mut a, b) = (buffers.acquire(512).unwrap(), buffers.acquire(512).unwrap());
    a.extend_from_slice(b"secret");
    let address = a.as_ptr();
    buffers.release(b);
    buffers.release(a);
    let again = buffers.acquire(512).unwrap();
    assert_eq!((again.as_ptr(), again.len()), (address, 0));
}

#[test]
fn the_bound_refuses_and_recovers() {
    let mut buffers = TieredBuffers::new(1536, 1536);
    let large = buffers.acquire(1024).unwrap();
    let small = buffers.acquire(512).unwrap();
    assert!(buffers.acquire(1).is_none());
    assert_eq!(buffers.stats().refused, 1);
    buffers.release(large);
    assert!(buffers.acquire(1024).is_some());
    drop(small);
}

#[test]
fn kept_buffers_make_room_for_another_class() {
    let mut buffers = TieredBuffers::new(2048, 2048);
    let small: Vec<_> = (0..4).map(|_| buffers.acquire(512).unwrap()).collect();
    small.into_iter().for_each(|buffer| buffers.release(buffer));
    assert_eq!(buffers.stats().cached_bytes, 2048);
    assert!(buffers.acquire(1024).is_some());
    let stats = buffers.stats();
    assert_eq!((stats.in_use_bytes, stats.cached_bytes, stats.refused), (1024, 1024, 0));
}

#[test]
fn foreign_capacities_are_dropped() {
    let mut buffers = TieredBuffers::new(1 << 20, 1 << 20);
    for capacity in [0, 1, 511, 513, 1000, 65_537, 131_072] {
        buffers.release(Vec::with_capacity(capacity));
    }
    assert_eq!(buffers.stats(), Stats::default());
}

#[test]
fn a_detached_buffer_is_counted_out() {
    let mut buffers = TieredBuffers::new(512, 512);
    let gone = buffers.acquire(512).unwrap();
    assert!(buffers.acquire(512).is_none());
    buffers.detach(gone.capacity());
    assert!(buffers.acquire(512).is_some());
}

#[test]
fn trim_frees_what_was_not_needed_since_the_last() {
    let mut buffers = TieredBuffers::new(1 << 20, 1 << 20);
    let burst: Vec<_> = (0..10).map(|_| buffers.acquire(2048).unwrap()).collect();
    burst.into_iter().for_each(|buffer| buffers.release(buffer));
    assert_eq!(buffers.trim(), 0, "all were needed just before");
    for _ in 0..100 {
        let buffer = buffers.acquire(2048).unwrap();
        buffers.release(buffer);
    }
    assert_eq!(buffers.trim(), 9 * 2048);
    assert_eq!(buffers.stats().cached_bytes, 2048);
    assert_eq!(buffers.trim(), 2048);
    assert_eq!(buffers.stats().cached_bytes, 0);
}

#[test]
fn model() {
    const BYTES_MAX: usize = 300_000;
    const CACHED_MAX: usize = 100_000;
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut buffers = TieredBuffers::new(BYTES_MAX, CACHED_MAX);
        let mut held: Vec<Vec<u8>> = Vec::new();
        let (mut refused, mut high_water) = (0, 0);
        for step in 0..5000 {
            let in_use: usize = held.iter().map(Vec::capacity).sum();
            match rng.u32(0..100) {
                0 => _ = buffers.trim(),
                1..60 => {
                    let min_len = 1 << rng.u32(0..17);
                    let fits = in_use + min_len.max(512) <= BYTES_MAX;
                    let buffer = buffers.acquire(min_len);
                    assert_eq!(buffer.is_some(), fits, "seed {seed} step {step}");
                    refused += u64::from(!fits);
                    held.extend(buffer);
                }
                _ if held.is_empty() => {}
                _ => {
                    let buffer = held.swap_remove(rng.usize(0..held.len()));
                    buffers.release(buffer);
                }
            }
            let in_use: usize = held.iter().map(Vec::capacity).sum();
            let kept = buffers.classes.iter().flat_map(|class| &class.free).map(Vec::capacity).sum();
            high_water = in_use.max(high_water);
            let naive =
                Stats { in_use_bytes: in_use, cached_bytes: kept, high_water_bytes: high_water, refused };
            assert_eq!(buffers.stats(), naive, "seed {seed} step {step}");
            assert!(in_use + kept <= BYTES_MAX && kept <= CACHED_MAX, "seed {seed} step {step}: {naive:?}");
        }
    }
}
