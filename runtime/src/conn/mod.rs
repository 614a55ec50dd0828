//! Connections: slots, what they borrow, and the way of their bytes.
//!
//! ```text
//!            accept                      on_data            send                 flush
//!  listener ───────▶ slot ── recv ──▶ EventHandler ──▶ output queue ── send ──▶ kernel
//!                     │                  │ takes n bytes; the rest waits in the slot's input
//!                     ▼ close            ▼ or asks to be called again next turn
//!                 draining ── last completion ──▶ released
//! ```
//!
//! A receive and a send (and a cancel and a poll) may be in flight for one slot at once. Each is known by the op kind of
//! its token; the slot counts them, and is released when the count is zero and its descriptor is closed.

mod accept;
mod backlog;
mod blocks;
mod close;
mod fanout;
mod handler;
mod output;
mod pipe;
mod quiet;
mod receive;
mod service;
mod slow;

pub use handler::{Conn, Data, EventHandler, Held, with_conn};
pub use output::SendError;
pub use pipe::{Pipe, acquire_pipe};
pub use service::HandlerId;
pub use sws_stackpool::SlotId as ConnId;

use crate::core::Core;
use crate::limits::Limits;
use accept::Listener;
use backlog::Backlog;
use handler::Workspace;
use output::Output;
use pipe::Pipes;
use service::ServiceEntry;
use slow::Unsent;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use sws_rings::{Completion, Descriptor, Op, OpKind, Owner, Token};
use sws_stackpool::{SlotState, StackPool, StackSlot, TieredBuffers, Wheel, wheel};

/// What a slot's `flags` mean.
pub(crate) mod flag {
    /// The descriptor is an index of the ring's table.
    pub(crate) const DIRECT: u32 = 1;
    /// A receive is in flight.
    pub(crate) const RECEIVING: u32 = 1 << 1;
    /// Its cancellation is in flight.
    pub(crate) const CANCELLING: u32 = 1 << 2;
    /// A poll is in flight: the connection is quiet.
    pub(crate) const POLLING: u32 = 1 << 3;
    /// A send is in flight.
    pub(crate) const SENDING: u32 = 1 << 4;
    /// The slot is in the list of those with output.
    pub(crate) const DIRTY: u32 = 1 << 5;
    /// The slot is in the list of those with input left for the next turn.
    pub(crate) const LEFTOVER: u32 = 1 << 6;
    /// The input is full; receiving goes on when it was consumed.
    pub(crate) const PAUSED: u32 = 1 << 7;
    /// The peer has ended its side.
    pub(crate) const ENDED: u32 = 1 << 8;
    /// Close when the output is sent.
    pub(crate) const CLOSE_AFTER: u32 = 1 << 9;
    /// Then end our side first, and wait for the peer's end.
    pub(crate) const LINGER: u32 = 1 << 10;
    /// Our side is ended; what comes is discarded.
    pub(crate) const LINGERING: u32 = 1 << 11;
    /// The close was submitted.
    pub(crate) const CLOSING: u32 = 1 << 12;
    /// Something came since the last look for quiet connections.
    pub(crate) const ACTIVE: u32 = 1 << 13;
    /// The slot is in the list of those that wait for a provided buffer.
    pub(crate) const STARVED: u32 = 1 << 14;
    /// The slot is in the list of those to be torn down.
    pub(crate) const DOOMED: u32 = 1 << 15;
    /// Too much waited, and the handler is to be told; nothing more is queued.
    pub(crate) const OVERFLOWED: u32 = 1 << 16;
    /// Publications are not for the connection any more.
    pub(crate) const MUTED: u32 = 1 << 19;
    /// A deadline has passed, and its handler hears of it when the kernel has said how much is not confirmed.
    pub(crate) const ASKING: u32 = 1 << 20;
    /// Where an [`Overflow`](crate::Overflow) is kept.
    pub(crate) const OVERFLOW_SHIFT: u32 = 17;
    pub(crate) const OVERFLOW_MASK: u32 = 0b11 << OVERFLOW_SHIFT;
}

pub(crate) type Slot = StackSlot<Workspace>;

/// Bytes received and not consumed.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    start: usize,
}

