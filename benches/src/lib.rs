//! Measuring programs: what they share.

pub mod floor;
pub mod sys;
