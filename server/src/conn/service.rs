//! The callbacks of an HTTP connection: what the loop tells it, and what it makes of it.

use super::body::ConnBody;
use super::{BodyLeft, HttpConn, Phase, RequestFacts, finish};
use crate::body::RequestBody;
use crate::conn::defer::Deferrals;
use crate::context::Context;
use crate::http1::{ChunkEvent, ChunkedDecoder, DateCache, Decoded, Framing, Reject, decode};
use crate::limits::HttpLimits;
use crate::metrics::WorkerMetrics;
use crate::request::{Peer, PeerResolver, Request, RequestBytes};
use crate::router::App;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sws_runtime::{
    Conn, ConnId, Data, EventHandler, Run, cancel_fiber, run_inline, turn_time, unpark, with_conn,
};

/// So many bytes at once are probably several requests.
const PIPELINED_BYTES: usize = 512;
/// The most room that is made for their answers ahead.
const PIPELINED_OUTPUT: usize = 16 * 1024;
/// Contexts kept for the next requests.
const CONTEXTS_KEPT: usize = 64;
/// Bytes behind a request that its fiber may go on with. Where buffers are scarce they are copied, so they are few.
const BATCH_BYTES: usize = 4096;

/// What the fiber of a request may do behind it, see [`finish::serve`].
#[derive(Clone, Copy, Default)]
pub(super) struct Batch {
    /// Requests of this turn that are left, the one that is handled included.
    pub(super) budget: u32,
    /// Bytes that may be queued before the next request waits.
    pub(super) room: usize,
    /// Bytes of the requests that it took.
    pub(super) taken: usize,
}

/// What all HTTP connections of a worker share.
pub(crate) struct Shared {
    pub(crate) app: App,
    pub(crate) limits: HttpLimits,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) deferrals: Deferrals,
    date: RefCell<DateCache>,
    date_due: Cell<Duration>,
    pub(super) batch: Cell<Batch>,
    /// Used ones: a request is decoded, handled and answered in one place on the heap, and moved only by its address.
    #[expect(clippy::vec_box, reason = "a context is moved by its address")]
    contexts: RefCell<Vec<Box<Context>>>,
    peers: Rc<dyn PeerResolver>,
}

impl Shared {
    pub(crate) fn new(app: App, limits: HttpLimits, metrics: Arc<WorkerMetrics>) -> Rc<Shared> {
        Rc::new_cyclic(|shared| Shared {
            app,
            limits,
            metrics,
            deferrals: Deferrals::new(shared.clone()),
            date: RefCell::new(DateCache::new(0)),
            date_due: Cell::new(Duration::ZERO),
            batch: Cell::default(),
            contexts: RefCell::new(Vec::new()),
            peers: Rc::new(Peers),
        })
    }

    /// Calls `f` with the Date line of this second.
    pub(crate) fn with_date<R>(&self, f: impl FnOnce(&DateCache) -> R) -> R {
        let now = turn_time();
        if now >= self.date_due.get() {
            let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.date.borrow_mut().update(unix.as_secs());
            let rest = Duration::from_nanos(u64::from(1_000_000_000 - unix.subsec_nanos()));
            self.date_due.set(now + rest);
        }
        f(&self.date.borrow())
    }

    /// Takes a context back, for another request.
    pub(super) fn keep_context(&self, mut ctx: Box<Context>) {
        ctx.clear();
        let mut contexts = self.contexts.borrow_mut();
        if contexts.len() < CONTEXTS_KEPT {
            contexts.push(ctx);
        }
    }

    fn take_context(&self) -> Box<Context> {
        self.contexts.borrow_mut().pop().unwrap_or_else(|| {
            let bytes = RequestBytes::Owned(Vec::new());
            let request = Request::new(Box::default(), bytes, RequestBody::empty(), Peer::Unknown);
            Box::new(Context::new(request))
        })
    }
}

/// Asks the runtime for a connection's peer.
struct Peers;

