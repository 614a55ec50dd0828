//! Measuring programs: what they share.

pub mod floor;
pub mod histogram;
pub mod load;
pub mod sys;
