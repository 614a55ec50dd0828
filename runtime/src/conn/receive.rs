//! The way of received bytes: from a completion to the handler, and what is kept in between.

use super::{ConnId, Conns, Data, Input, descriptor, flag};
use crate::core::Core;
use crate::stats::count;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use sws_rings::{Completion, Lease, Op, OpKind, Owner, Token};
use sws_stackpool::{NONE, SlotState};

impl Conns {
    /// A receive completed: bytes, the peer's end, or an error.
    pub(super) fn on_receive(&self, core: &Core, id: ConnId, completion: Completion) {
        let Completion { result, lease, more, .. } = completion;
        let Some((flags, state)) = self.with(id, |slot| {
            slot.flags |= flag::ACTIVE;
            if !more {
                slot.flags &= !flag::RECEIVING;
            }
            (slot.flags, slot.state())
        }) else {
            return;
        };
        if state == SlotState::Live && flags & flag::DOOMED == 0 {
            match (result, lease) {
                (Ok(len @ 1..), Some(lease)) => self.on_bytes(core, id, len, lease),
                (Ok(_), _) => self.on_peer_end(core, id),
                (Err(errno), _) => self.on_receive_error(core, id, errno),
            }
        }
        if !more {
            self.arm_receive(core, id);
            self.end_op(core, id);
        }
    }

    fn on_bytes(&self, core: &Core, id: ConnId, len: u32, lease: Lease) {
        let (flags, input) = self
            .with(id, |slot| {
                slot.bytes_in += u64::from(len);
                (slot.flags, slot.input)
            })
            .unwrap_or((flag::LINGERING, NONE));
        if flags & (flag::LINGERING | flag::CLOSE_AFTER) != 0 {
            return;
        }
        if input != NONE || flags & (flag::LEFTOVER | flag::PAUSED) != 0 {
            self.keep(core, id, &lease);
            if flags & flag::LEFTOVER == 0 {
                self.give_input(core, id);
            }
            return;
        }
        let Some(number) = self.with(id, |slot| slot.service) else { return };
        let data = Data { bytes: &lease, lease: Some(&lease) };
        let taken = self.service(number).borrow_mut().on_data((core, id), &data);
        if taken < lease.len() {
            self.keep(core, id, &lease[taken..]);
        }
    }

    fn on_peer_end(&self, core: &Core, id: ConnId) {
        let flags = self.with(id, |slot| {
            slot.flags |= flag::ENDED;
            slot.flags
        });
        match flags {
            Some(flags) if flags & flag::LINGERING != 0 => self.doom(id),
            Some(_) => self.call(core, id, |service, conn| service.on_end(conn)),
            None => {}
        }
    }

    /// ENOBUFS: the buffers are used up; armed again when there are some. ECANCELED: our own cancellation, or the
    /// kernel's end of a multishot. EINTR, EAGAIN: nothing. Anything else: the connection is broken.
    fn on_receive_error(&self, core: &Core, id: ConnId, errno: i32) {
        match errno {
            libc::ENOBUFS => {
                count(&core.stats.starved);
                self.with(id, |slot| slot.flags |= flag::STARVED);
                self.starved.borrow_mut().push(id);
            }
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
            _ => self.doom(id),
        }
    }

    /// Has a receive in flight for every connection that can take bytes, and a poll instead for one gone quiet.
    pub(super) fn arm_receive(&self, core: &Core, id: ConnId) {
        let not_now = flag::RECEIVING
            | flag::POLLING
            | flag::CANCELLING
            | flag::PAUSED
            | flag::ENDED
            | flag::STARVED
            | flag::DOOMED;
        let descriptor = self.with(id, |slot| {
            let arm = slot.flags & not_now == 0 && slot.state() == SlotState::Live;
            arm.then(|| {
                slot.flags |= flag::RECEIVING;
                descriptor(slot)
            })
        });
        if let Some(Some(descriptor)) = descriptor {
            self.submit_plain(core, id, Op::RecvMulti { descriptor });
            self.wake_sweep(core);
        } else {
            self.arm_hangup(core, id);
        }
    }