impl PeerResolver for Peers {
    fn resolve(&self, key: u64) -> Option<SocketAddr> {
        let id = ConnId { index: (key >> 32) as u32, generation: key as u32 };
        with_conn::<HttpConn, _>(id, |conn| conn.peer_addr()).flatten()
    }
}

/// HTTP/1.x as a protocol over connections.
pub(crate) struct HttpService {
    shared: Rc<Shared>,
}

/// What became of the bytes at the front.
enum Step {
    /// So many were taken, and the next request may follow.
    Taken(usize),
    /// So many were taken; the rest waits.
    Stop(usize),
    /// The connection ends.
    Close,
}

impl HttpService {
    pub(crate) fn new(shared: Rc<Shared>) -> HttpService {
        HttpService { shared }
    }

    /// Takes as many requests as are there, within the turn's budget.
    fn requests(&self, conn: &mut Conn<'_, HttpConn>, data: &Data<'_>) -> usize {
        let limits = &self.shared.limits;
        if data.len() > PIPELINED_BYTES {
            // Room for many answers in one piece. Without it they go into several, as well.
            let _ = conn.write_with((data.len() * 4).min(PIPELINED_OUTPUT), |_| ());
        }
        let mut at = 0;
        let mut budget = limits.requests_per_turn;
        let mut more = false;
        while at < data.len() {
            let step = match conn.update(|state| state.phase) {
                Phase::Head if budget == 0 => {
                    conn.resume_input();
                    more = true;
                    break;
                }
                Phase::Head => {
                    let Some(room) = limits.output_bytes_high.checked_sub(conn.pending_output()) else {
                        break;
                    };
                    self.shared.batch.set(Batch { budget, room, taken: 0 });
                    let step = self.request(conn, data, at);
                    budget = self.shared.batch.get().budget;
                    step
                }
                Phase::Discarding => self.discard(conn, &data[at..]),
                Phase::Handling | Phase::Deferred | Phase::Gone => Step::Stop(0),
                Phase::Closing => Step::Close,
            };
            match step {
                Step::Taken(count) => at += count,
                Step::Stop(count) => {
                    at += count;
                    break;
                }
                Step::Close => return data.len(),
            }
            budget = budget.saturating_sub(1);
        }
        self.after_requests(conn, data.len() - at, more);
        at
    }

    /// What is left is the beginning of a head, or nothing; or it is the next turn's, if there is `more`.
    fn after_requests(&self, conn: &mut Conn<'_, HttpConn>, left: usize, more: bool) {
        let (phase, flags, fiber) = conn.update(|state| (state.phase, state.flags, state.fiber));
        if phase != Phase::Head {
            match (phase == Phase::Handling && flags.reading, left, fiber) {
                (true, 1.., _) => conn.resume_input(),
                // The end came before the handler began to wait for more.
                (true, 0, Some(fiber)) if flags.ended => unpark(fiber),
                // The rest of a body that is being dropped will not come.
                (false, 0, _) if flags.ended && phase == Phase::Discarding => conn.close(),
                _ => {}
            }
            return;
        }
        let blocked = finish::await_next(&self.shared, conn, left == 0 || more);
        if more || blocked {
            return;
        }
        if flags.ended || flags.draining {
            conn.close();
        } else if left > 0 && !flags.head_timed {
            conn.update(|state| state.flags.head_timed = true);
            conn.set_deadline(Some(self.shared.limits.head_timeout));
        }
    }

