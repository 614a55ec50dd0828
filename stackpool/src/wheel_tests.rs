//! What the wheel promises, one promise per test. The model test stands in `tests/wheel_model.rs`.

use super::*;

type Pool = StackPool<[u64; 8]>;

fn pool_of(n: u32) -> Pool {
    let mut pool = Pool::new(n);
    while pool.acquire().is_some() {}
    pool
}

fn advanced(wheel: &mut Wheel, pool: &mut Pool, now: u64) -> Vec<u32> {
    let mut expired = Vec::new();
    wheel.advance(pool, now, &mut expired);
    expired.sort_unstable();
    expired
}

/// Sleeps until `next_expiry` and advances, as an idle loop does. The tick of the first expiry, and how often it woke.
fn idle_until_expiry(wheel: &mut Wheel, pool: &mut Pool, start: u64) -> (u64, u32) {
    let (mut now, mut wakes) = (start, 0);
    loop {
        now = wheel.next_expiry(now).expect("a deadline is armed");
        wakes += 1;
        if !advanced(wheel, pool, now).is_empty() {
            return (now, wakes);
        }
    }
}

#[test]
fn exact_at_every_border_of_levels() {
    for start in [0, 1, 7, 8, 63, 64, 511, 513, 4095, 1 << 20, (1 << 33) - 1, TICK_MAX - (1 << 40)] {
        for level in 0..=LEVELS as u32 {
            // Beyond the reach of all levels, the farthest bucket is used until the deadline is near enough.
            let wakes_max = if level < LEVELS as u32 { LEVELS as u32 + 2 } else { 2 * LEVELS as u32 + 2 };
            for offset in -9..=9 {
                let Some(deadline) = (start + (63 << (LEVEL_SHIFT * level))).checked_add_signed(offset)
                else {
                    continue;
                };
                let (mut pool, mut wheel) = (pool_of(1), Wheel::new(start));
                wheel.arm(&mut pool, 0, deadline);
                let (expired, wakes) = idle_until_expiry(&mut wheel, &mut pool, start);
                assert_eq!(expired, deadline, "start {start} level {level} offset {offset}");
                assert!(wakes <= wakes_max, "{wakes} wakes: start {start} level {level} offset {offset}");
                assert_eq!(wheel.next_expiry(expired), None);
            }
        }
    }
}

#[test]
fn an_idle_loop_with_one_deadline_of_30_seconds_wakes_a_handful_of_times() {
    let ticks = tick_ceil(Duration::from_secs(30));
    for start in [0, 1, 500, 999_999] {
        let (mut pool, mut wheel) = (pool_of(1), Wheel::new(start));
        wheel.arm(&mut pool, 0, start + ticks);
        let (expired, wakes) = idle_until_expiry(&mut wheel, &mut pool, start);
        assert_eq!(expired, start + ticks);
        assert!(wakes <= 3, "{wakes} wakes from {start}");
    }
}

#[test]
fn a_deadline_beyond_the_wheel_is_kept() {
    let century = tick_ceil(Duration::from_secs(100 * 365 * 86_400));
    let (mut pool, mut wheel) = (pool_of(1), Wheel::new(0));
    wheel.arm(&mut pool, 0, century);
    assert_eq!(advanced(&mut wheel, &mut pool, century - 1), []);
    assert_eq!(advanced(&mut wheel, &mut pool, century), [0]);
}

#[test]
fn a_deadline_in_the_past_is_reported_by_the_next_advance() {
    let (mut pool, mut wheel) = (pool_of(3), Wheel::new(100));
    for (index, deadline) in [(0, 0), (1, 99), (2, 100)] {
        wheel.arm(&mut pool, index, deadline);
    }
    assert_eq!(wheel.next_expiry(100), Some(100));
    assert_eq!(advanced(&mut wheel, &mut pool, 100), [0, 1, 2]);
    assert_eq!(wheel.next_expiry(100), None);
}

#[test]
fn an_overdue_slot_may_be_given_time() {
    let (mut pool, mut wheel) = (pool_of(1), Wheel::new(100));
    wheel.arm(&mut pool, 0, 50);
    wheel.arm(&mut pool, 0, 150);
    assert_eq!(advanced(&mut wheel, &mut pool, 149), []);
    assert_eq!(advanced(&mut wheel, &mut pool, 150), [0]);
}

#[test]
fn a_late_loop_is_told_to_look_at_once() {
    let (mut pool, mut wheel) = (pool_of(1), Wheel::new(0));
    wheel.arm(&mut pool, 0, 10);
    assert_eq!(wheel.next_expiry(50), Some(50));
    assert_eq!(advanced(&mut wheel, &mut pool, 50), [0]);
}

#[test]
fn a_wide_bucket_is_empty_before_it_fires() {
    let (slots, deadline) = (10_000, 20_000);
    let (mut pool, mut wheel) = (pool_of(slots), Wheel::new(0));
    (0..slots).for_each(|index| wheel.arm(&mut pool, index, deadline));
    wheel.disarm(&mut pool, 0);
    let bucket = pool.slot_mut(1).wheel_bucket;
    let fires = wheel.fires_at(bucket);
    assert!(bucket >> BUCKET_BITS >= 2 && fires < deadline);
    for now in 1..fires {
        assert_eq!(advanced(&mut wheel, &mut pool, now), []);
    }
    assert_eq!(wheel.heads[bucket as usize], NONE);
    assert_eq!(pool.slot_mut(0).wheel_bucket, NONE, "a disarmed slot is let go");
    assert_eq!(advanced(&mut wheel, &mut pool, deadline - 1), []);
    assert_eq!(advanced(&mut wheel, &mut pool, deadline), (1..slots).collect::<Vec<_>>());
}

