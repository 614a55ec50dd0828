//! What waits for the disk, and who waits for it.

use super::chunk::Place;
use super::error::ProduceError;
use super::options::Acks;
use super::record::Entry;
use crate::segment::{NewRecord, encode_record};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use sws_runtime::{FiberId, unpark};

/// Encoded records that are written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) places: Vec<Place>,
    /// One past the last offset.
    pub(super) next: u64,
    pub(super) last_timestamp_ms: u64,
    /// Whether somebody wants it to be synced, or to hear that it is written.
    pub(super) wants_sync: bool,
    pub(super) wants_written: bool,
}

/// What a fiber that waits for an ack finds.
pub(super) type Ack = Rc<RefCell<Option<Result<(), ProduceError>>>>;

/// Called with what became of a record.
pub(super) type Answer = Box<dyn FnOnce(Result<(), ProduceError>)>;

enum Waiter {
    Fiber(FiberId, Ack),
    Call(Answer),
}

struct Pending {
    /// One past the last offset that is waited for.
    end: u64,
    acks: Acks,
    waiter: Waiter,
}

impl Waiter {
    fn end(self, result: Result<(), ProduceError>) {
        match self {
            Waiter::Fiber(id, ack) => {
                *ack.borrow_mut() = Some(result);
                unpark(id);
            }
            // A panic in it is the caller's: the others are told all the same.
            Waiter::Call(answer) => drop(catch_unwind(AssertUnwindSafe(|| answer(result)))),
        }
    }
}

/// The records of a partition on their way to the disk.
#[derive(Default)]
pub(super) struct Queue {
    batches: VecDeque<Batch>,
    /// Bytes that wait, and that are just being written.
    pub(super) bytes: usize,
    /// The offset of the next record that comes in.
    pub(super) next: u64,
    pub(super) last_timestamp_ms: u64,
    /// Whether a fiber is writing.
    pub(super) is_committing: bool,
    pending: VecDeque<Pending>,
}

impl Queue {
    /// Nothing waits; the next record has this offset.
    pub(super) fn new(next: u64, last_timestamp_ms: u64) -> Queue {
        Queue { next, last_timestamp_ms, ..Queue::default() }
    }

    /// Makes room for so many records: in the last batch, or in a new one if that has so many bytes.
    pub(super) fn reserve(&mut self, records: usize, bytes: usize, batch_bytes_max: usize) {
        if self.batches.back().is_none_or(|batch| batch.bytes.len() >= batch_bytes_max) {
            self.batches.push_back(Batch::default());
        }
        let batch = self.batches.back_mut().expect("one was just pushed");
        batch.bytes.reserve(bytes);
        batch.places.reserve(records);
    }

    /// Takes records in behind the others, as one atomic batch. `durable` is the offset below which all is on the disk.
    pub(super) fn push(
        &mut self,
        entries: &[Entry<'_>],
        producer: Option<super::ProducerNumber>,
        acks: Acks,
        durable: u64,
        now_ms: u64,
    ) -> Result<u64, ProduceError> {
        let batch = self.batches.back_mut().expect("there is room in one");
        let (begin, first) = (batch.bytes.len(), self.next);
        let mut last_timestamp_ms = self.last_timestamp_ms;
        for (number, entry) in entries.iter().enumerate() {
            let timestamp_ms = entry.timestamp_ms.unwrap_or(now_ms).max(last_timestamp_ms);
            let offset = first + number as u64;
            let at = batch.bytes.len() as u32;
            let record = NewRecord {
                offset,
                timestamp_ms,
                durable,
                producer_id: producer.map_or(0, |number| number.producer_id),
                sequence: producer.map_or(0, |producer| producer.sequence.wrapping_add(number as u32)),
                key: entry.key,
                payload: entry.payload,
                tombstone: entry.tombstone,
                more: number + 1 < entries.len(),
                text: entry.text,
            };
            if encode_record(&mut batch.bytes, &record).is_err() {
                batch.bytes.truncate(begin);
                batch.places.truncate(batch.places.len() - number);
                return Err(ProduceError::Size);
            }
            last_timestamp_ms = timestamp_ms;
            batch.places.push(Place { offset, at });
        }
        self.bytes += batch.bytes.len() - begin;
        self.next += entries.len() as u64;
        batch.next = self.next;
        self.last_timestamp_ms = last_timestamp_ms;
        batch.last_timestamp_ms = last_timestamp_ms;
        batch.wants_sync |= acks == Acks::Durable;
        batch.wants_written |= acks == Acks::Written;
        Ok(first)
    }

    /// Has what is written be synced, without a record.
    pub(super) fn push_sync(&mut self) {
        if self.batches.is_empty() {
            self.batches.push_back(Batch::default());
        }
        if let Some(batch) = self.batches.back_mut() {
            batch.wants_sync = true;
        }
    }

    /// Has a fiber wait until all below `end` has got that far.
    pub(super) fn push_fiber(&mut self, end: u64, acks: Acks, id: FiberId) -> Ack {
        let ack = Ack::default();
        self.push_waiter(end, acks, Waiter::Fiber(id, Rc::clone(&ack)));
        ack
    }

    /// Has a function called when all below `end` has got that far.
    pub(super) fn push_call(&mut self, end: u64, acks: Acks, answer: Answer) {
        self.push_waiter(end, acks, Waiter::Call(answer));
    }

    fn push_waiter(&mut self, end: u64, acks: Acks, waiter: Waiter) {
        // One that asks again for an older record waits with the last: the order stays that of offsets.
        let end = self.pending.back().map_or(end, |last| last.end.max(end));
        self.pending.push_back(Pending { end, acks, waiter });
    }

    /// The next batch to be written. Without one, committing ends.
    pub(super) fn pop(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front();
        self.is_committing = batch.is_some();
        batch
    }

    /// A batch of so many bytes is written.
    pub(super) fn release(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }
}

/// Those who wait for all below `next`, to be told when the queue is not borrowed any more.
#[must_use]
pub(super) struct Told(Vec<Waiter>, Result<(), ProduceError>);

impl Told {
    pub(super) fn tell(self) {
        for waiter in self.0 {
            waiter.end(self.1.clone());
        }
    }
}

impl Queue {
    /// All below `next` is written.
    pub(super) fn take_written(&mut self, next: u64) -> Told {
        let mut told = Vec::new();
        let mut kept = VecDeque::with_capacity(self.pending.len());
        for pending in self.pending.drain(..) {
            match pending.acks == Acks::Written && pending.end <= next {
                true => told.push(pending.waiter),
                false => kept.push_back(pending),
            }
        }
        self.pending = kept;
        Told(told, Ok(()))
    }

    /// All below `next` is on the disk.
    pub(super) fn take_durable(&mut self, next: u64) -> Told {
        let count = self.pending.iter().take_while(|pending| pending.end <= next).count();
        Told(self.pending.drain(..count).map(|pending| pending.waiter).collect(), Ok(()))
    }

    /// The fiber that writes has ended, by a panic.
    pub(super) fn stop(&mut self) {
        self.is_committing = false;
    }

    /// Nothing that waits will be written; the next record has the offset `next`.
    pub(super) fn fail(&mut self, next: u64, error: &ProduceError) -> Told {
        self.batches.clear();
        self.bytes = 0;
        self.next = next;
        Told(self.pending.drain(..).map(|pending| pending.waiter).collect(), Err(error.clone()))
    }
}
