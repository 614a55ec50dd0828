//! Whole messages that wait behind a connection's output, and what becomes of them when there are too many.
//!
//! The output of a connection is a stream of bytes: what is in it can no longer be dropped. So only a window of it is filled;
//! further messages wait here, each whole, and go into the output when that is sent. A slow peer's messages can then be
//! dropped or replaced one by one, and nothing that is sent is ever a part of one.

use super::blocks::{BLOCK, Blocks};
use super::{ConnId, Conns, SendError, Slot, flag, is_open};
use crate::core::Core;
use crate::limits::{OUTPUT_WINDOW, Overflow};
use crate::stats::count;
use crate::turn::guarded;
use bytes::Bytes;
use std::collections::HashMap;
use std::hint::black_box;
use sws_stackpool::NONE;

/// So many gaps are left, and so many keys' places kept for the next connection that uses a backlog.
const PLACES_KEPT: usize = BLOCK;

/// What a message that waits counts beside its bytes.
const WAITING_BYTES: usize = 64;

struct Waiting {
    frame: Bytes,
    /// 0 for a message that nothing replaces.
    key: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is sent, or the connection ends.
    Firm,
    /// Its policy allows that it is dropped for others.
    Droppable,
    /// It was, and its place is left.
    Gone,
}

const _: () = assert!(size_of::<Waiting>() <= WAITING_BYTES);

/// The messages of one connection. The first place is never one that is gone.
#[derive(Default)]
pub(super) struct Backlog {
    queue: Blocks<Waiting>,
    /// What the messages count, and those of them that are firm.
    bytes: usize,
    firm_bytes: usize,
    /// How many places have left the queue at its front, ever: places in `latest` count from there.
    left: u64,
    /// No message before this place can be dropped.
    droppable_from: u64,
    /// Places whose messages are gone.
    gaps: usize,
    /// Where the message with a key waits.
    latest: HashMap<u64, u64>,
}

impl Backlog {
    fn push(&mut self, frame: Bytes, key: u64, is_droppable: bool) {
        if key != 0 {
            self.latest.insert(key, self.left + self.queue.len() as u64);
        }
        let bytes = frame.len() + WAITING_BYTES;
        self.bytes += bytes;
        self.firm_bytes += if is_droppable { 0 } else { bytes };
        let state = if is_droppable { State::Droppable } else { State::Firm };
        self.queue.push_back(Waiting { frame, key, state });
    }

    fn pop(&mut self) -> Option<Bytes> {
        let waiting = self.take(0)?;
        self.close_gaps();
        Some(waiting)
    }

    /// Takes the message out of its place, which is left as a gap.
    fn take(&mut self, at: usize) -> Option<Bytes> {
        let waiting = self.queue.get_mut(at)?;
        let frame = std::mem::take(&mut waiting.frame);
        let bytes = frame.len() + WAITING_BYTES;
        self.bytes -= bytes;
        self.firm_bytes -= if waiting.state == State::Firm { bytes } else { 0 };
        waiting.state = State::Gone;
        self.gaps += 1;
        let key = std::mem::take(&mut waiting.key);
        if key != 0 && self.latest.get(&key) == Some(&(self.left + at as u64)) {
            self.latest.remove(&key);
        }
        Some(frame)
    }

    /// Forgets gaps at the front, and all of them when they are most of the queue: O(1) for each message that has left one.
    fn close_gaps(&mut self) {
        while self.queue.front().is_some_and(|waiting| waiting.state == State::Gone) {
            self.queue.pop_front();
            (self.left, self.gaps) = (self.left + 1, self.gaps - 1);
        }
        if self.gaps > PLACES_KEPT.max(self.queue.len() / 2) {
            self.queue.retain(|waiting| waiting.state != State::Gone);
            (self.gaps, self.droppable_from) = (0, self.left);
            let keyed = self.queue.iter().enumerate().filter(|(_, waiting)| waiting.key != 0);
            let places = keyed.map(|(at, waiting)| (waiting.key, self.left + at as u64));
            self.latest.extend(places);
        }
    }