    /// A connection that is open and takes no bytes, because its input is full or its peer has ended its side, has a poll in
    /// flight for nothing but an error or a hang-up: a reset is noticed, and its handler cancelled. The kernel also tells the end of the
    /// peer's side, asked or not, and at once where it has come: so the poll goes on behind that instead of being armed again.
    fn arm_hangup(&self, core: &Core, id: ConnId) {
        let not_now = flag::RECEIVING
            | flag::POLLING
            | flag::CANCELLING
            | flag::STARVED
            | flag::LINGERING
            | flag::DOOMED;
        let descriptor = self.with(id, |slot| {
            let deaf = slot.flags & (flag::PAUSED | flag::ENDED) != 0;
            let arm = deaf && slot.flags & not_now == 0 && slot.state() == SlotState::Live;
            arm.then(|| {
                slot.flags |= flag::POLLING;
                descriptor(slot)
            })
        });
        if let Some(Some(descriptor)) = descriptor {
            self.submit_plain(core, id, Op::Poll { descriptor, events: 0, multi: true });
        }
    }

    /// Ends the receive that is in flight; its completions are taken as before.
    pub(super) fn cancel_receive(&self, core: &Core, id: ConnId) {
        let kind = self.with(id, |slot| {
            if slot.flags & flag::CANCELLING != 0 {
                return None;
            }
            let kind = match slot.flags & (flag::RECEIVING | flag::POLLING) {
                0 => None,
                flag::POLLING => Some(OpKind::Poll),
                _ => Some(OpKind::Recv),
            };
            if kind.is_some() {
                slot.flags |= flag::CANCELLING;
            }
            kind
        });
        if let Some(Some(kind)) = kind {
            let target = Token::new(Owner::Slot, kind, id.index, id.generation);
            self.submit_plain(core, id, Op::Cancel { target });
        }
    }

    /// Arms the receives that had found no buffer, when there are buffers.
    pub(crate) fn feed_starved(&self, core: &Core) {
        if self.starved.borrow().is_empty() {
            return;
        }
        let available = core.ring.borrow().buffers().is_some_and(|buffers| buffers.available() > 0);
        if available {
            // As many as there are buffers: the others would only find none again.
            let mut starved = self.starved.take();
            let buffers = core.ring.borrow().buffers().map_or(0, |buffers| usize::from(buffers.available()));
            let rest = starved.split_off(starved.len().min(buffers));
            self.starved.replace(rest);
            for id in starved {
                self.with(id, |slot| slot.flags &= !flag::STARVED);
                self.arm_receive(core, id);
            }
        }
    }

