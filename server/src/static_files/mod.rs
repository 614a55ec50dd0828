//! Static files: [`ServeDir`]. The other modules are its pure part: which file is meant, what a client has of it already, which
//! part it wants, and what it is.

pub mod conditional;
pub mod media;
pub mod path;
pub mod range;
mod serve;

pub use serve::{ByServeDir, ServeDir};
