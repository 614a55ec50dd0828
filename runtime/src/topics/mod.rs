//! Topics: messages to all who subscribe to a name.
//!
//! ```text
//!  any thread ── publish ──▶ mailbox of each worker ──┐
//!                                                     ▼
//!  a callback, a fiber ── publish ──▶ the turn's log of runs ── end of the turn ──▶ one frame for each encoding
//!                                                                                   │ shared by reference
//!                                        members: one list for each encoding ───────┴──▶ output of each subscriber
//! ```
//!
//! A worker's subscribers get its own publications in order, and so do those of other workers. Where a topic has history or
//! presence, all workers' subscribers get all messages in one order: it is agreed on under one lock, in which a worker first takes
//! what its mailbox holds.
//!
//! Consecutive messages of a topic are one run. Its frames lie one behind the other in one buffer, so that a subscriber gets
//! one piece however many messages there were. One whose output is behind gets them one by one, whole and with their
//! keys, so that its policy can drop and replace them.

mod conn;
mod delivery;
mod directory;
mod domain;
mod log;
mod mailbox;
mod members;
mod options;
mod publication;
mod subscribe;
mod worker;

pub use domain::{Topics, topics};
pub use options::{Journal, PublishError, Replay, SubscribeError, TopicLimits, TopicOptions};
pub use publication::{Encoding, PayloadKind, PresenceEvent, Publication, Recorded};

pub(crate) use members::{Anchor, Anchors};
pub(crate) use worker::WorkerTopics;
