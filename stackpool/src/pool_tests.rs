//! What the pool promises, one promise per test. The model test stands in `tests/pool_model.rs`.

use super::*;
use crate::NONE;
use crate::wheel::Wheel;

type Pool = StackPool<[u64; 8]>;

#[test]
fn no_release_while_operations_are_in_flight() {
    let mut pool = Pool::new(4);
    let id = pool.acquire().unwrap();
    for ops in [3, 2, 1] {
        pool.get_mut(id).unwrap().ops = ops;
        assert_eq!(pool.release(id), Err(ReleaseError::InFlight { ops }));
        assert_eq!(pool.get(id).unwrap().state(), SlotState::Live, "a refused release changes nothing");
    }
    pool.get_mut(id).unwrap().drain();
    assert_eq!(pool.release(id), Err(ReleaseError::InFlight { ops: 1 }));
    assert_eq!(pool.get(id).unwrap().state(), SlotState::Draining);
    pool.get_mut(id).unwrap().ops = 0;
    assert_eq!(pool.release(id), Ok(()));
    assert_eq!(pool.release(id), Err(ReleaseError::Stale));
}

#[test]
fn generation_wraps_past_zero() {
    let mut pool = Pool::new(1);
    let first = pool.acquire().unwrap();
    assert_eq!(first.generation, 1);
    pool.slot_mut(0).generation = u32::MAX;
    let last = pool.id_of(0).unwrap();
    pool.release(last).unwrap();
    let wrapped = pool.acquire().unwrap();
    assert_eq!(wrapped, SlotId { index: 0, generation: 1 });
    assert!(pool.get(last).is_none());
}

#[test]
fn a_free_slot_is_reached_by_no_id() {
    let mut pool = Pool::new(2);
    let id = pool.acquire().unwrap();
    pool.release(id).unwrap();
    let unborn = SlotId { generation: id.generation + 1, ..id };
    for id in [id, unborn, SlotId { index: 1, generation: 1 }, SlotId { index: NONE, generation: 1 }] {
        assert!(pool.get(id).is_none() && pool.get_mut(id).is_none(), "{id:?}");
        assert!(pool.by_index(id.index).is_none() && pool.by_index_mut(id.index).is_none(), "{id:?}");
        assert!(pool.id_of(id.index).is_none(), "{id:?}");
        assert_eq!(pool.release(id), Err(ReleaseError::Stale));
    }
}

#[test]
fn the_hottest_slot_is_acquired_next() {
    let mut pool = Pool::new(8);
    let ids: Vec<_> = (0..8).map(|_| pool.acquire().unwrap()).collect();
    assert!(pool.is_full());
    assert_eq!(pool.acquire(), None);
    for released in [5, 0, 7, 3] {
        pool.release(ids[released]).unwrap();
    }
    let again: Vec<_> = (0..4).map(|_| pool.acquire().unwrap().index).collect();
    assert_eq!(again, [3, 7, 0, 5]);
    assert_eq!((pool.len(), pool.high_water(), pool.committed()), (8, 8, 8));
}

#[test]
fn an_acquired_slot_is_as_new() {
    let mut pool = Pool::new(1);
    let id = pool.acquire().unwrap();
    let slot = pool.get_mut(id).unwrap();
    (slot.descriptor, slot.input, slot.output, slot.backlog, slot.topic) = (1, 2, 3, 4, 5);
    (slot.flags, slot.service, slot.topic_place, slot.messages_bytes_max) = (6, 7, 8, 9);
    (slot.bytes_in, slot.bytes_out, slot.workspace) = (12, 13, [14; 8]);
    slot.drain();
    Wheel::new(0).arm(&mut pool, id.index, 100);
    pool.release(id).unwrap();

    let id = pool.acquire().unwrap();
    let slot = pool.get(id).unwrap();
    let handles = [slot.descriptor, slot.input, slot.output, slot.backlog, slot.topic];
    assert_eq!(handles, [NONE; 5]);
    assert_eq!((slot.flags, slot.service, slot.topic_place, slot.messages_bytes_max), (0, 0, 0, 0));
    assert_eq!((slot.bytes_in, slot.bytes_out, slot.workspace), (0, 0, [0; 8]));
    assert_eq!((slot.state(), slot.deadline(), slot.generation()), (SlotState::Live, None, id.generation));
}

#[test]
fn acquire_at_takes_exactly_that_slot() {
    let mut pool = Pool::new(8);
    assert_eq!(pool.acquire_at(5).unwrap(), SlotId { index: 5, generation: 1 });
    assert_eq!((pool.committed(), pool.len(), pool.high_water()), (6, 1, 1));
    assert_eq!(pool.acquire_at(5), None, "it is live");
    assert_eq!(pool.acquire_at(8), None, "it is beyond the capacity");
    let mut rest: Vec<_> = (0..7).map(|_| pool.acquire().unwrap().index).collect();
    rest.sort_unstable();
    assert_eq!(rest, [0, 1, 2, 3, 4, 6, 7]);
    assert!(pool.is_full());
}

#[test]
fn warmup_commits_and_acquires_nothing() {
    let mut pool = Pool::new(8);
    pool.warmup(3);
    assert_eq!((pool.committed(), pool.len(), pool.high_water()), (3, 0, 0));
    pool.warmup(100);
    assert_eq!(pool.committed(), 8);
    assert_eq!(pool.acquire().unwrap().index, 0);
}

#[test]
fn slots_never_move() {
    let mut pool = Pool::new(10_000);
    let id = pool.acquire().unwrap();
    let address = std::ptr::from_ref(pool.get(id).unwrap());
    while pool.acquire().is_some() {}
    assert_eq!(pool.len(), 10_000);
    assert_eq!(std::ptr::from_ref(pool.get(id).unwrap()), address);
    assert_eq!(address.addr() % 64, 0);
}

#[test]
fn live_walk_from_the_end_may_release() {
    let mut pool = Pool::new(64);
    while pool.acquire().is_some() {}
    for position in (0..pool.live().len()).rev() {
        let id = pool.id_of(pool.live()[position]).unwrap();
        if !id.index.is_multiple_of(3) {
            pool.release(id).unwrap();
        }
    }
    let mut left = pool.live().to_vec();
    left.sort_unstable();
    assert_eq!(left, (0..64).step_by(3).collect::<Vec<_>>());
}

#[test]
#[should_panic(expected = "a pool has 1 to 1048576 slots")]
fn a_pool_beyond_the_limit_is_refused() {
    Pool::new(SLOTS_MAX + 1);
}

#[test]
#[should_panic(expected = "a pool has 1 to 1048576 slots")]
fn a_pool_of_nothing_is_refused() {
    Pool::new(0);
}
