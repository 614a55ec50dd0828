//! The last numbers of idempotent producers. Pure.

use crate::segment::ProducerEntry;
use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;

/// The last record of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    sequence: u32,
    /// The first offset of the records that came together with it.
    first: u64,
    offset: u64,
    timestamp_ms: u64,
    /// When it was last seen, in order.
    seen: u64,
}

/// What a producer's number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// New: to be written.
    Next,
    /// Written before, and it is known where.
    Duplicate { offset: u64 },
    /// Written before; where is not known any more.
    Old,
    /// Numbers are missing.
    Gap { expected: u32 },
}

/// The producers of a partition, as many as may be remembered.
///
/// A batch has consecutive numbers and offsets, so the last record says where all of those are that came with it, and as far
/// back as the producer was alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Producers {
    known: HashMap<u64, Last>,
    /// What is on its way to the disk, each with its producer and in the order of offsets. It counts, but is taken back when it fails.
    pending: VecDeque<(u64, Last)>,
    /// The last of them of each producer.
    latest: HashMap<u64, Last>,
    seen: u64,
    max: usize,
}

impl Producers {
    pub(super) fn new(max: usize) -> Producers {
        Producers { max: max.max(1), ..Producers::default() }
    }

    /// What `count` records from this number on are. Numbers wrap around.
    pub(super) fn judge(&self, producer_id: u64, sequence: u32, count: u32) -> Verdict {
        let Some(last) = self.latest.get(&producer_id).or_else(|| self.known.get(&producer_id)) else {
            return Verdict::Next;
        };
        let expected = last.sequence.wrapping_add(1);
        if sequence == expected {
            return Verdict::Next;
        }
        // How many numbers before the last one it lies.
        let behind = last.sequence.wrapping_sub(sequence);
        if behind >= u32::MAX / 2 {
            return Verdict::Gap { expected };
        }
        // Only of what came together is it known that its records lie one behind the other.
        match last.offset.checked_sub(u64::from(behind)) {
            Some(offset) if behind.wrapping_add(1) == count && offset >= last.first => {
                Verdict::Duplicate { offset }
            }
            _ => Verdict::Old,
        }
    }

    /// Takes a record note of that is on its way.
    pub(super) fn push_pending(
        &mut self,
        producer_id: u64,
        sequence: u32,
        offsets: RangeInclusive<u64>,
        timestamp_ms: u64,
    ) {
        self.seen += 1;
        let (first, offset) = offsets.into_inner();
        let last = Last { sequence, first, offset, timestamp_ms, seen: self.seen };
        self.pending.push_back((producer_id, last));
        self.latest.insert(producer_id, last);
    }

    /// All below this offset is written.
    pub(super) fn commit(&mut self, next: u64) {
        while let Some((id, last)) = self.pending.pop_front_if(|(_, last)| last.offset < next) {
            self.known.insert(id, last);
            if self.latest.get(&id) == Some(&last) {
                self.latest.remove(&id);
            }
        }
        self.trim();
    }

    /// What was on its way is not written.
    pub(super) fn take_back(&mut self) {
        self.pending.clear();
        self.latest.clear();
    }

    /// Takes a record note of that was read.
    pub(super) fn push(&mut self, entry: ProducerEntry) {
        self.seen += 1;
        let ProducerEntry { producer_id, sequence, offset, timestamp_ms } = entry;
        // Records that follow each other in both numbers are as good as one batch.
        let before = self.known.get(&producer_id).filter(|before| {
            before.sequence.wrapping_add(1) == sequence && before.offset.checked_add(1) == Some(offset)
        });
        let first = before.map_or(offset, |before| before.first);
        self.known.insert(producer_id, Last { sequence, first, offset, timestamp_ms, seen: self.seen });
        self.trim();
    }

    /// Forgets those that were silent for longest, when there are twice as many as are to be remembered: not for each that comes.
    fn trim(&mut self) {
        if self.known.len() <= 2 * self.max {
            return;
        }
        let mut seen: Vec<u64> = self.known.values().map(|last| last.seen).collect();
        let excess = self.known.len() - self.max;
        let (_, &mut limit, _) = seen.select_nth_unstable(excess - 1);
        self.known.retain(|_, last| last.seen > limit);
    }