    /// Decodes one head, and starts its handler.
    fn request(&self, conn: &mut Conn<'_, HttpConn>, data: &Data<'_>, at: usize) -> Step {
        let bytes = &data[at..];
        let scanned = conn.update(|state| state.scanned) as usize;
        let limits = &self.shared.limits.head;
        if scanned > 0 && bytes.len() <= limits.head_bytes_max {
            let fresh = &bytes[scanned.min(bytes.len())..];
            if memchr::memchr(b'\n', fresh).is_none() {
                conn.update(|state| state.scanned = bytes.len() as u32);
                return Step::Stop(0);
            }
        }
        let mut ctx = self.shared.take_context();
        match decode(bytes, limits, ctx.request_mut().head_mut()) {
            Decoded::Complete => self.begin(conn, data, at, ctx),
            Decoded::NeedMore => {
                self.shared.keep_context(ctx);
                conn.update(|state| state.scanned = bytes.len() as u32);
                Step::Stop(0)
            }
            Decoded::Reject(reject) => {
                self.shared.keep_context(ctx);
                self.reject(conn, reject);
                Step::Close
            }
        }
    }

    /// Answers with an entry of the table, and closes.
    fn reject(&self, conn: &mut Conn<'_, HttpConn>, reject: Reject) {
        finish::reject(&self.shared, conn, reject);
    }

    /// A head is complete: its body is found, and its handler run.
    fn begin(
        &self,
        conn: &mut Conn<'_, HttpConn>,
        data: &Data<'_>,
        at: usize,
        mut ctx: Box<Context>,
    ) -> Step {
        let head = ctx.request_mut().head_mut();
        let head_len = head.len();
        let rest = &data[at + head_len..];
        let (left, whole, taken) = match find_body(head.framing(), rest, self.shared.limits.body_bytes_max) {
            Ok(found) => found,
            Err(reject) => {
                self.shared.keep_context(ctx);
                self.reject(conn, reject);
                return Step::Close;
            }
        };
        let expects = head.expect_continue() && !matches!(left, BodyLeft::None) && rest.is_empty();
        let sequence = conn.update(|state| {
            state.begin(left);
            state.flags.expects = expects;
            state.sequence
        });
        let facts = RequestFacts::new(conn.id(), sequence, head);
        let body = match (left, whole) {
            (_, Some(bytes)) => RequestBody::from(bytes),
            (BodyLeft::None, None) => RequestBody::empty(),
            (BodyLeft::Length(_) | BodyLeft::Chunked(_), None) => {
                RequestBody::from_source(Box::new(ConnBody {
                    id: facts.id,
                    sequence: facts.sequence,
                    shared: Rc::clone(&self.shared),
                }))
            }
        };
        let key = u64::from(facts.id.index) << 32 | u64::from(facts.id.generation);
        let peer = Peer::Lazy { resolver: Rc::clone(&self.shared.peers), key };
        let held = match rest.len() {
            len if taken == 0 && matches!(left, BodyLeft::None) => head_len + len.min(BATCH_BYTES),
            _ => head_len,
        };
        let bytes = RequestBytes::Held { bytes: data.hold(at..at + held), start: 0 };
        ctx.request_mut().begin(bytes, body, peer);
        ctx.set_body_bytes_max(self.shared.limits.body_bytes_max);
        ctx.set_deferral(Rc::clone(&self.shared), facts);
        self.run(conn, ctx);
        Step::Taken(head_len + taken + self.shared.batch.get().taken)
    }

    /// Runs the handler until it returns or first waits.
    fn run(&self, conn: &mut Conn<'_, HttpConn>, ctx: Box<Context>) {
        match run_inline("http", move || finish::serve(ctx)) {
            // A handler that ended without an answer: what it left behind panicked.
            Run::Finished => {
                if conn.update(|state| state.flags.inline && state.phase == Phase::Handling) {
                    self.reject(conn, Reject::InternalError);
                }
            }
            Run::Suspended(fiber) => {
                let flags = conn.update(|state| {
                    state.flags.inline = false;
                    state.fiber = Some(fiber);
                    state.flags
                });
                if !flags.reading && !flags.writing {
                    conn.set_deadline(Some(self.shared.limits.handler_timeout));
                }
            }
            Run::Refused => {
                conn.update(|state| state.flags.inline = false);
                self.reject(conn, Reject::Overloaded);
            }
        }
    }

