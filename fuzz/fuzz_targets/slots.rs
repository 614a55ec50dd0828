//! Any bytes as operations on a small pool of slots and its deadline wheel, beside a naive model of both.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use sws_stackpool::{ReleaseError, SlotId, StackPool, Wheel};

const SLOTS: u32 = 24;

/// What the model knows of a live slot.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    generation: u32,
    ops: u16,
    deadline: Option<u64>,
}

struct Model {
    pool: StackPool<[u64; 8]>,
    wheel: Wheel,
    now: u64,
    live: BTreeMap<u32, Entry>,
    /// Ids of uses that are over.
    stale: Vec<SlotId>,
}

fuzz_target!(|bytes: &[u8]| {
    let mut model = Model {
        pool: StackPool::new(SLOTS),
        wheel: Wheel::new(0),
        now: 0,
        live: BTreeMap::new(),
        stale: Vec::new(),
    };
    for step in bytes.chunks_exact(3) {
        model.apply(step[0], step[1], step[2]);
        model.check();
    }
});

impl Model {
    fn apply(&mut self, operation: u8, first: u8, second: u8) {
        match operation % 8 {
            0 => self.acquire(),
            1 => self.acquire_at(u32::from(first) % (SLOTS + 2)),
            2 => self.release(first),
            3 => self.release_stale(first),
            4 => self.count_operation(first, second),
            5 => self.arm(first, second),
            6 => self.disarm(first),
            _ => self.advance(first, second),
        }
    }

    /// The live slot that `selector` means, if there is one.
    fn pick(&self, selector: u8) -> Option<(u32, Entry)> {
        let at = usize::from(selector).checked_rem(self.live.len())?;
        self.live.iter().nth(at).map(|(&index, &entry)| (index, entry))
    }

    fn opened(&mut self, id: SlotId) {
        let entry = Entry { generation: id.generation, ops: 0, deadline: None };
        assert!(self.live.insert(id.index, entry).is_none(), "slot {} was live already", id.index);
        assert!(!self.stale.contains(&id), "an id came back");
    }

    fn acquire(&mut self) {
        match self.pool.acquire() {
            Some(id) => self.opened(id),
            None => assert_eq!(self.live.len(), SLOTS as usize),
        }
    }

    fn acquire_at(&mut self, index: u32) {
        match self.pool.acquire_at(index) {
            Some(id) => {
                assert_eq!(id.index, index);
                self.opened(id);
            }
            None => assert!(index >= SLOTS || self.live.contains_key(&index)),
        }
    }

    fn release(&mut self, selector: u8) {
        let Some((index, entry)) = self.pick(selector) else { return };
        let id = SlotId { index, generation: entry.generation };
        if entry.ops > 0 {
            assert_eq!(self.pool.release(id), Err(ReleaseError::InFlight { ops: entry.ops }));
        } else {
            assert_eq!(self.pool.release(id), Ok(()));
            self.live.remove(&index);
            self.stale.push(id);
        }
    }

    fn release_stale(&mut self, selector: u8) {
        let Some(at) = usize::from(selector).checked_rem(self.stale.len()) else { return };
        let id = self.stale[at];
        assert!(self.pool.get(id).is_none());
        assert_eq!(self.pool.release(id), Err(ReleaseError::Stale));
    }

    fn count_operation(&mut self, selector: u8, ops: u8) {
        let Some((index, entry)) = self.pick(selector) else { return };
        let ops = u16::from(ops % 3);
        let id = SlotId { index, generation: entry.generation };
        self.pool.get_mut(id).expect("live").ops = ops;
        self.live.insert(index, Entry { ops, ..entry });
    }

    /// Deadlines from the past to far ahead: the second byte is an exponent and a mantissa.
    fn arm(&mut self, selector: u8, distance: u8) {
        let Some((index, entry)) = self.pick(selector) else { return };
        let ahead = u64::from(distance & 15) << (distance >> 4 << 1);
        let deadline = (self.now + ahead).saturating_sub(4);
        self.wheel.arm(&mut self.pool, index, deadline);
        self.live.insert(index, Entry { deadline: Some(deadline), ..entry });
    }

    fn disarm(&mut self, selector: u8) {
        let Some((index, entry)) = self.pick(selector) else { return };
        self.wheel.disarm(&mut self.pool, index);
        self.live.insert(index, Entry { deadline: None, ..entry });
    }

    fn advance(&mut self, mantissa: u8, exponent: u8) {
        self.now += u64::from(mantissa) << (exponent % 24);
        let mut expired = Vec::new();
        self.wheel.advance(&mut self.pool, self.now, &mut expired);
        expired.sort_unstable();
        let mut expected = Vec::new();
        for (&index, entry) in &mut self.live {
            if entry.deadline.is_some_and(|deadline| deadline <= self.now) {
                entry.deadline = None;
                expected.push(index);
            }
        }
        assert_eq!(expired, expected, "at tick {}", self.now);
    }

    fn check(&self) {
        assert_eq!(self.pool.len() as usize, self.live.len());
        assert_eq!(self.pool.is_full(), self.live.len() == SLOTS as usize);
        let mut live = self.pool.live().to_vec();
        live.sort_unstable();
        assert!(live.iter().eq(self.live.keys()));
        for (&index, entry) in &self.live {
            let slot = self.pool.get(SlotId { index, generation: entry.generation }).expect("live");
            assert_eq!((slot.ops, slot.deadline()), (entry.ops, entry.deadline));
        }
        let nearest = self.live.values().filter_map(|entry| entry.deadline).min();
        if let Some(nearest) = nearest {
            let expiry = self.wheel.next_expiry(self.now).expect("a deadline is armed");
            assert!(expiry <= nearest.max(self.now) && expiry >= self.now);
        }
    }
}