    /// Takes out the oldest message that can be dropped.
    fn drop_oldest(&mut self) -> Option<Bytes> {
        let from = usize::try_from(self.droppable_from.saturating_sub(self.left)).ok()?;
        let is_droppable = |waiting: &Waiting| waiting.state == State::Droppable;
        let behind = self.queue.iter_from(from).position(is_droppable);
        let at = behind.map_or(self.queue.len(), |behind| from + behind);
        self.droppable_from = self.left + at as u64;
        let frame = self.take(at)?;
        self.close_gaps();
        Some(frame)
    }

    /// Takes out the message with this key, for one that takes its place at the end.
    fn take_key(&mut self, key: u64) -> Option<Bytes> {
        let at = self.place_of(key)?;
        let frame = self.take(at)?;
        self.close_gaps();
        Some(frame)
    }

    fn place_of(&self, key: u64) -> Option<usize> {
        usize::try_from(self.latest.get(&key)?.checked_sub(self.left)?).ok()
    }

    /// Puts a message in the place of one with the same key, if there is one and no more than `bytes_max` waits then; returns the one
    /// that was there.
    fn replace(&mut self, frame: &Bytes, key: u64, bytes_max: usize) -> Option<Bytes> {
        let waiting = self.place_of(key).and_then(|at| self.queue.get_mut(at))?;
        let bytes = self.bytes - waiting.frame.len() + frame.len();
        if bytes > bytes_max && frame.len() > waiting.frame.len() {
            return None;
        }
        self.bytes = bytes;
        Some(std::mem::replace(&mut waiting.frame, frame.clone()))
    }

    /// Whether room for `len` bytes is left by those that cannot be dropped. One message that is within the bound by itself may wait
    /// alone, whatever is being sent before it.
    fn can_fit(&self, len: usize, pending: usize, bytes_max: usize) -> bool {
        pending + self.firm_bytes + len <= bytes_max || (self.firm_bytes == 0 && len <= bytes_max)
    }

    fn clear(&mut self) -> Vec<Bytes> {
        (self.bytes, self.firm_bytes, self.gaps) = (0, 0, 0);
        self.left += self.queue.len() as u64;
        self.latest.clear();
        self.latest.shrink_to(PLACES_KEPT);
        let messages = self.queue.take().filter(|waiting| waiting.state != State::Gone);
        messages.map(|waiting| waiting.frame).collect()
    }
}

/// Bytes of output that are filled before messages wait.
pub(super) fn window(bytes_max: usize) -> usize {
    OUTPUT_WINDOW.min(bytes_max / 2)
}

/// Whether messages under this policy may be dropped for others.
fn is_droppable(overflow: Overflow) -> bool {
    matches!(overflow, Overflow::DropOldest | Overflow::KeepLatest)
}

/// What a message finds before it.
struct Place {
    handle: u32,
    pending: usize,
    bytes_max: usize,
    overflow: Overflow,
}

impl Place {
    /// Whether a message of `len` bytes goes into the output, with nothing before it that waits.
    fn has_window(&self, len: usize) -> bool {
        self.handle == NONE && (self.pending == 0 || self.pending + len <= window(self.bytes_max))
    }
}

/// How much may wait for a connection: its own bound, or the worker's.
#[inline]
pub(super) fn bytes_max_of(core: &Core, own: u32) -> usize {
    if own == 0 { core.limits.output_bytes_max } else { own as usize }
}

