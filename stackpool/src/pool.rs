//! The pool of connection slots.
//!
//! ```text
//! slots   [ 0 | 1 | 2 | 3 | 4 | 5 |          reserved, not yet committed           ]   capacity slots
//! order   [ 4   0   5 | 2   1   3 |                                                ]   a permutation of 0..committed
//!           live        free: the next to be acquired comes first
//! ```
//!
//! `order` is the live list and the free list in one. Acquire moves the border one to the right; release swaps the slot
//! with the last live one and moves the border to the left, so the slot released last, whose memory is hot, is acquired
//! next. Every slot knows its place in `order`, so that all of this is O(1).
//!
//! Both arrays are reserved whole at the start and grow only within that reservation: a slot never moves, and the system
//! commits its memory when it is first used.

use std::fmt;

use crate::limits::{SLOT_BYTES_MAX, SLOTS_MAX};
use crate::slot::{SlotState, StackSlot};

/// Names one use of one slot. A later use of the same slot has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId {
    /// Which slot; below the pool's capacity, so it fits 24 bits.
    pub index: u32,
    /// Which use of it; never 0.
    pub generation: u32,
}

/// Why a slot was not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseError {
    /// Operations are in flight; the slot stays as it is. Release it when the last of them has completed.
    InFlight {
        /// How many.
        ops: u16,
    },
    /// The slot has been released since, or never was acquired.
    Stale,
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReleaseError::InFlight { ops } => write!(f, "{ops} operations are in flight on the slot"),
            ReleaseError::Stale => f.write_str("the slot has been released since"),
        }
    }
}

impl std::error::Error for ReleaseError {}

/// A fixed number of connection slots in one array. `W` is the protocol's workspace in each slot.
///
/// ```
/// use sws_stackpool::{ReleaseError, StackPool};
///
/// let mut pool = StackPool::<[u64; 8]>::new(1024);
/// let id = pool.acquire().expect("a slot is free");
/// pool.get_mut(id).expect("live").ops = 1;
/// assert_eq!(pool.live(), [id.index]);
///
/// // No release while an operation is in flight.
/// assert_eq!(pool.release(id), Err(ReleaseError::InFlight { ops: 1 }));
/// pool.get_mut(id).expect("live").ops = 0;
/// assert_eq!(pool.release(id), Ok(()));
///
/// // The same slot, hot, under another generation; the old id finds nothing.
/// let next = pool.acquire().expect("a slot is free");
/// assert_eq!(next.index, id.index);
/// assert_ne!(next.generation, id.generation);
/// assert!(pool.get(id).is_none());
/// ```
pub struct StackPool<W> {
    slots: Vec<StackSlot<W>>,
    order: Vec<u32>,
    live: u32,
    high_water: u32,
    max: u32,
}

impl<W: Copy + Default> StackPool<W> {
    /// A pool of at most `max` slots. Address space for all of them is reserved, memory is committed with first use.
    ///
    /// # Panics
    ///
    /// If `max` is 0 or above [`SLOTS_MAX`]. A `W` that makes a slot larger than [`SLOT_BYTES_MAX`] does not compile.
    pub fn new(max: u32) -> Self {
        const { assert!(size_of::<StackSlot<W>>() <= SLOT_BYTES_MAX, "the workspace is too large") };
        assert!(max > 0 && max <= SLOTS_MAX, "a pool has 1 to {SLOTS_MAX} slots, not {max}");
        StackPool {
            slots: Vec::with_capacity(max as usize),
            order: Vec::with_capacity(max as usize),
            live: 0,
            high_water: 0,
            max,
        }
    }

    /// Takes a free slot, the one released last if there is any. `None` when the pool is full.
    ///
    /// Handles of the new slot are [`NONE`](crate::NONE), numbers 0, the workspace is its default, no deadline is armed.
    #[inline]
    pub fn acquire(&mut self) -> Option<SlotId> {
        if self.live == self.committed() {
            if self.is_full() {
                return None;
            }
            self.commit();
        }
        Some(self.open_next())
    }

    /// Takes the slot with this index, for a caller to whom something else (the kernel's choice of a direct descriptor)
    /// gave the index. `None` when it is not free or is not below the capacity.
    ///
    /// Commits every slot up to `index`, so it is O(1) for indices that are dense, as those of descriptors are.
    pub fn acquire_at(&mut self, index: u32) -> Option<SlotId> {
        if index >= self.max {
            return None;
        }
        while index >= self.committed() {
            self.commit();
        }
        if self.slots[index as usize].state != SlotState::Free {
            return None;
        }
        self.swap_order(self.slots[index as usize].live_position, self.live);
        Some(self.open_next())
    }

