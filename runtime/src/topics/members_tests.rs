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

/// Heap bytes that the members and the slots' anchors take.
fn bytes(members: &Members) -> usize {
    let lists: usize = members.lists.iter().map(|list| list.capacity() * size_of::<u32>()).sum();
    let tables: usize = members.tables.iter().map(|table| size_of_val(&*table.entries)).sum();
    lists + tables
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
                    while let Some(list) = members.remove_any(&mut slots, slot) {
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
            while members.remove_any(&mut slots, slot).is_some() {}
        }
        lists.iter().for_each(|&list| members.release_list(list));
        assert_eq!((members.len(), bytes(&members)), (0, 0), "nothing is left of seed {seed}");
    }
}

#[test]
fn a_membership_takes_at_most_16_bytes() {
    // Slots, and how many lists each is in: a million memberships each time.
    for (slot_count, each) in [(1_000_000, 1), (62_500, 16), (10_000, 100), (1000, 1000), (100, 10_000)] {
        let mut slots = Slots(vec![Anchor::NONE; slot_count]);
        let mut members = Members::default();
        let lists: Vec<u32> = (0..each).map(|_| members.acquire_list()).collect();
        let mut worst = 0.0_f64;
        for slot in 0..slot_count as u32 {
            for &list in &lists {
                assert!(members.insert(&mut slots, slot, list));
            }
        }
        let anchors = slot_count * size_of::<Anchor>();
        worst = worst.max((bytes(&members) + anchors) as f64 / members.len() as f64);
        println!("{slot_count} x {each}: {worst:.2} bytes");
        assert!(worst <= 16.0, "{slot_count} slots in {each} lists: {worst:.2} bytes for each membership");
    }
}