    /// Drops what the handler did not read of a body.
    fn discard(&self, conn: &mut Conn<'_, HttpConn>, bytes: &[u8]) -> Step {
        let mut state = conn.workspace();
        let (taken, over) = match &mut state.body {
            BodyLeft::None => (0, true),
            BodyLeft::Length(left) => {
                let count = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                (count, *left == 0)
            }
            BodyLeft::Chunked(decoder) => match skip_chunks(decoder, bytes) {
                Ok(skipped) => skipped,
                Err(()) => {
                    finish::close(conn);
                    return Step::Close;
                }
            },
        };
        state.scanned = state.scanned.saturating_add(taken as u32);
        if u64::from(state.scanned) > self.shared.limits.discard_bytes_max {
            finish::close(conn);
            return Step::Close;
        }
        if over {
            state.phase = Phase::Head;
            state.body = BodyLeft::None;
            state.scanned = 0;
        }
        conn.set_workspace(state);
        if over {
            conn.set_deadline(Some(self.shared.limits.idle_timeout));
        }
        Step::Taken(taken)
    }

    /// Whether bytes were sent since the deadline was set; then it is set again.
    fn made_progress(&self, conn: &mut Conn<'_, HttpConn>) -> bool {
        let sent = conn.progress() as u32;
        let progress = conn.workspace().sent_mark != sent;
        if progress {
            conn.update(|state| state.sent_mark = sent);
            conn.set_deadline(Some(self.shared.limits.write_timeout));
        }
        progress
    }

    /// The handler, or whoever it was deferred to, did not answer in time.
    fn give_up(&self, conn: &mut Conn<'_, HttpConn>) {
        let state = conn.workspace();
        self.shared.deferrals.forget(conn.id());
        conn.update(|state| {
            state.sequence = state.sequence.wrapping_add(1);
            state.fiber = None;
        });
        if let Some(fiber) = state.fiber {
            cancel_fiber(fiber);
        }
        self.reject(conn, Reject::HandlerTimeout);
    }
}

impl EventHandler for HttpService {
    type Workspace = HttpConn;

    fn on_open(&mut self, conn: &mut Conn<'_, HttpConn>) {
        conn.set_workspace(HttpConn { phase: Phase::Head, ..HttpConn::default() });
        conn.set_deadline(Some(self.shared.limits.idle_timeout));
    }

    fn on_data(&mut self, conn: &mut Conn<'_, HttpConn>, data: &Data<'_>) -> usize {
        let state = conn.workspace();
        match state.phase {
            Phase::Head | Phase::Discarding => self.requests(conn, data),
            Phase::Handling => {
                if let (true, Some(fiber)) = (state.flags.reading, state.fiber) {
                    unpark(fiber);
                }
                0
            }
            Phase::Deferred | Phase::Gone => 0,
            Phase::Closing => data.len(),
        }
    }

    fn on_sent(&mut self, conn: &mut Conn<'_, HttpConn>) {
        let state = conn.workspace();
        if let (true, Some(fiber)) = (state.flags.writing, state.fiber) {
            unpark(fiber);
        }
        if state.flags.blocked {
            conn.update(|state| state.flags.blocked = false);
            conn.set_deadline(Some(self.shared.limits.idle_timeout));
            conn.resume_input();
            if state.flags.ended && conn.pending_input() == 0 {
                conn.close();
            }
        }
    }

    /// Half-close: the answers to what was asked are still sent.
    fn on_end(&mut self, conn: &mut Conn<'_, HttpConn>) {
        conn.update(|state| state.flags.ended = true);
        let state = conn.workspace();
        match state.phase {
            Phase::Head if conn.pending_input() > 0 => conn.resume_input(),
            Phase::Head | Phase::Discarding | Phase::Closing => conn.close(),
            Phase::Handling => {
                if let (true, Some(fiber)) = (state.flags.reading, state.fiber) {
                    unpark(fiber);
                }
            }
            Phase::Deferred | Phase::Gone => {}
        }
    }

