//! What the operator is told and the peer is not.

use std::cell::Cell;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// Between two reports of a worker: a peer that asks again and again does not fill the log of the operator.
const INTERVAL: Duration = Duration::from_secs(1);

/// Writes to standard error, if this worker has not done so just before.
pub(crate) fn now_and_then(who: &str, what: &(impl Display + ?Sized)) {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    if LAST.get().is_none_or(|last| now.duration_since(last) >= INTERVAL) {
        LAST.set(Some(now));
        eprintln!("{who}: {what}");
    }
}
