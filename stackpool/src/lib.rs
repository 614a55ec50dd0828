//! Connection slots, deadlines and buffer pools: the memory of a worker that holds very many connections.
//!
//! This crate knows nothing of kernels, fibers or protocols. It is made of four pure parts (no IO, no clock, no unsafe):
//!
//! | part | what it is |
//! |---|---|
//! | [`StackPool`] | one contiguous array of [`StackSlot`]s, O(1) acquire, release and live iteration, a generation per slot |
//! | [`Wheel`] | one deadline per slot, exact to a tick, armed by writing one field in the usual case |
//! | [`TieredBuffers`] | write buffers in 8 classes from 512 B to 64 KB, bounded, trimmed, counted |
//! | [`LargePool`] | 1 MB blocks for large bodies, bounded, trimmed, counted |
//!
//! An idle connection owns its slot and nothing else: with a 64-byte workspace that is 192 bytes, three cache lines.

#![forbid(unsafe_code)]

pub mod buffers;
pub mod large;
pub mod limits;
pub mod pool;
pub mod slot;
pub mod wheel;

pub use buffers::{Stats, TieredBuffers};
pub use large::{LargeBlock, LargePool, LargeStats};
pub use pool::{ReleaseError, SlotId, StackPool};
pub use slot::{NONE, SlotState, StackSlot};
pub use wheel::{WHEEL_TICK, Wheel};
