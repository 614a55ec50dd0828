//! Answers that come later, from any thread, with no fiber kept.
//!
//! A [`Deferred`] is a `Send` handle to one request. Its answer goes through the worker's door to the loop, and is sent from
//! there by a fiber. Whether the client is still there is known at once, from a word that both sides share.

use super::{HttpConn, Phase, RequestFacts, Shared, finish, with_request};
use crate::http1::Reject;
use crate::into_response::IntoResponse;
use crate::response::Response;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use sws_runtime::{ConnId, Handle, current_handle, run_deferred_hooks, try_go};

const WAITING: u8 = 0;
const ANSWERED: u8 = 1;
const GONE: u8 = 2;

/// The client has gone, or the server gave up waiting: the answer was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client has gone")
    }
}

impl std::error::Error for Gone {}

thread_local! {
    /// The HTTP services of this thread's workers, by number; a number is never used twice.
    static SERVICES: RefCell<Vec<Weak<Shared>>> = const { RefCell::new(Vec::new()) };
}

/// The deferred requests of a service, each with the word that says whether it is still waited for.
pub(crate) struct Deferrals {
    number: usize,
    waiting: RefCell<HashMap<ConnId, (u32, Arc<AtomicU8>)>>,
}

impl Deferrals {
    pub(super) fn new(shared: Weak<Shared>) -> Deferrals {
        let number = SERVICES.with_borrow_mut(|services| {
            services.push(shared);
            services.len() - 1
        });
        Deferrals { number, waiting: RefCell::new(HashMap::new()) }
    }

    /// The connection is gone, or is not waited for any more.
    pub(super) fn forget(&self, id: ConnId) {
        let word = self.waiting.borrow_mut().remove(&id);
        if let Some((_, word)) = word {
            // An answer that is on its way finds that nobody waits.
            let _ = word.compare_exchange(WAITING, GONE, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// The answer has come. The connection may have deferred another request since.
    fn answered(&self, facts: &RequestFacts) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.get(&facts.id).is_some_and(|(sequence, _)| *sequence == facts.sequence) {
            waiting.remove(&facts.id);
        }
    }

    pub(crate) fn defer(&self, facts: RequestFacts) -> Deferred {
        let word = Arc::new(AtomicU8::new(WAITING));
        self.waiting.borrow_mut().insert(facts.id, (facts.sequence, Arc::clone(&word)));
        Deferred {
            word,
            target: Target::Connection { worker: current_handle(), service: self.number, facts },
        }
    }
}

/// Where the answer of a request without a socket goes.
#[derive(Default)]
pub(crate) struct Mailbox {
    response: Mutex<Option<Response>>,
    arrived: Condvar,
}

impl Mailbox {
    pub(crate) fn defer(self: &Arc<Self>) -> Deferred {
        Deferred { word: Arc::new(AtomicU8::new(WAITING)), target: Target::Mailbox(Arc::clone(self)) }
    }

    /// Waits for the answer.
    pub(crate) fn wait(&self) -> Response {
        let mut response = self.response.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match response.take() {
                Some(response) => return response,
                None => response = self.arrived.wait(response).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

enum Target {
    Connection { worker: Handle, service: usize, facts: RequestFacts },
    Mailbox(Arc<Mailbox>),
}

/// Answers a request later, from any thread. Made by [`Context::defer`](crate::Context::defer). Dropped unanswered, it is a 500.
///
/// ```
/// use sws::{Context, Router, TestClient};
///
/// fn later(ctx: &mut Context) {
///     let answer = ctx.defer();
///     std::thread::spawn(move || {
///         answer.answer("done").expect("the client waits");
///     });
/// }
///
/// let client = TestClient::new(Router::new().get("/", later));
/// assert_eq!(client.get("/").send().text(), "done");
/// ```
#[must_use = "dropped unanswered, it is a 500"]
pub struct Deferred {
    word: Arc<AtomicU8>,
    target: Target,
}

impl Deferred {
    /// Sends the answer.
    ///
    /// # Errors
    /// [`Gone`] when the client has closed the connection, or the server has given up waiting.
    pub fn answer(self, response: impl IntoResponse) -> Result<(), Gone> {
        self.deliver(response.into_response())
    }

    /// Whether the client is gone, so that the answer need not be computed.
    pub fn is_gone(&self) -> bool {
        self.word.load(Ordering::Acquire) == GONE
    }

    fn deliver(&self, response: Response) -> Result<(), Gone> {
        if self.word.compare_exchange(WAITING, ANSWERED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Err(Gone);
        }
        match &self.target {
            Target::Connection { worker, service, facts } => {
                let (service, facts) = (*service, *facts);
                worker.invoke_reserved(move || send(service, facts, response)).map_err(|_| Gone)
            }
            Target::Mailbox(mailbox) => {
                *mailbox.response.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
                mailbox.arrived.notify_one();
                Ok(())
            }
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        // An answered one is not answered again.
        let _ = self.deliver(Response::internal_error());
    }
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").field("gone", &self.is_gone()).finish()
    }
}

/// On the loop: hands the answer to a fiber, because sending it may wait.
fn send(service: usize, facts: RequestFacts, response: Response) {
    let shared = SERVICES.with_borrow(|services| services.get(service).and_then(Weak::upgrade));
    let Some(shared) = shared else { return };
    shared.deferrals.answered(&facts);
    run_deferred_hooks();
    let fiber = {
        let shared = Rc::clone(&shared);
        try_go("deferred answer", move || {
            finish::resume_deferred(&facts);
            finish::answer(&shared, &facts, response);
        })
    };
    if fiber.is_none() {
        with_request(facts.id, facts.sequence, |conn| {
            let waits = |state: &mut HttpConn| {
                matches!(state.phase, Phase::Handling | Phase::Deferred) && !state.flags.answering
            };
            if conn.update(waits) {
                finish::reject(&shared, conn, Reject::Overloaded);
            }
        });
    }
}
