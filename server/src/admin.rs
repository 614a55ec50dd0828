//! `/healthz` and `/metrics`.

use crate::conn::defer::Deferred;
use crate::context::Context;
use crate::metrics::{self, Counts};
use crate::response::Response;
use crate::router::Router;
use crate::server::Roster;
use std::sync::{Arc, Mutex, PoisonError};

/// The router of the admin address.
pub(crate) fn router(roster: Arc<Roster>) -> Router {
    Router::new().get("/healthz", || "ok\n").get("/metrics", move |ctx: &mut Context| {
        ask_workers(&roster, ctx.defer());
    })
}

/// The counts of the workers that have answered; the last one sends them.
struct Collection {
    roster: Arc<Roster>,
    counts: Vec<Option<Counts>>,
    answer: Option<Deferred>,
}

/// Each worker tells its counts on its own thread, so that none is read while it changes.
fn ask_workers(roster: &Arc<Roster>, answer: Deferred) {
    let handles = roster.handles();
    let counts = vec![None; handles.len()];
    let collection =
        Arc::new(Mutex::new(Collection { roster: Arc::clone(roster), counts, answer: Some(answer) }));
    for (number, handle) in handles.iter().enumerate() {
        let collection = Arc::clone(&collection);
        let asked = handle.invoke(move || tell(&collection, number, Counts::take()));
        if asked.is_err() {
            // A worker that has ended, or has no room: the collection is dropped with the answer unsent, which is a 500.
            return;
        }
    }
}

fn tell(collection: &Mutex<Collection>, number: usize, counts: Counts) {
    let mut collection = collection.lock().unwrap_or_else(PoisonError::into_inner);
    collection.counts[number] = Some(counts);
    if collection.counts.iter().any(Option::is_none) {
        return;
    }
    let counted = collection.counts.iter().flatten().enumerate();
    let text =
        metrics::render(counted.map(|(number, counts)| (&**collection.roster.metrics(number), *counts)));
    if let Some(answer) = collection.answer.take() {
        // A client that has gone needs no answer.
        let _ = answer.answer(Response::with_type("text/plain; version=0.0.4", text));
    }
}