impl Conns {
    /// Sets how much may wait for a connection, and what becomes of messages over that.
    pub(super) fn set_overflow(&self, id: ConnId, bytes_max: usize, overflow: Overflow) {
        self.with(id, |slot| {
            slot.messages_bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX);
            slot.flags &= !flag::OVERFLOW_MASK;
            slot.flags |= overflow.to_bits() << flag::OVERFLOW_SHIFT;
        });
    }

    /// Bytes of whole messages that wait behind the output, with what each counts beside them.
    pub(super) fn backlog_bytes(&self, id: ConnId) -> usize {
        match self.with(id, |slot| slot.backlog) {
            None | Some(NONE) => 0,
            Some(handle) => self.backlogs.borrow().values[handle as usize].bytes,
        }
    }

    /// Reads the ends of these connections' backlogs, at which each of them is used next. They lie far from each other: the processor
    /// waits for all of them at once, where one push after the other would wait for each.
    pub(crate) fn warm_backlogs(&self, ids: &[ConnId]) {
        let (slots, backlogs) = (self.slots.borrow(), self.backlogs.borrow());
        let handles = ids.iter().filter_map(|&id| slots.get(id).map(|slot| slot.backlog));
        for handle in handles.filter(|&handle| handle != NONE) {
            let queue = &backlogs.values[handle as usize].queue;
            let ends = [queue.front(), queue.back()];
            black_box(ends.map(|end| end.map(|waiting| (waiting.frame.len(), waiting.state))));
        }
    }

    fn place_of(&self, core: &Core, id: ConnId) -> Result<Place, SendError> {
        let slots = self.slots.borrow();
        let slot = slots.get(id).filter(|slot| can_take(slot)).ok_or(SendError::Closed)?;
        if slot.flags & flag::OVERFLOWED != 0 && self.last_word.get() != Some(id) {
            return Err(SendError::Full);
        }
        let bytes_max = bytes_max_of(core, slot.messages_bytes_max);
        let pending = match slot.output {
            NONE => 0,
            handle => self.outputs.borrow().values[handle as usize].pending(),
        };
        let overflow = Overflow::from_bits((slot.flags & flag::OVERFLOW_MASK) >> flag::OVERFLOW_SHIFT);
        Ok(Place { handle: slot.backlog, pending, bytes_max, overflow })
    }

    /// Whether a message of `len` bytes can be written into the output of a connection, with nothing before it that waits.
    pub(super) fn has_window(&self, core: &Core, id: ConnId, len: usize) -> Result<bool, SendError> {
        let place = self.place_of(core, id)?;
        Ok(place.has_window(len))
    }

    /// Queues a whole message. `key` is 0, or names what the message is the latest value of; `overflow` is what happens
    /// when too much waits, in place of the connection's own.
    pub(crate) fn push_message(
        &self,
        core: &Core,
        id: ConnId,
        frame: &Bytes,
        key: u64,
        overflow: Option<Overflow>,
    ) -> Result<(), SendError> {
        let mut place = self.place_of(core, id)?;
        if place.has_window(frame.len()) {
            return self.push_shared(id, frame);
        }
        let is_new = place.handle == NONE;
        if is_new {
            place.handle = self.backlogs.borrow_mut().acquire();
        }
        let mut gone = Vec::new();
        let result = self.enqueue(core, id, &place, (frame, key), overflow, &mut gone);
        // None is kept for nothing, such as a first message that was refused.
        let mut backlogs = self.backlogs.borrow_mut();
        let is_empty = backlogs.values[place.handle as usize].queue.is_empty();
        if is_empty {
            backlogs.release(place.handle);
        }
        drop(backlogs);
        if is_empty != is_new {
            self.with(id, |slot| slot.backlog = if is_empty { NONE } else { place.handle });
        }
        // Frames may have destructors of the user's, so they are dropped when nothing is borrowed.
        guarded(|| drop(gone));
        result
    }

    fn enqueue(
        &self,
        core: &Core,
        id: ConnId,
        place: &Place,
        (frame, key): (&Bytes, u64),
        overflow: Option<Overflow>,
        gone: &mut Vec<Bytes>,
    ) -> Result<(), SendError> {
        let overflow = overflow.unwrap_or(place.overflow);
        let mut backlogs = self.backlogs.borrow_mut();
        let backlog = &mut backlogs.values[place.handle as usize];
        let key = if overflow == Overflow::KeepLatest { key } else { 0 };
        let bytes_max = place.bytes_max;
        if key != 0
            && let Some(before) = backlog.replace(frame, key, bytes_max.saturating_sub(place.pending))
        {
            count(&core.stats.messages_replaced);
            gone.push(before);
            return Ok(());
        }
        let is_droppable = is_droppable(overflow);
        if is_droppable && frame.len() > bytes_max {
            count(&core.stats.messages_dropped);
            return Err(SendError::Full);
        }
        let can_fit = match is_droppable {
            true => backlog.can_fit(frame.len(), place.pending, bytes_max),
            false => place.pending + backlog.firm_bytes + frame.len() <= bytes_max,
        };
        if !can_fit {
            // What would be dropped for a topic's sake is, where others fill the bound, a message like theirs.
            return Err(match if is_droppable { place.overflow } else { overflow } {
                Overflow::Refuse => {
                    count(&core.stats.messages_refused);
                    SendError::Full
                }
                Overflow::Close => {
                    count(&core.stats.closed_slow);
                    gone.extend(backlog.clear());
                    self.with(id, |slot| slot.flags |= flag::OVERFLOWED);
                    self.overflowed.borrow_mut().push(id);
                    SendError::Full
                }
                Overflow::DropOldest | Overflow::KeepLatest => {
                    count(&core.stats.messages_dropped);
                    SendError::Full
                }
            });
        }
        if key != 0
            && let Some(before) = backlog.take_key(key)
        {
            count(&core.stats.messages_replaced);
            gone.push(before);
        }
        while place.pending + backlog.bytes + frame.len() > bytes_max
            && let Some(oldest) = backlog.drop_oldest()
        {
            count(&core.stats.messages_dropped);
            gone.push(oldest);
        }
        backlog.push(frame.clone(), key, is_droppable);
        Ok(())
    }

    /// Moves messages that wait into the output of a connection, whose pieces are all sent. Whether there is something to send then.
    pub(super) fn refill(&self, core: &Core, id: ConnId, output: u32) -> bool {
        let Some((handle, bytes_max)) = self.with(id, |slot| (slot.backlog, slot.messages_bytes_max)) else {
            return false;
        };
        if handle == NONE {
            return false;
        }
        let bytes_max = bytes_max_of(core, bytes_max);
        let mut backlogs = self.backlogs.borrow_mut();
        let backlog = &mut backlogs.values[handle as usize];
        let mut outputs = self.outputs.borrow_mut();
        let output = &mut outputs.values[output as usize];
        let mut buffers = self.buffers.borrow_mut();
        // Copied ones may have destructors of the user's, so they are dropped when nothing is borrowed.
        let mut copied = Vec::new();
        while let Some(front) = backlog.queue.front() {
            let fits = output.pending() == 0 || output.pending() + front.frame.len() <= window(bytes_max);
            match fits.then(|| backlog.pop()).flatten() {
                Some(frame) => copied.extend(output.append(frame, &mut buffers)),
                None => break,
            }
        }
        let has_output = output.pending() > 0;
        let is_empty = backlog.queue.is_empty();
        if is_empty {
            backlog.clear();
            backlogs.release(handle);
        }
        drop((outputs, buffers, backlogs));
        if is_empty {
            self.with(id, |slot| slot.backlog = NONE);
        }
        guarded(|| drop(copied));
        has_output
    }

    /// Releases the messages that wait for a connection.
    pub(super) fn drop_backlog(&self, id: ConnId) {
        let handle = self.with(id, |slot| std::mem::replace(&mut slot.backlog, NONE));
        if let Some(handle) = handle.filter(|&handle| handle != NONE) {
            let mut backlogs = self.backlogs.borrow_mut();
            let frames = backlogs.values[handle as usize].clear();
            backlogs.release(handle);
            drop(backlogs);
            guarded(|| drop(frames));
        }
    }

    /// Tells handlers of the connections that were too slow.
    pub(crate) fn tell_overflowed(&self, core: &Core) {
        while let Some(id) = { self.overflowed.borrow_mut().pop() } {
            self.drop_backlog(id);
            if self.is_open(id) {
                // Only what the handler says to its peer goes out now, behind what is being sent.
                self.last_word.set(Some(id));
                self.call(core, id, |service, conn| service.on_overflow(conn));
                self.last_word.set(None);
                self.with(id, |slot| slot.flags &= !flag::OVERFLOWED);
            }
        }
    }
}

