//! Measuring programs: what they share.
//!
//! ```text
//! bin/compare ── compare ──┬─ contestant ── process     a server as a pinned child process
//!                          │     ├─ floor               the least a server can do
//!                          │     └─ peers               hyper, axum
//!                          ├─ load                      the client, on the other core
//!                          └─ table                     medians over interleaved runs
//! bin/memory ─── memory                 idle connections: resident and slab bytes each
//! bin/pingpong ─ pingpong               two threads that wake each other
//! ```
//!
//! The contestants of this crate are served by the measuring program itself, started again as a
//! child (see [`contestant`]), so that one command builds and measures all of them.
//!
//! The figure to trust is the server's CPU time per answer ([`process::Server::cpu`]); answers
//! per second depend on the neighbours.

pub mod compare;
pub mod contestant;
pub mod floor;
pub mod histogram;
pub mod load;
pub mod memory;
pub mod peers;
pub mod pingpong;
pub mod process;
pub mod sys;
pub mod syscalls;
pub mod table;
