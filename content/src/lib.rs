//! A durable, replayable log, and content sites that stay live: what is published is kept, reaches every subscriber and can be
//! replayed by one who was away.

#![forbid(unsafe_code)]

pub mod log;
pub mod segment;
pub mod site;
pub mod storage;
pub mod watch;
