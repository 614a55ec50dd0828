//! One partition: its segments, what waits for the disk, and what readers see of it.
//!
//! ```text
//! low ─────────────────────────────────▶ visible ──────────▶ next
//! │ sealed │ sealed │ active              │ batch in flight │ queue
//!                             [ recent: in memory ]
//! ```

use super::chunk::Chunk;
use super::core::Core;
use super::error::ProduceError;
use super::maintain::Exclusive;
use super::options::{Acks, Flush, LogOptions, TopicConfig};
use super::producers::{Producers, Verdict};
use super::queue::{Ack, Answer, Queue};
use super::record::{Entry, ProduceOptions, Produced};
use super::segment_file::{Active, Sealed};
use super::wait::WaitList;
use crate::segment::{KEY_BYTES_MAX, RECORD_BYTES_MAX, RECORD_HEADER_BYTES};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sws_runtime::{Cancelled, current_fiber, park, try_go};

/// When a producer that was refused is to come again.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What is on the storage, as recovery found it and as it is kept up.
#[derive(Debug)]
pub(super) struct State {
    /// Full segments, the oldest first.
    pub(super) sealed: VecDeque<Rc<Sealed>>,
    pub(super) active: Option<Active>,
    /// One past the last offset that is in the files.
    pub(super) end: u64,
    /// One past the last offset that is on the disk.
    pub(super) durable: u64,
    pub(super) producers: Producers,
    /// Why nothing is taken in any more.
    pub(super) poison: Option<Arc<str>>,
    /// What was written last.
    pub(super) recent: VecDeque<Arc<Chunk>>,
    pub(super) recent_bytes: usize,
}

impl State {
    /// The oldest offset that is kept.
    pub(super) fn low(&self) -> u64 {
        let active = || self.active.as_ref().map_or(self.end, |active| active.header.base_offset);
        self.sealed.front().map_or_else(active, |segment| segment.base())
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        let active = self.active.as_ref().map_or(0, Active::position);
        self.sealed.iter().map(|segment| segment.size()).sum::<u64>() + active
    }
}

/// What a produce waits for, if it was taken in.
pub(super) enum Taken {
    /// Nothing.
    Done(Produced),
    /// Until all below this offset has got so far.
    Wait(Produced, u64),
}

/// How blocks are just being made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preparation {
    /// They are not.
    None,
    /// They are reserved: what is written there meanwhile stays.
    Reserving,
    /// They are written with zeros: nothing else may be written there.
    Zeroing,
}

/// One partition of a topic, on the worker that has the log.
pub(super) struct Partition {
    pub(super) topic: Arc<str>,
    /// The topic on which its records are published.
    pub(super) live_name: Arc<str>,
    pub(super) number: u32,
    pub(super) dir: PathBuf,
    pub(super) config: Rc<TopicConfig>,
    pub(super) state: RefCell<State>,
    pub(super) queue: RefCell<Queue>,
    /// One past the last offset that readers see.
    pub(super) visible: Cell<u64>,
    /// Those who wait for records.
    pub(super) arrivals: WaitList,
    /// Those who wait until nothing is on its way to the disk.
    pub(super) idle: WaitList,
    /// A preparation of blocks that is under way, and who waits for its end.
    pub(super) preparing: Cell<Preparation>,
    pub(super) prepared: WaitList,
    /// Whether somebody deletes or rewrites sealed segments, how many indexes are just being written, and who waits for either's end.
    pub(super) is_maintaining: Cell<bool>,
    pub(super) indexing: Cell<usize>,
    pub(super) maintained: WaitList,
    /// Whether the topic is gone.
    pub(super) is_deleted: Cell<bool>,
    /// Whether the log is closed.
    pub(super) is_closed: Cell<bool>,
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

impl Partition {
    pub(super) fn new(
        topic: Arc<str>,
        number: u32,
        dir: PathBuf,
        config: Rc<TopicConfig>,
        state: State,
    ) -> Partition {
        let last_timestamp_ms = state.active.as_ref().map_or(0, |active| active.tally.last_timestamp_ms);
        let last_timestamp_ms =
            state.sealed.iter().fold(last_timestamp_ms, |last, segment| match segment.damage {
                Some(_) => last,
                None => last.max(segment.last_timestamp_ms),
            });
        let queue = Queue::new(state.end, last_timestamp_ms);
        Partition {
            live_name: super::live_name(&topic, number).into(),
            topic,
            number,
            dir,
            config,
            visible: Cell::new(state.end),
            state: RefCell::new(state),
            queue: RefCell::new(queue),
            arrivals: WaitList::default(),
            idle: WaitList::default(),
            preparing: Cell::new(Preparation::None),
            prepared: WaitList::default(),
            is_maintaining: Cell::new(false),
            indexing: Cell::new(0),
            maintained: WaitList::default(),
            is_deleted: Cell::new(false),
            is_closed: Cell::new(false),
        }
    }

