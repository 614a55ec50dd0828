//! runtime
pub mod door;
mod sync_shim;
