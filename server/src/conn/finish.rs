//! From a handler's call to the end of its request.

use super::respond::Begun;
use super::service::{Batch, Shared};
use super::takeover::take_over;
use super::{BodyLeft, HttpConn, Phase, RequestFacts, respond, update, with_request};
use crate::context::Context;
use crate::http1::Reject;
use crate::panic::drop_quietly;
use crate::response::Response;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use sws_runtime::{Conn, cancel_fiber, current_fiber, is_fresh_fiber, turn_time, with_conn};

/// Runs on the request's fiber: handler, answer, and what follows it. A fiber that did not wait goes on with the next
/// requests of the same data, which saves each of them a switch there and back; `on_data` learns of it by [`Shared::batch`].
pub(super) fn serve(mut ctx: Box<Context>) {
    let Some((shared, mut facts)) = ctx.connection() else { return };
    loop {
        let response = handle(&shared, &facts, &mut ctx);
        let takeover = ctx.take_takeover();
        match (response, takeover) {
            (Some(response), None) if is_fresh_fiber() && respond::is_small(response.body()) => {
                let ended = quietly(&shared, || ctx.end_request());
                answer(&shared, &facts, response);
                if !ended {
                    return drop_quietly(ctx);
                }
                match next(&shared, &facts, &mut ctx) {
                    Some(following) => facts = following,
                    None => return shared.keep_context(ctx),
                }
            }
            (response, takeover) => {
                // The request goes before the answer is sent: its bytes are given back to the kernel.
                quietly(&shared, || shared.keep_context(ctx));
                match (response, takeover) {
                    (Some(response), None) => {
                        answer(&shared, &facts, response);
                    }
                    (Some(response), Some(takeover)) => {
                        take_over(&shared, &facts, response, takeover);
                    }
                    (None, _) => wait_for_deferred(&shared, &facts),
                }
                return;
            }
        }
    }
}

/// Calls the handler; `None` if it deferred its answer.
fn handle(shared: &Shared, facts: &RequestFacts, ctx: &mut Context) -> Option<Response> {
    match catch_unwind(AssertUnwindSafe(|| shared.app.handle(ctx))) {
        Ok(_) if ctx.is_deferred() => None,
        Ok(response) => Some(response),
        Err(payload) => {
            shared.metrics.count_panic();
            drop_quietly(payload);
            // Whoever the answer was deferred to comes too late.
            shared.deferrals.forget(facts.id);
            Some(Response::internal_error())
        }
    }
}

/// Begins the next request of the data that `on_data` was called with, if it is a plain one and it is its turn. All others are
/// left to `on_data`.
fn next(shared: &Shared, facts: &RequestFacts, ctx: &mut Context) -> Option<RequestFacts> {
    let Batch { budget, room, taken } = shared.batch.get();
    if budget <= 1 || room == 0 {
        return None;
    }
    let limits = &shared.limits;
    with_conn::<HttpConn, _>(facts.id, |conn| {
        let ready = conn.update(|state| state.phase == Phase::Head && state.sequence == facts.sequence);
        if !ready || !ctx.request_mut().decode_next(&limits.head) {
            return None;
        }
        let sequence = conn.update(|state| {
            state.begin(BodyLeft::None);
            state.sequence
        });
        let head = ctx.request().head();
        shared.batch.set(Batch { budget: budget - 1, room, taken: taken + head.len() });
        let next = RequestFacts::new(facts.id, sequence, head);
        ctx.set_facts(next);
        ctx.set_body_bytes_max(limits.body_bytes_max);
        Some(next)
    })
    .flatten()
}

/// Gives back what handlers left, whose destructors may panic. Returns whether none did.
fn quietly(shared: &Shared, f: impl FnOnce()) -> bool {
    let done = catch_unwind(AssertUnwindSafe(f)).map_err(drop_quietly).is_ok();
    if !done {
        shared.metrics.count_panic();
    }
    done
}

/// The answer comes later, from a handle. It may be there already.
fn wait_for_deferred(shared: &Shared, facts: &RequestFacts) {
    let waits = update(facts.id, |state| {
        let waits =
            state.sequence == facts.sequence && state.phase == Phase::Handling && !state.flags.answering;
        if waits {
            state.phase = Phase::Deferred;
            state.fiber = None;
            state.flags.inline = false;
        }
        waits
    });
    if waits == Some(true) {
        with_conn::<HttpConn, _>(facts.id, |conn| conn.set_deadline(Some(shared.limits.handler_timeout)));
    }
}

