//! One piece for many connections: the end of what topics deliver.

use super::backlog::{bytes_max_of, can_take, window};
use super::handler::Workspace;
use super::{ConnId, Conns, flag};
use crate::core::Core;
use crate::topics::{Anchor, Anchors};
use bytes::Bytes;
use sws_stackpool::{NONE, StackPool};

impl Anchors for StackPool<Workspace> {
    #[inline]
    fn anchor(&self, slot: u32) -> Anchor {
        self.by_index(slot).map_or(Anchor::NONE, |slot| Anchor { list: slot.topic, place: slot.topic_place })
    }

    #[inline]
    fn set_anchor(&mut self, slot: u32, anchor: Anchor) {
        if let Some(slot) = self.by_index_mut(slot) {
            (slot.topic, slot.topic_place) = (anchor.list, anchor.place);
        }
    }
}

const _: () = assert!(Anchor::NONE.list == NONE, "a slot that is opened is in no list");

impl Conns {
    /// Whether messages may be queued for a connection.
    pub(crate) fn can_take(&self, id: ConnId) -> bool {
        self.slots.borrow().get(id).is_some_and(can_take)
    }

    /// Whether a connection subscribes to anything.
    #[inline]
    pub(crate) fn has_topics(&self, id: ConnId) -> bool {
        self.slots.borrow().get(id).is_some_and(|slot| slot.topic != NONE)
    }

    /// Whether a connection has missed messages, and gets none any more.
    #[inline]
    pub(crate) fn is_overflowed(&self, id: ConnId) -> bool {
        self.slots.borrow().get(id).is_some_and(|slot| slot.flags & flag::OVERFLOWED != 0)
    }

    /// Whether publications are no more for a connection.
    #[inline]
    pub(crate) fn is_muted(&self, id: ConnId) -> bool {
        self.slots.borrow().get(id).is_none_or(|slot| slot.flags & flag::MUTED != 0)
    }

    pub(crate) fn mute(&self, id: ConnId) {
        self.with(id, |slot| slot.flags |= flag::MUTED);
    }

    /// Queues `messages` whole messages that lie in one piece for each of these slots, by reference. Those that are behind, so that
    /// they have to get the messages one by one, are put into `slow`; those that take nothing any more are passed over.
    pub(crate) fn fan_out(
        &self,
        core: &Core,
        members: &[u32],
        piece: &Bytes,
        messages: usize,
        slow: &mut Vec<ConnId>,
    ) {
        if piece.is_empty() {
            return;
        }
        let mut slots = self.slots.borrow_mut();
        let mut outputs = self.outputs.borrow_mut();
        let mut buffers = self.buffers.borrow_mut();
        let mut dirty = self.dirty.borrow_mut();
        for &index in members {
            let Some(slot) = slots.by_index_mut(index).filter(|slot| can_take(slot)) else { continue };
            if slot.flags & (flag::OVERFLOWED | flag::MUTED) != 0 {
                continue;
            }
            let id = ConnId { index, generation: slot.generation() };
            if slot.backlog != NONE {
                slow.push(id);
                continue;
            }
            let bytes_max = bytes_max_of(core, slot.messages_bytes_max);
            let pending = match slot.output {
                NONE => 0,
                handle => outputs.values[handle as usize].pending(),
            };
            if pending + piece.len() > window(bytes_max) && (pending > 0 || messages > 1) {
                slow.push(id);
                continue;
            }
            if slot.output == NONE {
                slot.output = outputs.acquire();
            }
            if slot.flags & (flag::DIRTY | flag::SENDING) == 0 {
                slot.flags |= flag::DIRTY;
                dirty.push(id);
            }
            outputs.values[slot.output as usize].share(piece, &mut buffers);
        }
    }
}
