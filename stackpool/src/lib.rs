//! stackpool
