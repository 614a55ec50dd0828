//! Memory is committed as slots are used. Alone in its process, because it looks at the resident size of it.

#![cfg(target_os = "linux")]

use sws_stackpool::StackPool;

/// `VmRSS` in bytes, from `/proc/self/status`.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs is mounted");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel reports VmRSS");
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of kB");
    kilobytes * 1024
}

#[test]
fn memory_is_committed_as_slots_are_used() {
    const SLACK: u64 = 8 << 20;
    let slots = 1 << 20;
    let whole = u64::from(slots) * (192 + 4);
    let before = resident_bytes();
    let mut pool = StackPool::<[u64; 8]>::new(slots);
    assert!(resident_bytes() - before < SLACK, "a new pool is only reserved");
    pool.warmup(slots / 4);
    let grown = resident_bytes() - before;
    assert!(grown.abs_diff(whole / 4) < SLACK, "a quarter was committed, {grown} bytes are resident");
    for _ in 0..slots / 4 {
        pool.acquire();
    }
    assert!(resident_bytes() - before < grown + SLACK, "warm slots cost nothing more");
    pool.acquire();
    assert_eq!(pool.committed(), slots / 4 + 1);
}
