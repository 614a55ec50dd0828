//! Whole messages that wait behind a connection's output, and what becomes of them when there are too many.
//!
//! The output of a connection is a stream of bytes: what is in it can no longer be dropped. So only a window of it is filled;
//! further messages wait here, each whole, and go into the output when that is sent. A slow peer's messages can then be
//! dropped or replaced one by one, and nothing that is sent is ever a part of one.

use super::{ConnId, Conns, SendError, Slot, flag, is_open};
use crate::core::Core;
use crate::limits::{OUTPUT_WINDOW, Overflow};
use crate::stats::count;
use crate::turn::guarded;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use sws_stackpool::NONE;

/// So many places are kept for the next connection that uses a backlog.
const PLACES_KEPT: usize = 64;

struct Waiting {
    frame: Bytes,
    /// 0 for a message that nothing replaces.
    key: u64,
}

/// The messages of one connection.
#[derive(Default)]
pub(super) struct Backlog {
    queue: VecDeque<Waiting>,
    bytes: usize,
    /// How many messages have left the queue at its front, ever: places in `latest` count from there.
    left: u64,
    /// Where the message with a key waits.
    latest: HashMap<u64, u64>,
}

impl Backlog {
    fn push(&mut self, frame: Bytes, key: u64) {
        if key != 0 {
            self.latest.insert(key, self.left + self.queue.len() as u64);
        }
        self.bytes += frame.len();
        self.queue.push_back(Waiting { frame, key });
    }

    fn pop(&mut self) -> Option<Bytes> {
        let Waiting { frame, key } = self.queue.pop_front()?;
        if key != 0 && self.latest.get(&key) == Some(&self.left) {
            self.latest.remove(&key);
        }
        self.left += 1;
        self.bytes -= frame.len();
        Some(frame)
    }

    /// Puts a message in the place of one with the same key; returns the one that was there.
    fn replace(&mut self, frame: &Bytes, key: u64) -> Option<Bytes> {
        let place = self.latest.get(&key)?.checked_sub(self.left)?;
        let waiting = self.queue.get_mut(usize::try_from(place).ok()?)?;
        self.bytes += frame.len();
        let before = std::mem::replace(&mut waiting.frame, frame.clone());
        self.bytes -= before.len();
        Some(before)
    }

    fn clear(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        self.left += self.queue.len() as u64;
        self.latest.clear();
        let frames = self.queue.drain(..).map(|waiting| waiting.frame).collect();
        self.queue.shrink_to(PLACES_KEPT);
        frames
    }
}

/// Bytes of output that are filled before messages wait.
pub(super) fn window(bytes_max: usize) -> usize {
    OUTPUT_WINDOW.min(bytes_max / 2)
}

/// What a message finds before it.
struct Place {
    handle: u32,
    pending: usize,
    bytes_max: usize,
    overflow: Overflow,
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

    /// Bytes of whole messages that wait behind the output.
    pub(super) fn backlog_bytes(&self, id: ConnId) -> usize {
        match self.with(id, |slot| slot.backlog) {
            None | Some(NONE) => 0,
            Some(handle) => self.backlogs.borrow().values[handle as usize].bytes,
        }
    }