#[test]
fn time_that_goes_back_stands_still() {
    let (mut pool, mut wheel) = (pool_of(1), Wheel::new(0));
    wheel.arm(&mut pool, 0, 60);
    assert_eq!(advanced(&mut wheel, &mut pool, 50), []);
    assert_eq!(advanced(&mut wheel, &mut pool, 10), []);
    assert_eq!(advanced(&mut wheel, &mut pool, 60), [0]);
}

#[test]
fn a_later_deadline_touches_no_list() {
    let (mut pool, mut wheel) = (pool_of(2), Wheel::new(0));
    wheel.arm(&mut pool, 0, 1000);
    let heads = wheel.heads;
    let links = |pool: &mut Pool| {
        let slot = pool.slot_mut(0);
        (slot.wheel_bucket, slot.wheel_next, slot.wheel_prev)
    };
    let before = links(&mut pool);
    for deadline in [1001, 5000, 1_000_000, 2000] {
        wheel.arm(&mut pool, 0, deadline);
        assert_eq!((links(&mut pool), wheel.heads), (before, heads), "deadline {deadline}");
    }
    assert_eq!(advanced(&mut wheel, &mut pool, 1999), []);
    assert_eq!(advanced(&mut wheel, &mut pool, 2000), [0]);

    wheel.arm(&mut pool, 0, 9000);
    let before = links(&mut pool);
    wheel.arm(&mut pool, 0, 3000);
    assert_ne!(links(&mut pool), before, "an earlier deadline relinks");
    assert_eq!(advanced(&mut wheel, &mut pool, 3000), [0]);
}

#[test]
fn unlinking_keeps_the_rest_of_the_bucket() {
    for moved in 0..3 {
        let (mut pool, mut wheel) = (pool_of(3), Wheel::new(0));
        (0..3).for_each(|index| wheel.arm(&mut pool, index, 40));
        wheel.arm(&mut pool, moved, 20);
        assert_eq!(advanced(&mut wheel, &mut pool, 39), [moved]);
        let rest: Vec<_> = (0..3).filter(|&index| index != moved).collect();
        assert_eq!(advanced(&mut wheel, &mut pool, 40), rest);
    }
}

#[test]
fn unlinking_the_only_slot_empties_the_bucket() {
    let (mut pool, mut wheel) = (pool_of(1), Wheel::new(0));
    wheel.arm(&mut pool, 0, 40);
    wheel.arm(&mut pool, 0, 20);
    assert_eq!(advanced(&mut wheel, &mut pool, 20), [0]);
    assert_eq!(wheel.next_expiry(20), None);
}

#[test]
fn release_and_disarm_are_never_reported() {
    let (mut pool, mut wheel) = (pool_of(3), Wheel::new(0));
    (0..3).for_each(|index| wheel.arm(&mut pool, index, 100));
    let id = pool.id_of(0).unwrap();
    pool.release(id).unwrap();
    wheel.disarm(&mut pool, 1);
    assert_eq!(pool.by_index(1).unwrap().deadline(), None);
    assert_eq!(advanced(&mut wheel, &mut pool, 200), [2]);
    assert_eq!(wheel.next_expiry(200), None);
}

#[test]
fn a_slot_acquired_again_uses_its_old_place() {
    let (mut pool, mut wheel) = (pool_of(1), Wheel::new(0));
    for (old, new) in [(100, 150), (300, 250)] {
        wheel.arm(&mut pool, 0, old);
        let id = pool.id_of(0).unwrap();
        pool.release(id).unwrap();
        let again = pool.acquire().unwrap();
        assert_eq!(pool.get(again).unwrap().deadline(), None);
        wheel.arm(&mut pool, again.index, new);
        assert_eq!(advanced(&mut wheel, &mut pool, new - 1), []);
        assert_eq!(advanced(&mut wheel, &mut pool, new), [0]);
    }
}

#[test]
#[should_panic(expected = "slot 0 is free")]
fn a_free_slot_is_not_armed() {
    let mut pool = pool_of(1);
    let id = pool.id_of(0).unwrap();
    pool.release(id).unwrap();
    Wheel::new(0).arm(&mut pool, 0, 1);
}

#[test]
fn conversions_are_never_early_and_late_by_less_than_a_tick() {
    for nanos in [0, 1, 7_999_999, 8_000_000, 8_000_001, 123_456_789_012] {
        let time = Duration::from_nanos(nanos);
        assert!(tick_start(tick_floor(time)) <= time && time < tick_start(tick_floor(time) + 1), "{time:?}");
        assert!(
            time <= tick_start(tick_ceil(time)) && tick_start(tick_ceil(time)) < time + WHEEL_TICK,
            "{time:?}"
        );
    }
    assert_eq!(tick_start(u64::MAX).as_secs(), (u128::from(u64::MAX) * 8 / 1000) as u64);
}