    /// Produces and waits on the calling fiber.
    pub(super) fn produce(
        self: &Rc<Self>,
        core: &Rc<Core>,
        entries: &[Entry<'_>],
        options: &ProduceOptions,
    ) -> Result<Produced, ProduceError> {
        let (produced, end) = match self.take_in(core, entries, options)? {
            Taken::Done(produced) => return Ok(produced),
            Taken::Wait(produced, end) => (produced, end),
        };
        let id = current_fiber().expect("producing waits, and only fibers do");
        let ack = self.queue.borrow_mut().push_fiber(end, options.acks, id);
        wait_for(&ack).map(|()| produced)
    }

    /// Produces, and has `answer` called when that is done. What is not taken in is returned instead.
    pub(super) fn produce_then(
        self: &Rc<Self>,
        core: &Rc<Core>,
        entries: &[Entry<'_>],
        options: &ProduceOptions,
        answer: impl FnOnce(Result<Produced, ProduceError>) + 'static,
    ) -> Result<(), ProduceError> {
        match self.take_in(core, entries, options)? {
            Taken::Done(produced) => answer(Ok(produced)),
            Taken::Wait(produced, end) => {
                let answer: Answer = Box::new(move |result| answer(result.map(|()| produced)));
                self.queue.borrow_mut().push_call(end, options.acks, answer);
            }
        }
        Ok(())
    }

    /// Gives records their offsets and puts them on their way.
    fn take_in(
        self: &Rc<Self>,
        core: &Rc<Core>,
        entries: &[Entry<'_>],
        options: &ProduceOptions,
    ) -> Result<Taken, ProduceError> {
        let bytes = check_size(entries)?;
        let mut state = self.state.borrow_mut();
        if self.is_deleted.get() {
            return Err(ProduceError::UnknownTopic);
        }
        if let Some(reason) = &state.poison {
            return Err(ProduceError::Poisoned { reason: Arc::clone(reason) });
        }
        let mut queue = self.queue.borrow_mut();
        // 0 is nobody's number.
        let producer = options.producer.filter(|number| number.producer_id != 0);
        if let Some(number) = producer {
            match state.producers.judge(number.producer_id, number.sequence, entries.len() as u32) {
                Verdict::Next => {}
                Verdict::Duplicate { offset } => {
                    let end = offset + entries.len() as u64;
                    let produced = Produced { partition: self.number, offset, duplicate: true };
                    let reached = if options.acks == Acks::Durable { state.durable } else { state.end };
                    if options.acks == Acks::None || end <= reached {
                        return Ok(Taken::Done(produced));
                    }
                    self.ensure_commit(core, &mut queue)?;
                    queue.push_sync();
                    return Ok(Taken::Wait(produced, end));
                }
                Verdict::Old => return Err(ProduceError::Duplicate),
                Verdict::Gap { expected } => return Err(ProduceError::OutOfSequence { expected }),
            }
        }
        if queue.bytes > 0 && queue.bytes + bytes > core.options.queue_bytes_max {
            return Err(ProduceError::Overloaded { retry_after: RETRY_AFTER });
        }
        self.ensure_commit(core, &mut queue)?;
        queue.reserve(entries.len(), bytes, core.options.batch_bytes_max);
        let now_ms = now_ms();
        let offset = queue.push(entries, producer, options.acks, state.durable, now_ms)?;
        if let Some(number) = producer {
            let last = entries.len() as u32 - 1;
            let sequence = number.sequence.wrapping_add(last);
            let offsets = offset..=offset + u64::from(last);
            state.producers.push_pending(number.producer_id, sequence, offsets, now_ms);
        }
        let produced = Produced { partition: self.number, offset, duplicate: false };
        Ok(match options.acks {
            Acks::None => Taken::Done(produced),
            Acks::Written | Acks::Durable => Taken::Wait(produced, offset + entries.len() as u64),
        })
    }

    /// Starts the fiber that writes, if there is none. It runs when this turn's requests have been read, so that they are one batch.
    fn ensure_commit(self: &Rc<Self>, core: &Rc<Core>, queue: &mut Queue) -> Result<(), ProduceError> {
        if !queue.is_committing {
            let (partition, core) = (Rc::clone(self), Rc::clone(core));
            let started = try_go("log commit", move || partition.commit(&core));
            started.ok_or(ProduceError::Overloaded { retry_after: RETRY_AFTER })?;
            queue.is_committing = true;
        }
        Ok(())
    }

    /// Waits until all that has come in is on the disk.
    pub(super) fn flush(self: &Rc<Self>, core: &Rc<Core>) -> Result<(), ProduceError> {
        let ack = {
            let state = self.state.borrow();
            if let Some(reason) = &state.poison {
                return Err(ProduceError::Poisoned { reason: Arc::clone(reason) });
            }
            let mut queue = self.queue.borrow_mut();
            if state.durable == queue.next {
                return Ok(());
            }
            self.ensure_commit(core, &mut queue)?;
            queue.push_sync();
            let id = current_fiber().expect("flushing waits, and only fibers do");
            let end = queue.next;
            queue.push_fiber(end, Acks::Durable, id)
        };
        wait_for(&ack)
    }

    /// Waits until nobody writes its files, which nobody does any more for as long as what this returns lives: it was deleted before.
    pub(super) fn come_to_rest(self: &Rc<Self>) -> Result<Exclusive, Cancelled> {
        let exclusive = Exclusive::acquire(self)?;
        while self.queue.borrow().is_committing {
            self.idle.wait("log delete")?;
        }
        self.await_preparation()?;
        exclusive.await_indexes()?;
        Ok(exclusive)
    }

    /// Whether readers see only what is on the disk.
    pub(super) fn is_synced(&self) -> bool {
        self.config.flush == Flush::EveryBatch
    }

    /// Keeps what was just written in memory, within the bounds of the partition and of all.
    pub(super) fn keep_recent(&self, state: &mut State, core: &Core, chunk: Arc<Chunk>) {
        let options: &LogOptions = &core.options;
        let weight = chunk.weight();
        state.recent.push_back(chunk);
        state.recent_bytes += weight;
        core.recent_bytes.set(core.recent_bytes.get() + weight);
        while state.recent_bytes > options.recent_bytes_max
            || (core.recent_bytes.get() > options.recent_bytes_total_max && !state.recent.is_empty())
        {
            let Some(oldest) = state.recent.pop_front() else { break };
            state.recent_bytes -= oldest.weight();
            core.recent_bytes.set(core.recent_bytes.get() - oldest.weight());
        }
    }

    /// Closes its files, so that their space is free when their names are gone.
    pub(super) fn close_files(&self, core: &Core) {
        let state = self.state.borrow();
        let active = state.active.as_ref().map(|active| active.id);
        for id in state.sealed.iter().map(|segment| segment.id).chain(active) {
            core.files.remove(id);
        }
    }

    /// Forgets what is in memory of it.
    pub(super) fn forget_recent(&self, core: &Core) {
        let mut state = self.state.borrow_mut();
        core.recent_bytes.set(core.recent_bytes.get() - state.recent_bytes);
        state.recent_bytes = 0;
        state.recent.clear();
    }
}

/// Waits on the calling fiber for what becomes of its records.
fn wait_for(ack: &Ack) -> Result<(), ProduceError> {
    loop {
        if let Some(result) = ack.borrow_mut().take() {
            return result;
        }
        let waited = park("log commit");
        if waited.is_err() && ack.borrow().is_none() {
            return Err(ProduceError::Cancelled);
        }
    }
}

/// The bytes that a batch will have, if it can be one.
fn check_size(entries: &[Entry<'_>]) -> Result<usize, ProduceError> {
    let mut bytes = 0;
    for entry in entries {
        let key = entry.key.map_or(0, <[u8]>::len);
        bytes += RECORD_HEADER_BYTES + key + entry.payload.len();
        if key > KEY_BYTES_MAX || bytes > RECORD_BYTES_MAX {
            return Err(ProduceError::Size);
        }
    }
    if bytes == 0 { Err(ProduceError::Size) } else { Ok(bytes) }
}