/// Values that slots borrow, by number.
struct Lent<T> {
    values: Vec<T>,
    free: Vec<u32>,
}

impl<T: Default> Lent<T> {
    const fn new() -> Lent<T> {
        Lent { values: Vec::new(), free: Vec::new() }
    }

    fn acquire(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.values.push(T::default());
            self.values.len() as u32 - 1
        })
    }

    fn release(&mut self, number: u32) {
        self.free.push(number);
    }
}

/// All connections of a worker.
pub(crate) struct Conns {
    pub(crate) slots: RefCell<StackPool<Workspace>>,
    wheel: RefCell<Wheel>,
    services: RefCell<Vec<ServiceEntry>>,
    listeners: RefCell<Vec<Listener>>,
    inputs: RefCell<Lent<Input>>,
    outputs: RefCell<Lent<Output>>,
    backlogs: RefCell<Lent<Backlog>>,
    overflowed: RefCell<Vec<ConnId>>,
    /// The connection whose handler is being told that too much waited.
    last_word: Cell<Option<ConnId>>,
    pub(crate) buffers: RefCell<TieredBuffers>,
    pub(crate) pipes: Rc<Pipes>,
    unsent: Unsent,
    dirty: RefCell<Vec<ConnId>>,
    leftover: RefCell<VecDeque<ConnId>>,
    doomed: RefCell<VecDeque<ConnId>>,
    starved: RefCell<Vec<ConnId>>,
    expired: RefCell<Vec<u32>>,
    sweep: Cell<quiet::Sweep>,
}

impl Conns {
    pub(crate) fn new(limits: &Limits, slots_max: u32) -> Conns {
        Conns {
            slots: RefCell::new(StackPool::new(slots_max)),
            wheel: RefCell::new(Wheel::new(0)),
            services: RefCell::new(Vec::new()),
            listeners: RefCell::new(Vec::new()),
            inputs: RefCell::new(Lent::new()),
            outputs: RefCell::new(Lent::new()),
            backlogs: RefCell::new(Lent::new()),
            overflowed: RefCell::new(Vec::new()),
            last_word: Cell::new(None),
            pipes: Rc::default(),
            unsent: Unsent::default(),
            buffers: RefCell::new(TieredBuffers::new(
                limits.buffer_bytes_max,
                limits.buffer_bytes_cached_max,
            )),
            dirty: RefCell::new(Vec::new()),
            leftover: RefCell::new(VecDeque::new()),
            doomed: RefCell::new(VecDeque::new()),
            starved: RefCell::new(Vec::new()),
            expired: RefCell::new(Vec::new()),
            sweep: Cell::new(quiet::Sweep::default()),
        }
    }

    /// Whether a completion's slot is still the one it was submitted for.
    #[inline]
    pub(crate) fn is_live(&self, token: Token) -> bool {
        self.slots.borrow().get(id(token)).is_some()
    }

    /// Calls `f` with the slot, if the connection is still there.
    #[inline]
    pub(crate) fn with<R>(&self, id: ConnId, f: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        self.slots.borrow_mut().get_mut(id).map(f)
    }

    /// Whether the connection is open: not being torn down.
    #[inline]
    pub(crate) fn is_open(&self, id: ConnId) -> bool {
        self.slots.borrow().get(id).is_some_and(is_open)
    }

    /// Delivers a completion to its connection.
    #[inline]
    pub(crate) fn deliver(&self, core: &Core, completion: Completion) {
        let id = id(completion.token);
        match completion.token.kind() {
            OpKind::Recv => self.on_receive(core, id, completion),
            OpKind::Send | OpKind::Splice => self.on_sent(core, id, completion.result),
            OpKind::Poll => self.on_poll(core, id, completion.result, completion.more),
            OpKind::Close => self.on_closed(core, id),
            OpKind::Unsent => self.on_unsent(core, id, completion.result),
            OpKind::Cancel => {
                self.with(id, |slot| slot.flags &= !flag::CANCELLING);
                self.arm_receive(core, id);
                self.end_op(core, id);
            }
            _ => self.end_op(core, id),
        }
    }

