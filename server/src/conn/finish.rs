//! From a handler's call to the end of its request.

use super::service::{Shared, change, set_phase};
use super::{BodyLeft, HttpConn, Phase, RequestFacts, respond, update};
use crate::context::Context;
use crate::http1::Reject;
use crate::request::Request;
use crate::response::Response;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use sws_runtime::{Conn, turn_time, with_conn};

/// Runs on the request's fiber: handler, answer, and what follows it.
pub(super) fn serve(shared: &Rc<Shared>, facts: RequestFacts, request: Request) {
    let mut ctx = Context::new(request);
    ctx.set_body_bytes_max(shared.limits.body_bytes_max);
    ctx.set_deferral(Rc::clone(shared), facts);
    let outcome = catch_unwind(AssertUnwindSafe(|| shared.app.handle(&mut ctx)));
    let response = match outcome {
        Ok(_) if ctx.is_deferred() => None,
        Ok(response) => Some(response),
        Err(_) => {
            shared.metrics.count_panic();
            Some(Response::internal_error())
        }
    };
    // The request goes before the answer is sent: its bytes are given back to the kernel.
    let (head, bytes, body) = ctx.into_request().into_parts();
    shared.keep_head(head);
    drop((bytes, body));
    match response {
        Some(response) => {
            answer(shared, &facts, response);
        }
        None => wait_for_deferred(shared, &facts),
    }
}

/// The answer comes later, from a handle. It may be there already.
fn wait_for_deferred(shared: &Shared, facts: &RequestFacts) {
    let waits = update(facts.id, |state| {
        let waits = state.sequence == facts.sequence && state.phase == Phase::Handling;
        if waits {
            state.phase = Phase::Deferred;
            state.fiber = None;
        }
        waits
    });
    if waits == Some(true) {
        with_conn::<HttpConn, _>(facts.id, |conn| conn.set_deadline(Some(shared.limits.handler_timeout)));
    }
}

/// Sends an answer, if the connection still waits for it, and goes on to the next request. On a fiber.
pub(super) fn answer(shared: &Rc<Shared>, facts: &RequestFacts, response: Response) -> bool {
    let waits = update(facts.id, |state| {
        state.sequence == facts.sequence && matches!(state.phase, Phase::Handling | Phase::Deferred)
    });
    if waits != Some(true) {
        return false;
    }
    let status = response.status();
    let sent = respond::send(shared, facts, response);
    shared.metrics.count_request(status, turn_time().saturating_sub(facts.began));
    match sent {
        Ok(keep_alive) => finish(shared, facts, keep_alive),
        // The answer cannot be completed: the peer must not take what it has for the whole.
        Err(_) => {
            with_conn::<HttpConn, _>(facts.id, |conn| conn.abort());
        }
    }
    true
}

/// The answer is queued: the connection is ready for the next request, or ends.
fn finish(shared: &Shared, facts: &RequestFacts, keep_alive: bool) {
    with_conn::<HttpConn, _>(facts.id, |conn| {
        let mut state = conn.workspace();
        if state.sequence != facts.sequence {
            return;
        }
        state.fiber = None;
        state.scanned = 0;
        state.flags.head_timed = false;
        state.sent_mark = conn.bytes_sent() as u32;
        state.phase = match (keep_alive, state.body) {
            (false, _) => Phase::Closing,
            (true, BodyLeft::None | BodyLeft::Length(0)) => Phase::Head,
            (true, _) => Phase::Discarding,
        };
        conn.set_workspace(state);
        if !keep_alive {
            close(conn);
            conn.set_deadline(Some(shared.limits.write_timeout));
            return;
        }
        let timeout = match state.phase {
            Phase::Discarding => shared.limits.body_timeout,
            _ => shared.limits.idle_timeout,
        };
        conn.set_deadline(Some(timeout));
        if !state.flags.inline {
            if conn.pending_input() > 0 {
                conn.resume_input();
            } else if state.flags.ended {
                conn.close();
            }
        }
    });
}

/// Whether the rest of a request's body can be read and dropped, so that the connection can be kept.
pub(super) fn can_discard(shared: &Shared, state: &HttpConn) -> bool {
    match state.body {
        BodyLeft::None | BodyLeft::Length(0) => true,
        // A peer that was not told to go on has not sent it (RFC 9110, 10.1.1).
        _ if state.flags.expects => false,
        BodyLeft::Length(left) => left <= shared.limits.discard_bytes_max,
        BodyLeft::Chunked(_) => true,
    }
}

/// Answers with an entry of the table of errors, and closes.
pub(super) fn reject(shared: &Shared, conn: &mut Conn<'_, HttpConn>, reject: Reject) {
    shared.metrics.count_reject(reject.status());
    let queued = conn.write_with(512, |out| shared.with_date(|date| reject.encode(out, date)));
    match queued {
        Ok(()) => {
            close(conn);
            conn.set_deadline(Some(shared.limits.write_timeout));
        }
        Err(_) => conn.abort(),
    }
}

/// Ends the connection behind what is queued. The peer may still be sending, so its end is awaited.
pub(super) fn close(conn: &mut Conn<'_, HttpConn>) {
    change(conn, |state| state.phase = Phase::Closing);
    conn.close_lingering();
}

/// Gives a connection whose answer was deferred back to the request that it waits for.
pub(super) fn resume_deferred(facts: &RequestFacts) -> bool {
    set_phase(facts.id, facts.sequence, Phase::Handling)
}
