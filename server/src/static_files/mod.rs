//! Static files. The modules here are the pure part: which file is meant, what a client has of it already, which part
//! it wants, and what it is.

pub mod conditional;
pub mod media;
pub mod path;
pub mod range;
