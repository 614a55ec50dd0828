//! Measuring programs: what they share.
//!
//! ```text
//! bin/compare ── compare ──┬─ contestant ── process     a server as a pinned child process
//!                          │     ├─ floor, ws_floor     the least a server can do ── ring
//!                          │     └─ peers, ws_peers     hyper, axum; tungstenite, fastwebsockets
//!                          ├─ load, load::ws            the client, on the other core ── ring
//!                          └─ table                     medians over interleaved runs
//! bin/memory ─── memory                 idle connections: resident and slab bytes each
//! bin/pingpong ─ pingpong               two threads that wake each other
//! bin/fiber_cost ┬ fiber_cost           a fiber's life and a switch, beside the bare coroutine
//!                └ suspended            resident bytes of a suspended handler
//! bin/submit_latency ─ submit_latency   a job and its answer, beside the ping-pong
//! bin/quiet ──── quiet                  idle connections held by receives and by polls
//! bin/million ── million                very many idle WebSocket connections, and a few that talk
//! bin/slow_peers ┬ slow_peers           members of a topic that read, beside some that stopped
//!                └ load::ws
//! bin/slots_million ─ slots_million     slots and deadlines for as many, without sockets
//! bin/log_storage ─ log_storage         how a batch of a log becomes durable
//! bin/log_append  ┬ log_append          the log beside plain loops, a segment beside sendfile
//! bin/log_recovery ┴ log_recovery       opening a log after a crash
//! bin/log_produce ┬ log_produce         durable records of many producers, beside Redis
//! bin/log_light ─┬─ log_light           light requests beside producers and compaction
//! bin/log_resume ┬─ log_resume          subscribers that break off and resume by offset
//!                 └ log_client          who produces, over HTTP, WebSocket and Redis' protocol
//! bin/site_edit ─ site_edit           from an edited file to the browsers that show it
//! bin/figures                           all of them, as one document
//! ```
//!
//! The contestants of this crate are served by the measuring program itself, started again as a
//! child (see [`contestant`]), so that one command builds and measures all of them.
//!
//! The figure to trust is the server's CPU time per answer ([`process::Server::cpu`]); answers
//! per second depend on the neighbours.

pub mod compare;
pub mod contestant;
pub mod fiber_cost;
pub mod floor;
pub mod histogram;
pub mod load;
pub mod log_append;
pub mod log_client;
pub mod log_light;
pub mod log_produce;
pub mod log_recovery;
pub mod log_resume;
pub mod log_storage;
pub mod memory;
pub mod million;
pub mod peers;
pub mod pingpong;
pub mod process;
pub mod quiet;
pub mod ring;
pub mod site_edit;
pub mod slots_million;
pub mod slow_peers;
pub mod submit_latency;
pub mod suspended;
pub mod sws_server;
pub mod sys;
pub mod syscalls;
pub mod table;
pub mod ws;
pub mod ws_floor;
pub mod ws_peers;
