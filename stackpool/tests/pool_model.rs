//! The pool against a `HashMap`: 2^20 slots through 10^7 random operations, in a release build. A debug build runs a
//! smaller size. The whole: `cargo test --release -p sws-stackpool`; a seed that fails is named in the message.

use std::collections::HashMap;

use sws_stackpool::{ReleaseError, SlotId, SlotState, StackPool};

const SLOTS: u32 = if cfg!(debug_assertions) { 1 << 14 } else { 1 << 20 };
const OPERATIONS: u32 = if cfg!(debug_assertions) { 200_000 } else { 10_000_000 };
const SEEDS: u64 = if cfg!(debug_assertions) { 3 } else { 1 };

#[derive(Debug, PartialEq)]
struct Entry {
    generation: u32,
    mark: u64,
    ops: u16,
}

/// The pool and what a naive table says of it.
struct Model {
    seed: u64,
    rng: fastrand::Rng,
    pool: StackPool<[u64; 8]>,
    table: HashMap<u32, Entry>,
    ids: Vec<SlotId>,
    /// Some ids that were released.
    stale: Vec<SlotId>,
    released_last: Option<u32>,
    high_water: u32,
}

impl Model {
    fn new(seed: u64) -> Self {
        Model {
            seed,
            rng: fastrand::Rng::with_seed(seed),
            pool: StackPool::new(SLOTS),
            table: HashMap::new(),
            ids: Vec::new(),
            stale: Vec::new(),
            released_last: None,
            high_water: 0,
        }
    }

    fn acquire(&mut self) {
        let full = self.ids.len() == SLOTS as usize;
        let id = self.pool.acquire();
        assert_eq!(id.is_none(), full, "seed {}", self.seed);
        let Some(id) = id else { return };
        if let Some(index) = self.released_last.take() {
            assert_eq!(id.index, index, "seed {}: the hottest slot comes first", self.seed);
        }
        self.opened(id);
    }

    fn acquire_at(&mut self) {
        let index = self.rng.u32(0..SLOTS);
        let id = self.pool.acquire_at(index);
        assert_eq!(id.is_none(), self.table.contains_key(&index), "seed {} index {index}", self.seed);
        self.released_last = None;
        let Some(id) = id else { return };
        assert_eq!(id.index, index, "seed {}", self.seed);
        self.opened(id);
    }

    fn opened(&mut self, id: SlotId) {
        let mark = self.rng.u64(..);
        let slot = self.pool.get_mut(id).expect("just acquired");
        assert_eq!((slot.ops, slot.workspace), (0, [0; 8]), "seed {} {id:?}", self.seed);
        assert_eq!((slot.generation(), slot.state()), (id.generation, SlotState::Live), "seed {}", self.seed);
        slot.workspace = [mark; 8];
        let before = self.table.insert(id.index, Entry { generation: id.generation, mark, ops: 0 });
        assert_eq!(before, None, "seed {}: {id:?} was live", self.seed);
        self.ids.push(id);
        self.high_water = self.high_water.max(self.ids.len() as u32);
    }

    fn release(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let position = self.rng.usize(0..self.ids.len());
        let id = self.ids[position];
        let ops = self.table[&id.index].ops;
        let result = self.pool.release(id);
        if ops > 0 {
            assert_eq!(result, Err(ReleaseError::InFlight { ops }), "seed {} {id:?}", self.seed);
            return;
        }
        assert_eq!(result, Ok(()), "seed {} {id:?}", self.seed);
        self.ids.swap_remove(position);
        self.table.remove(&id.index);
        self.released_last = Some(id.index);
        if self.stale.len() < 1024 {
            self.stale.push(id);
        } else {
            let place = self.rng.usize(0..1024);
            self.stale[place] = id;
        }
    }

    /// Looks at a live slot, and starts or ends an operation on it.
    fn touch(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let id = self.ids[self.rng.usize(0..self.ids.len())];
        let entry = self.table.get_mut(&id.index).expect("live");
        let slot = self.pool.get_mut(id).expect("live");
        let found = Entry { generation: slot.generation(), mark: slot.workspace[7], ops: slot.ops };
        assert_eq!(found, *entry, "seed {} {id:?}", self.seed);
        slot.ops = if slot.ops == 0 && self.rng.u8(0..8) == 0 { 1 } else { 0 };
        entry.ops = slot.ops;
        assert_eq!(self.pool.id_of(id.index), Some(id), "seed {}", self.seed);
    }

    fn probe_stale(&mut self) {
        let Some(&id) = self.rng.choice(&self.stale) else { return };
        assert!(self.pool.get(id).is_none(), "seed {}: {id:?} is stale", self.seed);
        assert_eq!(self.pool.release(id), Err(ReleaseError::Stale), "seed {}", self.seed);
        let live = self.table.get(&id.index).map(|entry| entry.generation);
        assert_eq!(self.pool.by_index(id.index).map(|slot| slot.generation()), live, "seed {}", self.seed);
    }

    fn check_all(&self) {
        let seed = self.seed;
        assert_eq!(self.pool.len() as usize, self.table.len(), "seed {seed}");
        assert_eq!(self.pool.high_water(), self.high_water, "seed {seed}");
        assert_eq!(self.pool.live().len(), self.table.len(), "seed {seed}");
        let mut seen = vec![false; SLOTS as usize];
        for (position, &index) in self.pool.live().iter().enumerate() {
            assert!(
                !std::mem::replace(&mut seen[index as usize], true),
                "seed {seed}: {index} is listed twice"
            );
            let entry = &self.table[&index];
            let slot = self.pool.by_index(index).expect("listed as live");
            assert_eq!(
                (slot.generation(), slot.workspace),
                (entry.generation, [entry.mark; 8]),
                "seed {seed}"
            );
            assert_eq!(slot.live_position() as usize, position, "seed {seed}");
        }
    }
}

#[test]
fn pool_agrees_with_a_hash_map() {
    for seed in 0..SEEDS {
        let mut model = Model::new(seed);
        let (mut was_full, mut was_low) = (false, false);
        for step in 0..OPERATIONS {
            // The load goes up in one quarter of the run and down in the next, from end to end of the pool.
            let rising = (step / (OPERATIONS / 4)).is_multiple_of(2);
            match (model.rng.u8(0..100), rising) {
                (0..60, true) | (60..70, false) => model.acquire(),
                (0..60, false) | (60..70, true) => model.release(),
                (70..72, true) => model.acquire_at(),
                (72..75, _) => model.probe_stale(),
                _ => model.touch(),
            }
            was_full |= model.pool.is_full();
            was_low |= was_full && model.pool.len() < SLOTS / 10;
            if step % (OPERATIONS / 16) == 0 {
                model.check_all();
            }
        }
        model.check_all();
        assert!(was_full && was_low, "seed {seed}: the run must reach both ends");
    }
}