    fn on_deadline(&mut self, conn: &mut Conn<'_, HttpConn>) {
        let state = conn.workspace();
        match state.phase {
            _ if state.flags.writing || conn.pending_output() > 0 => {
                if !self.made_progress(conn) {
                    conn.reset();
                }
            }
            Phase::Head if state.flags.head_timed => self.reject(conn, Reject::RequestTimeout),
            Phase::Head => conn.close(),
            // A body that streams counts by its progress; one that has begun cannot become another answer.
            Phase::Handling if state.flags.answering => match self.made_progress(conn) {
                true => conn.set_deadline(Some(self.shared.limits.handler_timeout)),
                false => conn.reset(),
            },
            Phase::Handling => match (state.flags.reading, state.fiber) {
                (true, Some(fiber)) => {
                    conn.update(|state| state.flags.timed_out = true);
                    unpark(fiber);
                }
                _ => self.give_up(conn),
            },
            Phase::Deferred => self.give_up(conn),
            Phase::Discarding | Phase::Closing | Phase::Gone => conn.abort(),
        }
    }

    fn on_drain(&mut self, conn: &mut Conn<'_, HttpConn>) {
        conn.update(|state| state.flags.draining = true);
        match conn.workspace().phase {
            // What has come already is answered, and that answer is the last.
            Phase::Head if conn.pending_input() > 0 => conn.resume_input(),
            Phase::Head => conn.close(),
            Phase::Handling | Phase::Deferred | Phase::Discarding | Phase::Closing | Phase::Gone => {}
        }
    }

    fn on_close(&mut self, conn: &mut Conn<'_, HttpConn>) {
        let state = conn.workspace();
        self.shared.deferrals.forget(conn.id());
        if let Some(fiber) = state.fiber {
            cancel_fiber(fiber);
        }
    }
}

/// What is still to come of a body, the body itself if all of it is here, and how many bytes it takes.
type FoundBody = (BodyLeft, Option<Bytes>, usize);

fn find_body(framing: Framing, rest: &[u8], whole_max: usize) -> Result<FoundBody, Reject> {
    match framing {
        Framing::None | Framing::Length(0) => Ok((BodyLeft::None, None, 0)),
        Framing::Length(len) => match usize::try_from(len) {
            Ok(len) if len <= rest.len() && len <= whole_max => {
                Ok((BodyLeft::None, Some(Bytes::copy_from_slice(&rest[..len])), len))
            }
            _ => Ok((BodyLeft::Length(len), None, 0)),
        },
        Framing::Chunked => {
            let (mut decoder, mut at, mut body) = (ChunkedDecoder::default(), 0, Vec::new());
            loop {
                match decoder.next(&rest[at..]) {
                    ChunkEvent::Data { consumed, data } => {
                        body.extend_from_slice(&rest[at..][data]);
                        at += consumed;
                    }
                    ChunkEvent::End { consumed } => {
                        return Ok((BodyLeft::None, Some(Bytes::from(body)), at + consumed));
                    }
                    ChunkEvent::NeedMore { .. } => {
                        return Ok((BodyLeft::Chunked(ChunkedDecoder::default()), None, 0));
                    }
                    ChunkEvent::Reject(reject) => return Err(reject),
                }
            }
        }
    }
}

/// Skips chunks; returns how many bytes, and whether the body is over.
fn skip_chunks(decoder: &mut ChunkedDecoder, bytes: &[u8]) -> Result<(usize, bool), ()> {
    let mut at = 0;
    loop {
        match decoder.next(&bytes[at..]) {
            ChunkEvent::Data { consumed, .. } => at += consumed,
            ChunkEvent::NeedMore { consumed } => return Ok((at + consumed, false)),
            ChunkEvent::End { consumed } => return Ok((at + consumed, true)),
            ChunkEvent::Reject(_) => return Err(()),
        }
    }
}
