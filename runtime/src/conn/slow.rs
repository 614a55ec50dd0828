//! Peers that read slowly: what they take that no completion tells of.
//!
//! The kernel takes output as it has room, and it has room again only when a third of a full send buffer is confirmed. At a deadline
//! with output in flight it is asked how much is not confirmed, before the handler hears of the deadline: a peer that reads a few
//! kilobytes a second makes progress then, though nothing was sent.

use super::{ConnId, Conns, descriptor, flag, is_open};
use crate::core::Core;
use std::cell::RefCell;
use std::collections::HashMap;
use sws_rings::Op;

/// Bytes that peers had not confirmed at the last deadline, by their slots, with its generation.
#[derive(Default)]
pub(super) struct Unsent(RefCell<HashMap<u32, (u32, u32)>>);

impl Unsent {
    pub(super) fn of(&self, id: ConnId) -> u32 {
        let all = self.0.borrow();
        if all.is_empty() {
            return 0;
        }
        all.get(&id.index)
            .filter(|(generation, _)| *generation == id.generation)
            .map_or(0, |(_, bytes)| *bytes)
    }

    pub(super) fn forget(&self, id: ConnId) {
        let mut all = self.0.borrow_mut();
        if !all.is_empty() {
            all.remove(&id.index);
        }
    }
}

impl Conns {
    /// Asks how much of what was sent is not confirmed, at a deadline with a send in flight. False if none is.
    pub(super) fn ask_unsent(&self, core: &Core, id: ConnId) -> bool {
        let asked = self.with(id, |slot| {
            let is_sending = slot.flags & flag::SENDING != 0;
            slot.flags |= if is_sending { flag::ASKING } else { 0 };
            is_sending.then(|| descriptor(slot))
        });
        let Some(Some(descriptor)) = asked else { return false };
        self.submit_plain(core, id, Op::Unsent { descriptor });
        true
    }

    /// The answer: now the handler hears of its deadline, unless it has set another meanwhile.
    pub(super) fn on_unsent(&self, core: &Core, id: ConnId, result: Result<u32, i32>) {
        if let Ok(bytes) = result {
            self.unsent.0.borrow_mut().insert(id.index, (id.generation, bytes));
        }
        let is_due = self.with(id, |slot| {
            let is_due = slot.flags & flag::ASKING != 0 && is_open(slot);
            slot.flags &= !flag::ASKING;
            is_due
        });
        if is_due == Some(true) {
            self.call(core, id, |service, conn| service.on_deadline(conn));
        }
        if !self.is_open(id) {
            self.unsent.forget(id);
        }
        self.end_op(core, id);
    }
}
