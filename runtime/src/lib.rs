//! runtime
pub mod door;
mod sync_shim;
pub mod workers;