/// Whether messages may be queued: the connection is open, and no end was asked for.
pub(super) fn can_take(slot: &Slot) -> bool {
    is_open(slot) && slot.flags & (flag::CLOSE_AFTER | flag::LINGERING) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn the_latest_of_a_key_takes_the_place_of_the_one_before() {
        let mut backlog = Backlog::default();
        let replace = |backlog: &mut Backlog, text, key| backlog.replace(&frame(text), key, 1000);
        backlog.push(frame("a1"), 1, true);
        backlog.push(frame("b1"), 2, true);
        assert_eq!(replace(&mut backlog, "a2...", 1).as_deref(), Some(&b"a1"[..]));
        assert_eq!(backlog.bytes, 7 + 2 * WAITING_BYTES);
        assert_eq!(backlog.pop().as_deref(), Some(&b"a2..."[..]));
        assert_eq!(replace(&mut backlog, "a3", 1), None, "the one before has left");
        backlog.push(frame("a3"), 1, true);
        assert_eq!(backlog.pop().as_deref(), Some(&b"b1"[..]));
        assert_eq!(replace(&mut backlog, "a4", 1).as_deref(), Some(&b"a3"[..]));
        assert_eq!((backlog.pop().as_deref(), backlog.bytes), (Some(&b"a4"[..]), 0));
        assert!(backlog.latest.is_empty() && backlog.pop().is_none());
    }

    #[test]
    fn nothing_grows_over_the_bound_in_its_place() {
        let mut backlog = Backlog::default();
        backlog.push(frame("a1"), 1, true);
        let bytes = backlog.bytes;
        assert_eq!(backlog.replace(&frame("a22"), 1, bytes), None);
        assert_eq!(backlog.replace(&frame("a2"), 1, bytes).as_deref(), Some(&b"a1"[..]));
        assert_eq!(backlog.replace(&frame("a"), 1, 0).as_deref(), Some(&b"a2"[..]), "smaller is better");
    }

    #[test]
    fn a_cleared_backlog_forgets_its_keys() {
        let mut backlog = Backlog::default();
        (1..=1000).for_each(|key| backlog.push(frame("a1"), key, true));
        assert_eq!(backlog.clear().len(), 1000);
        assert!(backlog.latest.capacity() < 1000 && backlog.queue.capacity() < 1000);
        assert_eq!(backlog.replace(&frame("a2"), 1, 1000), None);
        backlog.push(frame("a2"), 1, true);
        assert_eq!(backlog.replace(&frame("a3"), 1, 1000).as_deref(), Some(&b"a2"[..]));
    }

    /// Against a plain list, with a first message that is never sent: its followers' gaps are closed all the same.
    #[test]
    fn only_what_is_droppable_is_dropped_the_oldest_first() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut backlog = Backlog::default();
            let mut oracle: Vec<(Bytes, u64, bool)> = Vec::new();
            for step in 0..4000 {
                match random.u32(0..if step < 3000 { 9 } else { 30 }) {
                    0..4 => {
                        let (is_droppable, key) = (random.u32(0..8) > 0, random.u64(0..50));
                        let key = if is_droppable { key } else { 0 };
                        let text = frame(&format!("{step}"));
                        if key != 0 {
                            let known = oracle.iter().position(|waiting| waiting.1 == key);
                            let before = known.map(|at| oracle.remove(at).0);
                            assert_eq!(backlog.take_key(key), before);
                        }
                        backlog.push(text.clone(), key, is_droppable);
                        oracle.push((text, key, is_droppable));
                    }
                    4..8 => {
                        let oldest = oracle.iter().position(|waiting| waiting.2);
                        assert_eq!(backlog.drop_oldest(), oldest.map(|at| oracle.remove(at).0));
                    }
                    _ if step < 2000 => {}
                    _ => {
                        let first = (!oracle.is_empty()).then(|| oracle.remove(0).0);
                        assert_eq!(backlog.pop(), first);
                    }
                }
                let bytes = |firm: bool| {
                    let counted = oracle.iter().filter(|waiting| !firm || !waiting.2);
                    counted.map(|waiting| waiting.0.len() + WAITING_BYTES).sum::<usize>()
                };
                assert_eq!((backlog.bytes, backlog.firm_bytes), (bytes(false), bytes(true)));
                assert!(backlog.queue.len() <= 2 * oracle.len() + PLACES_KEPT + 2);
            }
            assert!(backlog.clear().into_iter().eq(oracle.into_iter().map(|waiting| waiting.0)));
        }
    }
}