    fn place_of(&self, core: &Core, id: ConnId) -> Result<Place, SendError> {
        let slots = self.slots.borrow();
        let slot = slots.get(id).filter(|slot| can_take(slot)).ok_or(SendError::Closed)?;
        if slot.flags & flag::OVERFLOWED != 0 && self.last_word.get() != Some(id) {
            return Err(SendError::Full);
        }
        let bytes_max = match slot.messages_bytes_max {
            0 => core.limits.output_bytes_max,
            max => max as usize,
        };
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
        let fits = place.pending == 0 || place.pending + len <= window(place.bytes_max);
        Ok(place.handle == NONE && fits)
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
        let fits = place.pending == 0 || place.pending + frame.len() <= window(place.bytes_max);
        if place.handle == NONE && fits {
            return self.push_shared(id, frame);
        }
        if place.handle == NONE {
            place.handle = self.backlogs.borrow_mut().acquire();
            self.with(id, |slot| slot.backlog = place.handle);
        }
        let overflow = overflow.unwrap_or(place.overflow);
        let mut gone = Vec::new();
        let result = self.enqueue(core, id, &place, (frame, key), overflow, &mut gone);
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
        overflow: Overflow,
        gone: &mut Vec<Bytes>,
    ) -> Result<(), SendError> {
        let mut backlogs = self.backlogs.borrow_mut();
        let backlog = &mut backlogs.values[place.handle as usize];
        let key = if overflow == Overflow::KeepLatest { key } else { 0 };
        if key != 0
            && let Some(before) = backlog.replace(frame, key)
        {
            count(&core.stats.messages_replaced);
            gone.push(before);
            return Ok(());
        }
        let is_full = |backlog: &Backlog| place.pending + backlog.bytes + frame.len() > place.bytes_max;
        if is_full(backlog) {
            match overflow {
                Overflow::Refuse => {
                    count(&core.stats.messages_refused);
                    return Err(SendError::Full);
                }
                Overflow::Close => {
                    count(&core.stats.closed_slow);
                    gone.extend(backlog.clear());
                    self.with(id, |slot| slot.flags |= flag::OVERFLOWED);
                    self.overflowed.borrow_mut().push(id);
                    return Err(SendError::Full);
                }
                Overflow::DropOldest | Overflow::KeepLatest => {
                    while is_full(backlog) {
                        let Some(oldest) = backlog.pop() else { break };
                        count(&core.stats.messages_dropped);
                        gone.push(oldest);
                    }
                    if is_full(backlog) && frame.len() > place.bytes_max {
                        count(&core.stats.messages_dropped);
                        return Err(SendError::Full);
                    }
                }
            }
        }
        backlog.push(frame.clone(), key);
        Ok(())
    }

    /// Moves messages that wait into the output of a connection, whose pieces are all sent. False when none waits.
    pub(super) fn refill(&self, core: &Core, id: ConnId, output: u32) -> bool {
        let Some((handle, bytes_max)) = self.with(id, |slot| (slot.backlog, slot.messages_bytes_max)) else {
            return false;
        };
        if handle == NONE {
            return false;
        }
        let bytes_max = if bytes_max == 0 { core.limits.output_bytes_max } else { bytes_max as usize };
        let mut backlogs = self.backlogs.borrow_mut();
        let backlog = &mut backlogs.values[handle as usize];
        let mut outputs = self.outputs.borrow_mut();
        let output = &mut outputs.values[output as usize];
        let mut buffers = self.buffers.borrow_mut();
        while let Some(front) = backlog.queue.front() {
            let fits = output.pending() == 0 || output.pending() + front.frame.len() <= window(bytes_max);
            match fits.then(|| backlog.pop()).flatten() {
                Some(frame) => output.append(frame, &mut buffers),
                None => break,
            }
        }
        if backlog.queue.is_empty() {
            backlog.clear();
            backlogs.release(handle);
            drop((outputs, buffers, backlogs));
            self.with(id, |slot| slot.backlog = NONE);
        }
        true
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
        backlog.push(frame("a1"), 1);
        backlog.push(frame("b1"), 2);
        assert_eq!(backlog.replace(&frame("a2..."), 1).as_deref(), Some(&b"a1"[..]));
        assert_eq!(backlog.bytes, 7);
        assert_eq!(backlog.pop().as_deref(), Some(&b"a2..."[..]));
        assert_eq!(backlog.replace(&frame("a3"), 1), None, "the one before has left");
        backlog.push(frame("a3"), 1);
        assert_eq!(backlog.pop().as_deref(), Some(&b"b1"[..]));
        assert_eq!(backlog.replace(&frame("a4"), 1).as_deref(), Some(&b"a3"[..]));
        assert_eq!((backlog.pop().as_deref(), backlog.bytes), (Some(&b"a4"[..]), 0));
        assert!(backlog.latest.is_empty() && backlog.pop().is_none());
    }

    #[test]
    fn a_cleared_backlog_forgets_its_keys() {
        let mut backlog = Backlog::default();
        backlog.push(frame("a1"), 1);
        assert_eq!(backlog.clear().len(), 1);
        assert_eq!(backlog.replace(&frame("a2"), 1), None);
        backlog.push(frame("a2"), 1);
        assert_eq!(backlog.replace(&frame("a3"), 1).as_deref(), Some(&b"a2"[..]));
    }
}