    /// Appends to the input of a slot; over the bound, receiving pauses.
    fn keep(&self, core: &Core, id: ConnId, bytes: &[u8]) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(id) else { return };
        let mut inputs = self.inputs.borrow_mut();
        if slot.input == NONE {
            slot.input = inputs.acquire();
        }
        let input = &mut inputs.values[slot.input as usize];
        if input.bytes.capacity() == 0 {
            input.bytes = self.buffers.borrow_mut().acquire(bytes.len()).unwrap_or_default();
        }
        if input.start > 0 && input.bytes.len() + bytes.len() > input.bytes.capacity() {
            input.bytes.drain(..input.start);
            input.start = 0;
        }
        self.append(&mut input.bytes, bytes);
        let full = input.bytes.len() - input.start > core.limits.input_bytes_max;
        if full && slot.flags & flag::PAUSED == 0 {
            slot.flags |= flag::PAUSED;
            drop(inputs);
            drop(slots);
            self.cancel_receive(core, id);
        }
    }

    /// Appends within the buffer's class, or moves to a larger buffer.
    fn append(&self, buffer: &mut Vec<u8>, bytes: &[u8]) {
        let needed = buffer.len() + bytes.len();
        if needed > buffer.capacity() {
            let mut pool = self.buffers.borrow_mut();
            let mut larger =
                pool.acquire(needed).unwrap_or_else(|| Vec::with_capacity(needed.next_power_of_two()));
            larger.extend_from_slice(buffer);
            pool.release(std::mem::replace(buffer, larger));
        }
        buffer.extend_from_slice(bytes);
    }

    /// Calls the handler with the input that waits.
    pub(super) fn give_input(&self, core: &Core, id: ConnId) {
        let Some(Some((number, handle))) =
            self.with(id, |slot| (slot.input != NONE).then_some((slot.service, slot.input)))
        else {
            return;
        };
        let mut input = std::mem::take(&mut self.inputs.borrow_mut().values[handle as usize]);
        let data = Data { bytes: &input.bytes[input.start..], lease: None };
        let taken = self.service(number).borrow_mut().on_data((core, id), &data);
        input.start += taken;
        // A handler that was just called may need more than half of the bound for its next step.
        self.put_input(core, id, handle, input, core.limits.input_bytes_max);
    }

    /// Puts input back after somebody has taken of it, and goes on receiving if no more than `resume_max` is left.
    fn put_input(&self, core: &Core, id: ConnId, handle: u32, input: Input, resume_max: usize) {
        let left = input.bytes.len() - input.start;
        // A close inside of the callback has given the handle back already, and another connection may have it.
        let holds = self.with(id, |slot| slot.input == handle) == Some(true);
        let mut inputs = self.inputs.borrow_mut();
        if !holds {
            self.buffers.borrow_mut().release(input.bytes);
        } else if left == 0 {
            self.buffers.borrow_mut().release(input.bytes);
            inputs.release(handle);
            self.with(id, |slot| slot.input = NONE);
        } else {
            inputs.values[handle as usize] = input;
        }
        drop(inputs);
        let resume = self.with(id, |slot| {
            let resume = slot.flags & flag::PAUSED != 0 && left <= resume_max;
            if resume {
                slot.flags &= !flag::PAUSED;
            }
            resume
        });
        match resume {
            // Its end arms the receive.
            Some(true) if self.with(id, |slot| slot.flags & flag::POLLING != 0) == Some(true) => {
                self.cancel_receive(core, id);
            }
            Some(true) => self.arm_receive(core, id),
            Some(false) | None => {}
        }
    }

    /// Gives the input that waits to `f`, outside of a callback of the handler.
    pub(super) fn take_input(&self, core: &Core, id: ConnId, f: impl FnOnce(&[u8]) -> usize) -> usize {
        let Some(handle) = self.with(id, |slot| slot.input).filter(|&handle| handle != NONE) else {
            return 0;
        };
        let mut input = std::mem::take(&mut self.inputs.borrow_mut().values[handle as usize]);
        if input.bytes.is_empty() {
            // A callback further down the stack has it in its hands.
            return 0;
        }
        let there = input.bytes.len() - input.start;
        // Nothing is borrowed meanwhile, and the input goes back whatever `f` does, whole if it panics or takes too much.
        let outcome = catch_unwind(AssertUnwindSafe(|| f(&input.bytes[input.start..])));
        input.start += outcome.as_ref().ok().filter(|&&taken| taken <= there).unwrap_or(&0);
        self.put_input(core, id, handle, input, core.limits.input_bytes_max / 2);
        let taken = outcome.unwrap_or_else(|payload| resume_unwind(payload));
        assert!(taken <= there, "more bytes taken than there are");
        taken
    }

    pub(super) fn pending_input(&self, id: ConnId) -> usize {
        match self.with(id, |slot| slot.input) {
            None | Some(NONE) => 0,
            Some(handle) => {
                let inputs = self.inputs.borrow();
                let input = &inputs.values[handle as usize];
                input.bytes.len() - input.start
            }
        }
    }

    /// Puts the connection in line for the next turn.
    pub(super) fn defer_input(&self, id: ConnId) {
        let new = self.with(id, |slot| {
            let new = slot.flags & flag::LEFTOVER == 0;
            slot.flags |= flag::LEFTOVER;
            new
        });
        if new == Some(true) {
            self.leftover.borrow_mut().push_back(id);
        }
    }

    /// Calls the handlers of connections whose input was left over by the turn before.
    pub(crate) fn give_leftover(&self, core: &Core) {
        let count = self.leftover.borrow().len();
        for _ in 0..count {
            let Some(id) = self.leftover.borrow_mut().pop_front() else { break };
            self.with(id, |slot| slot.flags &= !flag::LEFTOVER);
            if self.is_open(id) {
                self.give_input(core, id);
            }
        }
    }

    /// Releases the input of a slot that is torn down.
    pub(super) fn drop_input(&self, id: ConnId) {
        let handle = self.with(id, |slot| std::mem::replace(&mut slot.input, NONE));
        if let Some(handle) = handle.filter(|&handle| handle != NONE) {
            let mut inputs = self.inputs.borrow_mut();
            let input = std::mem::take(&mut inputs.values[handle as usize]);
            self.buffers.borrow_mut().release(input.bytes);
            inputs.release(handle);
        }
    }
}
