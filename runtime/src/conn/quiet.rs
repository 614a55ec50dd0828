//! Connections gone quiet are held by the cheaper kernel object.
//!
//! An armed receive costs the kernel about 864 bytes for each connection, a poll 256. A hand goes round over the live
//! connections, once in [`Limits::quiet_after`](crate::Limits::quiet_after): one that was not active since the hand's last
//! pass gets a poll in place of its receive, and its receive back when the poll tells of bytes. The hand rests while every
//! connection is quiet.

use super::{ConnId, Conns, descriptor, flag};
use crate::core::Core;
use crate::stats::count;
use std::time::Duration;
use sws_rings::Op;
use sws_stackpool::{NONE, SlotState};

/// Looks in one pass: so many that each takes little time.
const STEPS: u32 = 64;

/// Where the hand is.
#[derive(Clone, Copy, Default)]
pub(super) struct Sweep {
    position: usize,
    /// When it moves on.
    next: Duration,
    /// When this pass began.
    began: Duration,
    /// Whether the pass has met a connection with an armed receive; with none in a whole pass, the hand rests.
    armed: bool,
    resting: bool,
}

impl Conns {
    /// Moves the hand on, if it is time.
    pub(crate) fn sweep_quiet(&self, core: &Core) {
        let mut sweep = self.sweep.get();
        if sweep.resting || core.limits.quiet_after.is_zero() || core.now() < sweep.next {
            return;
        }
        sweep.next = core.now() + core.limits.quiet_after / STEPS;
        let live = self.slots.borrow().len() as usize;
        let share = live.div_ceil(STEPS as usize);
        for _ in 0..share {
            let id = {
                let slots = self.slots.borrow();
                let live = slots.live();
                if sweep.position >= live.len() {
                    break;
                }
                slots.id_of(live[sweep.position])
            };
            sweep.position += 1;
            if let Some(id) = id {
                sweep.armed |= self.look(core, id);
            }
        }
        if sweep.position >= self.slots.borrow().len() as usize {
            sweep.resting = !sweep.armed;
            sweep.next = sweep.began + core.limits.quiet_after;
            (sweep.position, sweep.armed, sweep.began) = (0, false, sweep.next);
        }
        self.sweep.set(sweep);
    }

    /// Hands a connection to a poll if it is quiet. Returns whether it has an armed receive still.
    fn look(&self, core: &Core, id: ConnId) -> bool {
        let busy = flag::SENDING
            | flag::CANCELLING
            | flag::PAUSED
            | flag::ENDED
            | flag::LEFTOVER
            | flag::CLOSE_AFTER
            | flag::DOOMED;
        let quiet = self.with(id, |slot| {
            let active = slot.flags & flag::ACTIVE != 0;
            slot.flags &= !flag::ACTIVE;
            let holds = slot.input != NONE || slot.output != NONE;
            let receiving = slot.flags & flag::RECEIVING != 0;
            (
                receiving && slot.state() == SlotState::Live && !active && !holds && slot.flags & busy == 0,
                receiving,
            )
        });
        match quiet {
            Some((true, _)) => {
                count(&core.stats.quieted);
                let descriptor = self.with(id, |slot| {
                    slot.flags |= flag::POLLING;
                    descriptor(slot)
                });
                self.cancel_receive(core, id);
                if let Some(descriptor) = descriptor {
                    let events = (libc::POLLIN | libc::POLLRDHUP) as u32;
                    self.submit_plain(core, id, Op::Poll { descriptor, events, multi: false });
                }
                false
            }
            Some((false, receiving)) => receiving,
            None => false,
        }
    }

    /// A quiet connection has something to read, or has ended: the receive will tell. One that takes no bytes has broken.
    pub(super) fn on_poll(&self, core: &Core, id: ConnId, result: Result<u32, i32>, more: bool) {
        const BROKEN: u32 = (libc::POLLERR | libc::POLLHUP) as u32;
        let deaf = self.with(id, |slot| {
            slot.flags |= flag::ACTIVE;
            if !more {
                slot.flags &= !flag::POLLING;
            }
            slot.flags & (flag::PAUSED | flag::ENDED) != 0
        });
        let (is_deaf, is_broken) = (deaf == Some(true), result.is_ok_and(|events| events & BROKEN != 0));
        if is_deaf && is_broken {
            self.doom(id);
        }
        if more {
            return;
        }
        // One that has told the end of the peer's side, and is over, would tell it again at once.
        if !is_deaf || is_broken || result.is_err() {
            self.arm_receive(core, id);
        }
        self.end_op(core, id);
    }

    /// There is an armed receive again.
    pub(super) fn wake_sweep(&self, core: &Core) {
        let mut sweep = self.sweep.get();
        if sweep.resting {
            sweep.resting = false;
            sweep.next = core.now() + core.limits.quiet_after / 2;
            sweep.began = sweep.next;
            self.sweep.set(sweep);
        }
    }

    pub(super) fn next_sweep(&self, core: &Core) -> Option<Duration> {
        let sweep = self.sweep.get();
        let on = !sweep.resting && !core.limits.quiet_after.is_zero() && !self.slots.borrow().is_empty();
        on.then_some(sweep.next)
    }
}
