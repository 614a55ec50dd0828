//! What the operator is told and the peer is not.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// Between two reports of one kind by a worker: a peer that asks again and again does not fill the log of the operator.
const INTERVAL: Duration = Duration::from_secs(1);

/// Writes to standard error behind `kind`, if this worker has not written of that kind just before.
pub(crate) fn now_and_then(kind: &'static str, what: &(impl Display + ?Sized)) {
    thread_local! {
        static LAST: RefCell<HashMap<&'static str, Instant>> = RefCell::default();
    }
    let now = Instant::now();
    let is_due = LAST.with_borrow_mut(|last| {
        let is_due = last.get(kind).is_none_or(|&last| now.duration_since(last) >= INTERVAL);
        if is_due {
            last.insert(kind, now);
        }
        is_due
    });
    if is_due {
        eprintln!("{kind}: {what}");
    }
}