    /// Submits an operation for a slot and counts it.
    ///
    /// # Safety
    /// As [`sws_rings::Ring::push`]: what the op names stays until its completion.
    unsafe fn submit(&self, core: &Core, id: ConnId, op: &Op) {
        self.with(id, |slot| slot.ops += 1);
        let token = Token::new(Owner::Slot, op.kind(), id.index, id.generation);
        // SAFETY: passed on.
        unsafe { core.ring.borrow_mut().push(op, token) };
    }

    /// Submits an operation that names no memory.
    fn submit_plain(&self, core: &Core, id: ConnId, op: Op) {
        // SAFETY: none of the operations passed here (receive into provided buffers, poll, cancel, shutdown, close, unsent bytes)
        // has memory of ours.
        unsafe { self.submit(core, id, &op) };
    }

    /// Counts a completion; when a closing slot's last one is in, its descriptor is closed.
    fn end_op(&self, core: &Core, id: ConnId) {
        let left = self.with(id, |slot| {
            slot.ops = slot.ops.saturating_sub(1);
            (slot.ops, slot.state())
        });
        if let Some((0, SlotState::Draining)) = left {
            self.close_descriptor(core, id);
        }
    }

    /// Sets, moves or clears the deadline of a connection.
    pub(crate) fn set_deadline(&self, core: &Core, id: ConnId, after: Option<std::time::Duration>) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(id) else { return };
        slot.flags &= !flag::ASKING;
        let mut timers = self.wheel.borrow_mut();
        match after {
            Some(after) => {
                let tick = wheel::tick_ceil(core.now().saturating_add(after)).min(wheel::TICK_MAX);
                timers.arm(&mut slots, id.index, tick);
            }
            None => timers.disarm(&mut slots, id.index),
        }
    }

    /// Tells handlers of the deadlines that have passed.
    pub(crate) fn expire(&self, core: &Core) {
        let mut expired = self.expired.take();
        self.wheel.borrow_mut().advance(
            &mut self.slots.borrow_mut(),
            wheel::tick_floor(core.now()),
            &mut expired,
        );
        for index in expired.drain(..) {
            let Some(id) = self.slots.borrow().id_of(index) else { continue };
            let lingering = self.with(id, |slot| slot.flags & flag::LINGERING != 0);
            match lingering {
                Some(true) => self.doom(id),
                Some(false) if self.is_open(id) && !self.ask_unsent(core, id) => {
                    self.call(core, id, |service, conn| service.on_deadline(conn))
                }
                _ => {}
            }
        }
        self.expired.replace(expired);
    }

    /// When the loop must look again for connections' sake.
    pub(crate) fn next_deadline(&self, core: &Core) -> Option<std::time::Duration> {
        let next = self.wheel.borrow().next_expiry(wheel::tick_floor(core.now())).map(wheel::tick_start);
        [next, self.next_sweep(core), self.next_accept_retry()].into_iter().flatten().min()
    }

    /// Whether some connection has something to do in the next turn already.
    pub(crate) fn has_leftover(&self) -> bool {
        !self.leftover.borrow().is_empty()
            || !self.doomed.borrow().is_empty()
            || !self.dirty.borrow().is_empty()
            || !self.overflowed.borrow().is_empty()
    }

    /// Connections open now, and the most there were.
    pub(crate) fn count(&self) -> (u32, u32) {
        let slots = self.slots.borrow();
        (slots.len(), slots.high_water())
    }

    /// The ids of all open connections of a service.
    pub(crate) fn ids_of(&self, service: u8) -> Vec<ConnId> {
        let slots = self.slots.borrow();
        let of_service = |&index: &u32| {
            let slot = slots.by_index(index)?;
            (slot.service == service && is_open(slot)).then(|| slots.id_of(index)).flatten()
        };
        slots.live().iter().filter_map(of_service).collect()
    }
}

fn id(token: Token) -> ConnId {
    ConnId { index: token.index(), generation: token.generation() }
}

/// Whether a slot's connection is open: not being torn down.
#[inline]
fn is_open(slot: &Slot) -> bool {
    slot.state() == SlotState::Live && slot.flags & flag::DOOMED == 0
}

fn descriptor(slot: &Slot) -> Descriptor {
    match slot.flags & flag::DIRECT {
        0 => Descriptor::Raw(slot.descriptor as i32),
        _ => Descriptor::Direct(slot.descriptor),
    }
}
