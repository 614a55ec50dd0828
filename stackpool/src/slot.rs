//! One connection slot, laid out by cache line.
//!
//! ```text
//! line 1    0..64   what every completion touches: descriptor, generation, flags, ops, state, handles, topic
//! line 2   64..128  time and lists: deadline, wheel links, live position, byte counters
//! line 3  128..     the workspace W of the protocol (64 bytes for a slot of 192)
//! ```
//!
//! Public fields are the runtime's and the protocol's to read and write. The others (generation, state, deadline, list
//! links) are written by [`StackPool`](crate::StackPool) and [`Wheel`](crate::Wheel) only, and read through methods.

use std::mem::{align_of, offset_of, size_of};

/// The handle that names nothing: no descriptor, no fiber, no buffer.
pub const NONE: u32 = u32::MAX;

/// The deadline of a slot that has none.
pub(crate) const NEVER: u64 = u64::MAX;

/// Where a slot is in its life.
///
/// ```text
/// Free --acquire--> Live --drain--> Draining
///   ^                |                 |
///   +----release-----+-----release-----+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotState {
    /// Owned by the pool.
    Free = 0,
    /// Holds a connection.
    Live = 1,
    /// Holds a connection that is being closed: nothing new may start, operations in flight are awaited.
    Draining = 2,
}

/// A connection slot: three cache lines when `W` has 64 bytes.
///
/// Slots live in a [`StackPool`](crate::StackPool) and are reached through it; a slot never moves while the pool lives.
///
/// ```
/// use sws_stackpool::{NONE, SlotState, StackPool, StackSlot};
///
/// assert_eq!(size_of::<StackSlot<[u64; 8]>>(), 192);
///
/// let mut pool = StackPool::<[u64; 8]>::new(16);
/// let id = pool.acquire().expect("an empty pool has a free slot");
/// let slot = pool.get_mut(id).expect("it was just acquired");
/// assert_eq!(slot.state(), SlotState::Live);
/// assert_eq!(slot.input, NONE);
/// slot.descriptor = 7;
/// slot.workspace[0] = 1;
/// ```
#[derive(Debug)]
#[repr(C, align(64))]
pub struct StackSlot<W> {
    // Line 1: what every completion touches.
    /// The connection's descriptor (direct or plain), [`NONE`] without one.
    pub descriptor: u32,
    pub(crate) generation: u32,
    /// A set of bits whose meaning the runtime owns.
    pub flags: u32,
    /// Operations in flight: the slot is not released before this is zero.
    pub ops: u16,
    pub(crate) state: SlotState,
    /// The service the connection belongs to; the runtime owns the numbering.
    pub service: u8,
    /// Handle of what was read and not consumed, or [`NONE`].
    pub input: u32,
    /// Handle of what waits to be sent, or [`NONE`].
    pub output: u32,
    /// Handle of the messages that wait behind the output, or [`NONE`].
    pub backlog: u32,
    /// The topic that the connection subscribes to, or [`NONE`]; the runtime owns the meaning.
    pub topic: u32,
    /// Its place among the subscribers of that topic.
    pub topic_place: u32,
    /// Bytes that may wait to be sent; 0 for the worker's own bound.
    pub messages_bytes_max: u32,
    _reserved_line_1: [u32; 6],

    // Line 2: time and lists.
    pub(crate) deadline: u64,
    pub(crate) wheel_next: u32,
    pub(crate) wheel_prev: u32,
    pub(crate) wheel_bucket: u32,
    pub(crate) live_position: u32,
    /// Bytes received since the connection was opened.
    pub bytes_in: u64,
    /// Bytes sent since the connection was opened.
    pub bytes_out: u64,
    _reserved_line_2: [u64; 3],

    // Line 3.
    /// The protocol's own state. [`Default`] when the slot is acquired.
    pub workspace: W,
}

impl<W: Default> StackSlot<W> {
    /// A slot that has never been used.
    pub(crate) fn vacant(live_position: u32) -> Self {
        StackSlot {
            descriptor: NONE,
            generation: 1,
            flags: 0,
            ops: 0,
            state: SlotState::Free,
            service: 0,
            input: NONE,
            output: NONE,
            backlog: NONE,
            topic: NONE,
            topic_place: 0,
            messages_bytes_max: 0,
            _reserved_line_1: [0; 6],
            deadline: NEVER,
            wheel_next: NONE,
            wheel_prev: NONE,
            wheel_bucket: NONE,
            live_position,
            bytes_in: 0,
            bytes_out: 0,
            _reserved_line_2: [0; 3],
            workspace: W::default(),
        }
    }

