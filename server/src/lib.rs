//! server

pub mod http1;
pub mod static_files;
