//! The table of memberships against sets, and what it takes.

use super::*;
use std::collections::BTreeSet;

struct Slots(Vec<Anchor>);

impl Anchors for Slots {
    fn anchor(&self, slot: u32) -> Anchor {
        self.0[slot as usize]
    }

    fn set_anchor(&mut self, slot: u32, anchor: Anchor) {
        self.0[slot as usize] = anchor;
    }
}

/// Heap bytes that the memberships take.
fn bytes(members: &Members) -> usize {
    let lists: usize = members.lists.iter().map(|list| list.capacity() * size_of::<u32>()).sum();
    let several = &members.several;
    let chunk =
        |chunks: &Chunks| chunks.entries.capacity() * size_of::<Anchor>() + chunks.free.capacity() * 4;
    let chunks: usize = several.chunks.iter().map(chunk).sum();
    let tables: usize = several.tables.iter().map(|table| size_of_val(&*table.entries)).sum();
    lists + chunks + tables + several.tables.capacity() * size_of::<Table>()
}

fn check(members: &Members, slots: &Slots, oracle: &[BTreeSet<u32>], lists: &[u32]) {
    let mut total = 0;
    for (slot, expected) in oracle.iter().enumerate() {
        let mut found = members.lists_of(slots, slot as u32);
        found.sort_unstable();
        assert!(found.iter().eq(expected), "slot {slot}: {found:?}, not {expected:?}");
        assert_eq!(members.count(slots, slot as u32), expected.len());
        total += expected.len();
        for &list in lists {
            let place = members.place(slots, slot as u32, list);
            assert_eq!(place.is_some(), expected.contains(&list));
            if let Some(place) = place {
                assert_eq!(members.of(list)[place as usize], slot as u32);
            }
        }
    }
    assert_eq!(members.len(), total);
    assert_eq!(lists.iter().map(|&list| members.of(list).len()).sum::<usize>(), total);
}

#[test]
fn random_comings_and_goings_are_those_of_sets() {
    let mut tables = 0;
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let slot_count = random.u32(1..40);
        let list_count = random.u32(1..60);
        let mut slots = Slots(vec![Anchor::NONE; slot_count as usize]);
        let mut members = Members::default();
        let lists: Vec<u32> = (0..list_count).map(|_| members.acquire_list()).collect();
        let mut oracle = vec![BTreeSet::new(); slot_count as usize];
        for step in 0..2000 {
            let slot = random.u32(0..slot_count);
            let list = lists[random.usize(0..lists.len())];
            let expected = &mut oracle[slot as usize];
            match random.u32(0..100) {
                // Phases of growth and of decline, so that tables come and go.
                n if n < (if (step / 400) % 2 == 0 { 70 } else { 30 }) => {
                    assert_eq!(members.insert(&mut slots, slot, list), expected.insert(list));
                }
                99 => {
                    for list in members.remove_all(&mut slots, slot) {
                        assert!(expected.remove(&list));
                    }
                    assert!(expected.is_empty());
                    assert_eq!(slots.anchor(slot), Anchor::NONE);
                }
                _ => assert_eq!(members.remove(&mut slots, slot, list), expected.remove(&list)),
            }
            if step % 50 == 0 {
                check(&members, &slots, &oracle, &lists);
            }
        }
        check(&members, &slots, &oracle, &lists);
        for slot in 0..slot_count {
            members.remove_all(&mut slots, slot);
        }
        lists.iter().for_each(|&list| members.release_list(list));
        let several = &members.several;
        tables += several.tables.len();
        assert_eq!(members.len(), 0, "seed {seed}");
        assert!(
            several.chunks.iter().all(|chunks| chunks.entries.is_empty()),
            "no chunk is left of seed {seed}"
        );
        assert_eq!(several.free_tables.len(), several.tables.len(), "no table is left of seed {seed}");
    }
    assert!(tables > 0, "some slot was in many lists");
}

#[test]
fn a_membership_takes_at_most_16_bytes() {
    // How many lists each slot is in; a million memberships in some cases.
    let sizes = (2..=70).map(|each| (2000, each));
    let large = [
        (1_000_000, 1),
        (500_000, 2),
        (333_334, 3),
        (62_500, 16),
        (10_000, 100),
        (1000, 1000),
        (100, 10_000),
    ];
    for (slot_count, each) in sizes.chain(large) {
        let mut slots = Slots(vec![Anchor::NONE; slot_count]);
        let mut members = Members::default();
        let lists: Vec<u32> = (0..each).map(|_| members.acquire_list()).collect();
        for slot in 0..slot_count as u32 {
            for &list in &lists {
                assert!(members.insert(&mut slots, slot, list));
            }
        }
        // The anchor of a slot that is in one list is the entry itself.
        let anchors = if each == 1 { slot_count * size_of::<Anchor>() } else { 0 };
        let each_bytes = (bytes(&members) + anchors) as f64 / members.len() as f64;
        println!("{slot_count} x {each}: {each_bytes:.2} bytes");
        assert!(each_bytes <= 16.0, "{slot_count} slots in {each} lists: {each_bytes:.2} bytes for each");
        assert_eq!(members.len(), slot_count * each);
    }
}
