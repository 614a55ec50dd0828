//! io_uring with ownership.
//!
//! This room is the only one that talks to the kernel through a ring. What crosses its door is plain data:
//! an [`Op`] goes in with a [`Token`], a [`Completion`] comes out with the same token, a result and, where the
//! kernel picked a buffer, a [`Lease`] on it. It knows nothing of fibers, connections or protocols.
//!
//! ```text
//!   Op + Token ──push──▶ submission queue ──enter──▶ kernel
//!   Completion ◀─drain── completion queue ◀────────── kernel
//!        └ Lease ── drop ──▶ provided-buffer ring ──▶ kernel
//! ```
//!
//! # Unsafe
//!
//! Memory that the kernel reads or writes must stay where it is until the completion of its operation. The ring
//! cannot see who owns that memory, so [`Ring::push`] is `unsafe` and its caller promises it. Everything else is
//! safe to call. The buffers of the provided-buffer ring belong to the ring itself and are freed after it.

mod buffers;
mod completion;
mod config;
#[cfg_attr(sws_sim, allow(dead_code, reason = "the scripted ring has no kernel to encode for"))]
mod op;
mod outbound;
mod probe;
#[cfg_attr(sws_sim, allow(dead_code, reason = "the scripted ring has no kernel to set up"))]
mod setup;
mod token;

#[cfg(not(sws_sim))]
mod ring;
#[cfg(sws_sim)]
#[path = "sim/mod.rs"]
mod ring;

pub use buffers::{BufferRing, BufferStats, Lease};
pub use completion::{Completion, RingStats};
pub use config::{BufferConfig, RingConfig, Wait};
pub use op::{Address, Descriptor, Message, Op, OpenHow, Span, Statx, Timespec};
pub use outbound::{OutboundRing, RingTrait};
pub use probe::{Features, probe};
pub use ring::Ring;
#[cfg(sws_sim)]
pub use ring::script;
pub use setup::SetupError;
pub use token::{INDEX_MAX, OpKind, Owner, Token};
