//! A connection that becomes another protocol's: the head of the answer is queued, and what follows it is the other's.

use super::{BodyLeft, HttpConn, Phase, RequestFacts, Shared, finish};
use crate::http1::{ResponseFraming, ResponseHead, encode_head};
use crate::response::Response;
use http::StatusCode;
use std::cell::Cell;
use std::rc::Rc;
use sws_runtime::{Conn, turn_time, with_conn};

/// Bytes of a head, generously.
const HEAD_ESTIMATE: usize = 512;

/// Hands a connection over.
type Switch = dyn FnOnce(&mut Conn<'_, HttpConn>);

/// What makes the connection another's when the answer's head is queued.
pub(crate) struct Takeover {
    /// The answer that it belongs to: another one is sent as it is.
    pub(crate) status: StatusCode,
    /// Its media type, where the status alone does not tell it from others.
    pub(crate) content_type: Option<&'static str>,
    pub(crate) switch: Box<Switch>,
}

/// Where a handler leaves it: one place for each request that may be taken over.
pub(crate) type TakeoverCell = Rc<Cell<Option<Takeover>>>;

/// Sends the head and hands the connection over; or answers, where that cannot be done. On a fiber.
pub(super) fn take_over(
    shared: &Rc<Shared>,
    facts: &RequestFacts,
    response: Response,
    takeover: Takeover,
) -> bool {
    let refused = with_conn::<HttpConn, _>(facts.id, |conn| {
        conn.update(|state| match state.body {
            _ if state.flags.draining => Some(StatusCode::SERVICE_UNAVAILABLE),
            BodyLeft::None => None,
            BodyLeft::Length(_) | BodyLeft::Chunked(_) => Some(StatusCode::BAD_REQUEST),
        })
    });
    if let Some(Some(status)) = refused {
        return finish::answer(shared, facts, Response::reason(status));
    }
    let meant = response.status() == takeover.status
        && takeover.content_type.is_none_or(|own| response.header("content-type") == Some(own));
    if facts.is_head || !meant {
        return finish::answer(shared, facts, response);
    }
    with_conn::<HttpConn, _>(facts.id, |conn| {
        let waits = |state: &mut HttpConn| state.sequence == facts.sequence && state.phase == Phase::Handling;
        if !conn.update(waits) {
            return false;
        }
        shared.metrics.count_request(response.status(), turn_time().saturating_sub(facts.began));
        if queue_head(shared, conn, facts, response).is_err() {
            conn.reset();
            return true;
        }
        let ended = conn.is_ended();
        (takeover.switch)(conn);
        if ended {
            conn.close();
        }
        true
    })
    .unwrap_or(false)
}

fn queue_head(
    shared: &Shared,
    conn: &mut Conn<'_, HttpConn>,
    facts: &RequestFacts,
    response: Response,
) -> Result<(), sws_runtime::SendError> {
    let parts = response.into_parts();
    conn.write_with(HEAD_ESTIMATE, |out| {
        shared.with_date(|date| {
            let head = ResponseHead {
                status: parts.status,
                version: facts.version,
                keep_alive: false,
                // The end of the connection is the end of what follows.
                framing: ResponseFraming::CloseDelimited,
                content_type: parts.content_type,
                date,
            };
            encode_head(out, &head, parts.headers.iter().map(|(name, value)| (name, value)));
        });
    })
}