    /// What is written, as many as are to be remembered, the one that was silent for longest first.
    pub(super) fn snapshot(&self) -> Vec<ProducerEntry> {
        let mut all: Vec<(&u64, &Last)> = self.known.iter().collect();
        all.sort_by_key(|(_, last)| last.seen);
        let excess = all.len().saturating_sub(self.max);
        all.into_iter()
            .skip(excess)
            .map(|(&producer_id, last)| ProducerEntry {
                producer_id,
                sequence: last.sequence,
                offset: last.offset,
                timestamp_ms: last.timestamp_ms,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(producer_id: u64, sequence: u32, offset: u64) -> ProducerEntry {
        ProducerEntry { producer_id, sequence, offset, timestamp_ms: 0 }
    }

    #[test]
    fn numbers_are_new_old_or_missing() {
        let mut producers = Producers::new(10);
        assert_eq!(producers.judge(7, 100, 1), Verdict::Next, "an unknown one begins where it likes");
        for n in 0..3 {
            producers.push(entry(7, 100 + n, 48 + u64::from(n)));
        }
        assert_eq!(producers.judge(7, 103, 5), Verdict::Next);
        assert_eq!(producers.judge(7, 104, 1), Verdict::Gap { expected: 103 });
        assert_eq!(producers.judge(7, 102, 1), Verdict::Duplicate { offset: 50 });
        assert_eq!(producers.judge(7, 100, 3), Verdict::Duplicate { offset: 48 });
        assert_eq!(producers.judge(7, 90, 1), Verdict::Old);
    }

    #[test]
    fn what_was_never_sent_is_no_duplicate() {
        let mut producers = Producers::new(10);
        producers.push_pending(7, 5, 0..=0, 0);
        assert_eq!(producers.judge(7, 3, 3), Verdict::Old, "nothing lies before the first record");
        producers.push_pending(7, 6, 9..=9, 0);
        assert_eq!(producers.judge(7, 5, 2), Verdict::Old, "another's records lie between");
        assert_eq!(producers.judge(7, 6, 1), Verdict::Duplicate { offset: 9 });
    }

    #[test]
    fn numbers_wrap_around() {
        let mut producers = Producers::new(10);
        producers.push(entry(7, u32::MAX, 50));
        assert_eq!(producers.judge(7, 0, 1), Verdict::Next);
        producers.push(entry(7, 0, 51));
        producers.push(entry(7, 1, 52));
        assert_eq!(producers.judge(7, u32::MAX, 3), Verdict::Duplicate { offset: 50 });
        assert_eq!(producers.judge(7, 3, 1), Verdict::Gap { expected: 2 });
    }

    #[test]
    fn what_is_on_its_way_counts_until_it_fails() {
        let mut producers = Producers::new(10);
        producers.push(entry(7, 1, 10));
        producers.push_pending(7, 2, 11..=11, 0);
        producers.push_pending(8, 0, 12..=12, 0);
        assert_eq!(producers.judge(7, 2, 1), Verdict::Duplicate { offset: 11 });
        producers.commit(12);
        producers.take_back();
        assert_eq!(producers.judge(7, 3, 1), Verdict::Next);
        assert_eq!(producers.snapshot(), [entry(7, 2, 11)]);
    }

    #[test]
    fn of_two_on_their_way_the_first_stays_when_the_second_fails() {
        let mut producers = Producers::new(10);
        producers.push_pending(7, 1, 10..=10, 0);
        producers.push_pending(7, 2, 11..=11, 0);
        producers.commit(11);
        assert_eq!(producers.snapshot(), [entry(7, 1, 10)], "what is written is known");
        assert_eq!(
            producers.judge(7, 2, 1),
            Verdict::Duplicate { offset: 11 },
            "the second is still on its way"
        );
        producers.take_back();
        assert_eq!(producers.judge(7, 1, 1), Verdict::Duplicate { offset: 10 });
        assert_eq!(producers.judge(7, 2, 1), Verdict::Next);
    }

    #[test]
    fn the_silent_ones_are_forgotten() {
        let mut producers = Producers::new(3);
        for id in 1..=20 {
            producers.push_pending(id, 0, id..=id, 0);
            producers.commit(id + 1);
        }
        assert_eq!(
            producers.snapshot().iter().map(|entry| entry.producer_id).collect::<Vec<_>>(),
            [18, 19, 20]
        );
    }
}
