//! What is left of a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops what a panic carried, or what a handler left: its destructor may panic again.
pub(crate) fn drop_quietly(value: impl Sized) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        std::mem::forget(payload);
    }
}