/// Sends an answer, if the connection still waits for it, and goes on to the next request. On a fiber.
pub(super) fn answer(shared: &Rc<Shared>, facts: &RequestFacts, response: Response) -> bool {
    let status = response.status();
    let mut parts = response.into_parts();
    let begun = with_conn::<HttpConn, _>(facts.id, |conn| {
        let begun = respond::begin(shared, conn, facts, &mut parts);
        match begun {
            Begun::Whole { keep_alive } => finish(shared, conn, facts, keep_alive),
            Begun::Head { .. } => take_from_handler(conn),
            Begun::NotWaitedFor | Begun::Broken(_) => {}
        }
        begun
    });
    let rest = match begun {
        None | Some(Begun::NotWaitedFor) => return false,
        Some(Begun::Whole { .. }) => Ok(()),
        Some(Begun::Broken(error)) => Err(error.into()),
        Some(Begun::Head { keep_alive, framing }) => {
            let body = AssertUnwindSafe(|| respond::send_body(shared, facts, framing, parts.body));
            let sent = catch_unwind(body).unwrap_or_else(|payload| {
                drop_quietly(payload);
                shared.metrics.count_panic();
                Err(io::Error::other("the body's writer panicked"))
            });
            sent.map(|()| {
                with_conn::<HttpConn, _>(facts.id, |conn| finish(shared, conn, facts, keep_alive));
            })
        }
    };
    shared.metrics.count_request(status, turn_time().saturating_sub(facts.began));
    if rest.is_err() {
        // The answer cannot be completed: the peer must not take what it has for the whole.
        with_request(facts.id, facts.sequence, |conn| conn.reset());
    }
    true
}

/// An answer has begun whose body follows: what is told to the request's fiber is from now on for the one that sends it. On a fiber.
fn take_from_handler(conn: &mut Conn<'_, HttpConn>) {
    let Some(handler) = conn.update(|state| state.fiber) else { return };
    let fiber = current_fiber();
    if Some(handler) == fiber {
        return;
    }
    conn.update(|state| {
        state.fiber = fiber;
        state.flags.reading = false;
        state.flags.timed_out = false;
    });
    // It deferred its request, and still waits for something of it.
    cancel_fiber(handler);
}

/// The answer is queued: the connection is ready for the next request, or ends.
fn finish(shared: &Shared, conn: &mut Conn<'_, HttpConn>, facts: &RequestFacts, keep_alive: bool) {
    let sent = conn.progress() as u32;
    let done = conn.update(|state| {
        if state.sequence != facts.sequence {
            return None;
        }
        let inline = state.flags.inline;
        let fiber = state.fiber.take();
        state.scanned = 0;
        state.flags.head_timed = false;
        state.flags.inline = false;
        state.sent_mark = sent;
        state.flags.answering = false;
        // The worker may have begun to drain since the head was sent.
        state.phase = match (keep_alive && !state.flags.draining, state.body) {
            (false, _) => Phase::Closing,
            (true, BodyLeft::None | BodyLeft::Length(0)) => Phase::Head,
            (true, BodyLeft::Length(_) | BodyLeft::Chunked(_)) => Phase::Discarding,
        };
        Some((state.phase, inline, state.flags.ended, fiber))
    });
    let Some((phase, inline, ended, fiber)) = done else { return };
    if let Some(handler) = fiber.filter(|&fiber| Some(fiber) != current_fiber()) {
        // It deferred its request, and still waits for something of it.
        cancel_fiber(handler);
    }
    match phase {
        Phase::Closing => {
            conn.set_deadline(Some(shared.limits.write_timeout));
            close(conn);
            return;
        }
        Phase::Discarding => conn.set_deadline(Some(shared.limits.body_timeout)),
        // Inside `on_data` the deadline is set once, behind the last of its requests.
        Phase::Head if inline => {}
        Phase::Head | Phase::Handling | Phase::Deferred | Phase::Gone => {
            if await_next(shared, conn, true) {
                return;
            }
        }
    }
    if !inline {
        if conn.pending_input() > 0 {
            conn.resume_input();
        } else if ended {
            conn.close();
        }
    }
}

/// Sets the deadline between two requests: that of an idle connection, or that of sending while much waits to be sent. Then the
/// next request waits too, until all is sent. Returns whether it does.
pub(super) fn await_next(shared: &Shared, conn: &mut Conn<'_, HttpConn>, idle: bool) -> bool {
    let blocked = conn.pending_output() > shared.limits.output_bytes_high;
    if blocked {
        // What the peer sends meanwhile does not put the deadline off: only its reading does.
        if !conn.update(|state| std::mem::replace(&mut state.flags.blocked, true)) {
            conn.set_deadline(Some(shared.limits.write_timeout));
        }
    } else if idle {
        conn.set_deadline(Some(shared.limits.idle_timeout));
    }
    blocked
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
            conn.set_deadline(Some(shared.limits.write_timeout));
            close(conn);
        }
        Err(_) => conn.abort(),
    }
}

/// Ends the connection behind what is queued. The peer may still be sending, so its end is awaited.
pub(super) fn close(conn: &mut Conn<'_, HttpConn>) {
    conn.update(|state| state.phase = Phase::Closing);
    conn.close_lingering();
}

/// Gives a connection whose answer was deferred back to the request that it waits for; not one that was answered already.
pub(super) fn resume_deferred(facts: &RequestFacts) {
    let fiber = current_fiber();
    update(facts.id, |state| {
        if state.sequence == facts.sequence && state.phase == Phase::Deferred {
            state.phase = Phase::Handling;
            state.fiber = fiber;
        }
    });
}