    /// Commits the first `n` slots (at most the capacity) ahead of their use, so that arriving connections meet no page
    /// fault.
    pub fn warmup(&mut self, n: u32) {
        while self.committed() < n.min(self.max) {
            self.commit();
        }
    }

    fn commit(&mut self) {
        let index = self.committed();
        self.slots.push(StackSlot::vacant(index));
        self.order.push(index);
    }

    fn open_next(&mut self) -> SlotId {
        let index = self.order[self.live as usize];
        let slot = &mut self.slots[index as usize];
        debug_assert_eq!((slot.state, slot.live_position), (SlotState::Free, self.live));
        slot.open();
        self.live += 1;
        self.high_water = self.high_water.max(self.live);
        SlotId { index, generation: slot.generation }
    }
}

impl<W> StackPool<W> {
    /// Gives a slot back. Its deadline is off from here on, and `id` is stale.
    ///
    /// # Errors
    ///
    /// [`ReleaseError::InFlight`] while the slot's `ops` is not zero, [`ReleaseError::Stale`] if `id` is not the current
    /// use of the slot. Either way nothing changes.
    #[inline]
    pub fn release(&mut self, id: SlotId) -> Result<(), ReleaseError> {
        let slot = self.get_mut(id).ok_or(ReleaseError::Stale)?;
        if slot.ops > 0 {
            return Err(ReleaseError::InFlight { ops: slot.ops });
        }
        slot.close();
        let position = slot.live_position;
        self.live -= 1;
        self.swap_order(position, self.live);
        Ok(())
    }

    fn swap_order(&mut self, a: u32, b: u32) {
        if a == b {
            return;
        }
        self.order.swap(a as usize, b as usize);
        for position in [a, b] {
            let index = self.order[position as usize];
            self.slots[index as usize].live_position = position;
        }
    }

    /// The slot, if `id` is its current use.
    #[inline]
    pub fn get(&self, id: SlotId) -> Option<&StackSlot<W>> {
        self.by_index(id.index).filter(|slot| slot.generation == id.generation)
    }

    /// The slot, if `id` is its current use.
    #[inline]
    pub fn get_mut(&mut self, id: SlotId) -> Option<&mut StackSlot<W>> {
        self.by_index_mut(id.index).filter(|slot| slot.generation == id.generation)
    }

    /// The slot with this index, if it is not free. For indices from [`live`](Self::live) and from the wheel, where no
    /// generation is at hand.
    #[inline]
    pub fn by_index(&self, index: u32) -> Option<&StackSlot<W>> {
        self.slots.get(index as usize).filter(|slot| slot.state != SlotState::Free)
    }

    /// The slot with this index, if it is not free.
    #[inline]
    pub fn by_index_mut(&mut self, index: u32) -> Option<&mut StackSlot<W>> {
        self.slots.get_mut(index as usize).filter(|slot| slot.state != SlotState::Free)
    }

    /// The id of the current use of the slot with this index, if it is not free.
    #[inline]
    pub fn id_of(&self, index: u32) -> Option<SlotId> {
        self.by_index(index).map(|slot| SlotId { index, generation: slot.generation })
    }

    /// The indices of all slots that are not free, in no particular order.
    ///
    /// A release moves the last one to the place of the released one, so a caller that releases while it walks by
    /// position goes from the end to the start.
    #[inline]
    pub fn live(&self) -> &[u32] {
        &self.order[..self.live as usize]
    }

    /// Slots that are not free.
    #[inline]
    pub fn len(&self) -> u32 {
        self.live
    }

    /// Whether all slots are free.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Whether no slot is free.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.live == self.max
    }

    /// The most slots the pool can hold.
    #[inline]
    pub fn capacity(&self) -> u32 {
        self.max
    }

    /// The most slots that were live at once.
    #[inline]
    pub fn high_water(&self) -> u32 {
        self.high_water
    }

    /// Slots whose memory has been committed, by use or by [`warmup`](Self::warmup).
    #[inline]
    pub fn committed(&self) -> u32 {
        self.slots.len() as u32
    }

    /// A committed slot in whatever state, for the wheel.
    #[inline]
    pub(crate) fn slot_mut(&mut self, index: u32) -> &mut StackSlot<W> {
        &mut self.slots[index as usize]
    }
}

impl<W> fmt::Debug for StackPool<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackPool")
            .field("len", &self.len())
            .field("capacity", &self.max)
            .field("high_water", &self.high_water)
            .field("committed", &self.committed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