    /// Makes a free slot live, as if it had never been used, but for its generation and its wheel links: those may
    /// still be part of a bucket's list (see [`wheel`](crate::wheel)).
    pub(crate) fn open(&mut self) {
        debug_assert_eq!(self.ops, 0, "no slot is released while operations are in flight");
        self.descriptor = NONE;
        self.flags = 0;
        self.state = SlotState::Live;
        self.service = 0;
        self.input = NONE;
        self.output = NONE;
        self.backlog = NONE;
        self.topic = NONE;
        self.topic_place = 0;
        self.messages_bytes_max = 0;
        self.bytes_in = 0;
        self.bytes_out = 0;
        self.workspace = W::default();
    }
}

impl<W> StackSlot<W> {
    /// The generation under which the slot was acquired; never 0.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Where the slot is in its life.
    #[inline]
    pub fn state(&self) -> SlotState {
        self.state
    }

    /// Marks the connection as being closed. A slot that is draining already stays so.
    ///
    /// # Panics
    ///
    /// If the slot is free.
    #[inline]
    pub fn drain(&mut self) {
        assert!(self.state != SlotState::Free, "a free slot cannot be drained");
        self.state = SlotState::Draining;
    }

    /// The tick at which the slot expires, if a deadline is armed.
    #[inline]
    pub fn deadline(&self) -> Option<u64> {
        (self.deadline != NEVER).then_some(self.deadline)
    }

    /// The slot's place in [`StackPool::live`](crate::StackPool::live); meaningful for a slot that is not free.
    #[inline]
    pub fn live_position(&self) -> u32 {
        self.live_position
    }

    /// Ends the slot's use: the deadline is off, handles of this generation are stale. Zero is never a generation.
    pub(crate) fn close(&mut self) {
        self.state = SlotState::Free;
        self.deadline = NEVER;
        self.generation = self.generation.checked_add(1).unwrap_or(1);
    }
}

/// The layout that the module doc draws, for the workspace that the runtime uses.
const _: () = {
    type Slot = StackSlot<[u64; 8]>;
    assert!(size_of::<Slot>() == 192);
    assert!(align_of::<Slot>() == 64);
    assert!(offset_of!(Slot, descriptor) == 0);
    assert!(offset_of!(Slot, generation) == 4);
    assert!(offset_of!(Slot, flags) == 8);
    assert!(offset_of!(Slot, ops) == 12);
    assert!(offset_of!(Slot, state) == 14);
    assert!(offset_of!(Slot, service) == 15);
    assert!(offset_of!(Slot, input) == 16);
    assert!(offset_of!(Slot, output) == 20);
    assert!(offset_of!(Slot, backlog) == 24);
    assert!(offset_of!(Slot, topic) == 28);
    assert!(offset_of!(Slot, topic_place) == 32);
    assert!(offset_of!(Slot, messages_bytes_max) == 36);
    assert!(offset_of!(Slot, _reserved_line_1) == 40);
    assert!(offset_of!(Slot, deadline) == 64);
    assert!(offset_of!(Slot, wheel_next) == 72);
    assert!(offset_of!(Slot, wheel_prev) == 76);
    assert!(offset_of!(Slot, wheel_bucket) == 80);
    assert!(offset_of!(Slot, live_position) == 84);
    assert!(offset_of!(Slot, bytes_in) == 88);
    assert!(offset_of!(Slot, bytes_out) == 96);
    assert!(offset_of!(Slot, _reserved_line_2) == 104);
    assert!(offset_of!(Slot, workspace) == 128);
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints the layout (`--nocapture`) and holds it to having no hidden padding and no field across two lines.
    #[test]
    fn layout_is_three_lines_without_hidden_padding() {
        type Slot = StackSlot<[u64; 8]>;
        macro_rules! fields {
            ($slot:expr, $($name:ident)+) => { [$((stringify!($name), offset_of!(Slot, $name), size_of_val(&$slot.$name))),+] };
        }
        let slot = Slot::vacant(0);
        let fields = fields!(slot, descriptor generation flags ops state service input output backlog topic topic_place messages_bytes_max
            _reserved_line_1 deadline wheel_next wheel_prev wheel_bucket live_position bytes_in bytes_out
            _reserved_line_2 workspace);
        let mut end = 0;
        for (name, offset, size) in fields {
            println!("line {} | {offset:3} | {size:2} | {name}", offset / 64 + 1);
            assert_eq!(offset, end, "there is padding before {name}");
            assert_eq!(offset / 64, (offset + size - 1) / 64, "{name} lies across two lines");
            end = offset + size;
        }
        assert_eq!(end, size_of::<Slot>(), "there is padding at the end");
    }
}
