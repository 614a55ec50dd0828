//! How a connection ends.
//!
//! ```text
//!  close ──▶ CLOSE_AFTER ── output sent ──▶ doom ──▶ on_close, Draining ── ops == 0 ──▶ close op ──▶ released
//!  close_lingering ──▶ … ── output sent ──▶ shutdown, LINGERING ── peer's end, or 2 s ──▶ doom ──▶ …
//!  abort, a broken socket ──────────────────────────────────────────────────────────────▶ doom ──▶ …
//! ```
//!
//! A slot is doomed from anywhere, also inside a callback; the tearing down is done by the loop between events, so that no
//! handler is called inside another call of itself.
//!
//! # Unsafe
//!
//! The operations with memory, the options of a socket, name statics.

use super::{ConnId, Conns, descriptor, flag, is_open};
use crate::core::Core;
use crate::limits::LINGER;
use crate::stats::count;
use sws_rings::{Op, OpKind, Owner, Span, Token};

const SHUT_WR: i32 = 1;

impl Conns {
    /// Closes when the output is sent.
    pub(super) fn close_after(&self, core: &Core, id: ConnId, linger: bool) {
        let idle = self.with(id, |slot| {
            if slot.flags & (flag::CLOSE_AFTER | flag::DOOMED) != 0 {
                return false;
            }
            slot.flags |= flag::CLOSE_AFTER | if linger { flag::LINGER } else { 0 };
            slot.output == sws_stackpool::NONE
        });
        if idle == Some(true) {
            self.finish_close(core, id);
        }
    }

    /// The output is sent: the close that waited for it goes on.
    pub(super) fn finish_close(&self, core: &Core, id: ConnId) {
        let flags = self.with(id, |slot| slot.flags).unwrap_or(0);
        if flags & flag::LINGERING != 0 {
            return;
        }
        if flags & flag::LINGER == 0 || flags & flag::ENDED != 0 {
            self.doom(id);
            return;
        }
        let descriptor = self.with(id, |slot| {
            slot.flags |= flag::LINGERING;
            descriptor(slot)
        });
        self.drop_input(id);
        self.with(id, |slot| slot.flags &= !flag::PAUSED);
        self.arm_receive(core, id);
        self.set_deadline(core, id, Some(LINGER));
        if let Some(descriptor) = descriptor {
            self.submit_plain(core, id, Op::Shutdown { descriptor, how: SHUT_WR });
        }
    }

    /// Marks a connection to be torn down by the loop.
    pub(super) fn doom(&self, id: ConnId) {
        let new = self.with(id, |slot| {
            let new = is_open(slot);
            slot.flags |= flag::DOOMED;
            new
        });
        if new == Some(true) {
            self.doomed.borrow_mut().push_back(id);
        }
    }

    /// Bounds what the kernel holds unsent.
    pub(super) fn limit_unsent(&self, core: &Core, id: ConnId) {
        static UNSENT_MAX: u32 = 64 * 1024;
        if let Some(descriptor) = self.with(id, |slot| descriptor(slot)) {
            let (level, name) = (libc::IPPROTO_TCP as u32, libc::TCP_NOTSENT_LOWAT as u32);
            let op = Op::SetSocketOption { descriptor, level, name, value: Span::of_value(&UNSENT_MAX) };
            // SAFETY: the value is static. A kernel without the operation refuses it, and nothing changes.
            unsafe { self.submit(core, id, &op) };
        }
    }

    /// Marks a connection to be torn down so that its peer sees a reset, not an end.
    pub(super) fn reset(&self, core: &Core, id: ConnId) {
        if !self.is_open(id) {
            return;
        }
        static AT_ONCE: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };
        if let Some(descriptor) = self.with(id, |slot| descriptor(slot)) {
            let (level, name) = (libc::SOL_SOCKET as u32, libc::SO_LINGER as u32);
            let op = Op::SetSocketOption { descriptor, level, name, value: Span::of_value(&AT_ONCE) };
            // SAFETY: the value is static. A kernel without the operation refuses it, and the peer sees an end.
            unsafe { self.submit(core, id, &op) };
        }
        self.doom(id);
    }

    /// Tears down what was marked: the handler is told, and everything in flight is ended.
    pub(crate) fn tear_down(&self, core: &Core) {
        loop {
            let Some(id) = self.doomed.borrow_mut().pop_front() else { break };
            self.call(core, id, |service, conn| service.on_close(conn));
            self.drop_input(id);
            self.drop_output(id);
            self.drop_backlog(id);
            self.unsent.forget(id);
            core.topics.leave_all(core, id);
            let Some((ops, flags)) = self.with(id, |slot| {
                slot.drain();
                (slot.ops, slot.flags)
            }) else {
                continue;
            };
            self.set_deadline(core, id, None);
            match ops {
                0 => self.close_descriptor(core, id),
                _ => self.cancel_all(core, id, flags),
            }
        }
    }

    /// Ends what is in flight, each by its token: the kernel finds that at once, where a cancellation by descriptor looks through
    /// every operation of the ring, a million of them with a million connections.
    fn cancel_all(&self, core: &Core, id: ConnId, flags: u32) {
        let sending = self.in_flight_kind(id);
        let in_flight =
            [(flag::RECEIVING, OpKind::Recv), (flag::POLLING, OpKind::Poll), (flag::SENDING, sending)];
        for (_, kind) in in_flight.into_iter().filter(|(flag, _)| flags & flag != 0) {
            let target = Token::new(Owner::Slot, kind, id.index, id.generation);
            self.submit_plain(core, id, Op::Cancel { target });
        }
    }

    /// Nothing is in flight any more.
    pub(super) fn close_descriptor(&self, core: &Core, id: ConnId) {
        let descriptor = self.with(id, |slot| {
            let first = slot.flags & flag::CLOSING == 0;
            slot.flags |= flag::CLOSING;
            first.then(|| descriptor(slot))
        });
        if let Some(Some(descriptor)) = descriptor {
            self.drop_output(id);
            self.submit_plain(core, id, Op::Close { descriptor });
        }
    }

    /// The descriptor is closed: the slot goes back to the pool.
    pub(super) fn on_closed(&self, core: &Core, id: ConnId) {
        self.with(id, |slot| slot.ops = slot.ops.saturating_sub(1));
        let released = self.slots.borrow_mut().release(id);
        debug_assert!(released.is_ok(), "a slot is closed when nothing is in flight: {released:?}");
        count(&core.stats.closed);
        self.resume_accepting(core);
    }

    /// Tells every open connection's handler that the worker drains.
    pub(crate) fn drain_all(&self, core: &Core) {
        for id in self.ids() {
            if self.is_open(id) {
                self.call(core, id, |service, conn| service.on_drain(conn));
            }
        }
    }

    /// Dooms all connections.
    pub(crate) fn abort_all(&self) {
        for id in self.ids() {
            self.doom(id);
        }
    }

    fn ids(&self) -> Vec<ConnId> {
        let slots = self.slots.borrow();
        slots.live().iter().filter_map(|&index| slots.id_of(index)).collect()
    }
}
