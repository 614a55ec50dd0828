//! The wheel against a `BTreeSet`, and its accuracy with 1,000,000 armed deadlines in a release build. A debug build runs
//! smaller sizes. The whole: `cargo test --release -p sws-stackpool`; a seed that fails is named in the message.

use std::collections::BTreeSet;

use sws_stackpool::{StackPool, Wheel};

const ARMED: u32 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
const OPERATIONS: u32 = if cfg!(debug_assertions) { 20_000 } else { 500_000 };
const SEEDS: u64 = if cfg!(debug_assertions) { 8 } else { 24 };

type Pool = StackPool<[u64; 8]>;

/// Pool and wheel, and what a sorted set of deadlines says of them.
struct Model {
    seed: u64,
    rng: fastrand::Rng,
    pool: Pool,
    wheel: Wheel,
    now: u64,
    deadlines: Vec<Option<u64>>,
    order: BTreeSet<(u64, u32)>,
    expired: Vec<u32>,
}

impl Model {
    fn new(seed: u64, slots: u32, start: u64) -> Self {
        let mut pool = Pool::new(slots);
        while pool.acquire().is_some() {}
        Model {
            seed,
            rng: fastrand::Rng::with_seed(seed),
            pool,
            wheel: Wheel::new(start),
            now: start,
            deadlines: vec![None; slots as usize],
            order: BTreeSet::new(),
            expired: Vec::new(),
        }
    }

    fn random_index(&mut self) -> u32 {
        self.rng.u32(0..self.pool.capacity())
    }

    /// A number of ticks of a random magnitude below 2^`bits_max`.
    fn random_ticks(&mut self, bits_max: u32) -> u64 {
        let bits = self.rng.u32(0..=bits_max);
        self.rng.u64(0..1 << bits)
    }

    fn set(&mut self, index: u32, deadline: Option<u64>) {
        if let Some(old) = std::mem::replace(&mut self.deadlines[index as usize], deadline) {
            self.order.remove(&(old, index));
        }
        self.order.extend(deadline.map(|deadline| (deadline, index)));
    }

    fn arm(&mut self) {
        let index = self.random_index();
        let deadline = match self.rng.u8(0..10) {
            0 => self.now.saturating_sub(self.random_ticks(12)),
            1 => self.now + self.random_ticks(40),
            _ => self.now + self.random_ticks(14),
        };
        self.wheel.arm(&mut self.pool, index, deadline);
        self.set(index, Some(deadline));
    }

    fn disarm(&mut self) {
        let index = self.random_index();
        self.wheel.disarm(&mut self.pool, index);
        self.set(index, None);
    }

    fn release_and_acquire(&mut self) {
        let index = self.random_index();
        let id = self.pool.id_of(index).expect("all slots are live");
        self.pool.release(id).expect("nothing is in flight");
        assert_eq!(self.pool.acquire().map(|id| id.index), Some(index));
        self.set(index, None);
    }

    fn advance(&mut self) {
        self.now = match self.rng.u8(0..20) {
            0 => self.now + self.random_ticks(40),
            1..4 => self.wheel.next_expiry(self.now).unwrap_or(self.now),
            _ => self.now + self.random_ticks(8),
        };
        self.expired.clear();
        self.wheel.advance(&mut self.pool, self.now, &mut self.expired);
        self.expired.sort_unstable();
        let later = self.order.split_off(&(self.now + 1, 0));
        let mut due: Vec<u32> = self.order.iter().map(|&(_, index)| index).collect();
        self.order = later;
        due.sort_unstable();
        assert_eq!(self.expired, due, "seed {} at tick {}", self.seed, self.now);
        for index in due {
            self.deadlines[index as usize] = None;
            assert_eq!(
                self.pool.by_index(index).and_then(|slot| slot.deadline()),
                None,
                "seed {}",
                self.seed
            );
        }
    }

    fn check_next(&self) {
        let next = self.wheel.next_expiry(self.now);
        assert!(next.is_none_or(|tick| tick >= self.now), "seed {}", self.seed);
        if let Some(&(nearest, _)) = self.order.first() {
            let next = next.unwrap_or(u64::MAX);
            assert!(
                next <= nearest.max(self.now),
                "seed {}: would sleep to {next} past {nearest}",
                self.seed
            );
        }
    }
}

#[test]
fn wheel_agrees_with_a_sorted_set() {
    for seed in 0..SEEDS {
        let slots = [3, 64, 4096][seed as usize % 3];
        let mut model = Model::new(seed, slots, seed * 1_234_567);
        for _ in 0..OPERATIONS {
            match model.rng.u8(0..100) {
                0..70 => model.arm(),
                70..75 => model.disarm(),
                75..80 => model.release_and_acquire(),
                _ => model.advance(),
            }
            model.check_next();
        }
        for (index, &deadline) in model.deadlines.iter().enumerate() {
            let slot = model.pool.by_index(index as u32).expect("all slots are live");
            assert_eq!(slot.deadline(), deadline, "seed {seed} index {index}");
        }
    }
}

/// Every one of a million deadlines, spread over a minute, is reported at its very tick, by a loop that sleeps as long as
/// `next_expiry` lets it; also when all of them were moved once, later or earlier.
#[test]
fn a_million_deadlines_are_exact() {
    let mut pool = Pool::new(ARMED);
    let mut wheel = Wheel::new(77);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut deadlines = Vec::new();
    while let Some(id) = pool.acquire() {
        wheel.arm(&mut pool, id.index, 77 + rng.u64(0..7500));
        let deadline = 77 + rng.u64(0..7500);
        wheel.arm(&mut pool, id.index, deadline);
        deadlines.push(deadline);
    }
    let (mut now, mut reported, mut expired) = (77, 0, Vec::new());
    while let Some(next) = wheel.next_expiry(now) {
        now = next;
        wheel.advance(&mut pool, now, &mut expired);
        for index in expired.drain(..) {
            assert_eq!(deadlines[index as usize], now, "slot {index}");
            reported += 1;
        }
    }
    assert_eq!(reported, ARMED);
}

/// A process that was stopped for a long time reports all that is due at once, and nothing else.
#[test]
fn a_jump_reports_all_that_is_due_and_nothing_else() {
    for jump in [1, 64, 5000, 40_000, 1 << 30] {
        let mut pool = Pool::new(ARMED);
        let mut wheel = Wheel::new(0);
        let mut rng = fastrand::Rng::with_seed(jump);
        let mut due = Vec::new();
        while let Some(id) = pool.acquire() {
            let deadline = rng.u64(0..80_000);
            wheel.arm(&mut pool, id.index, deadline);
            if deadline <= jump {
                due.push(id.index);
            }
        }
        let mut expired = Vec::new();
        wheel.advance(&mut pool, jump, &mut expired);
        expired.sort_unstable();
        assert_eq!(expired, due, "jump {jump}");
    }
}
