//! A request body as the handler reads it: from the connection's input, waiting for more.

use super::{BodyLeft, HttpConn, Phase, Shared, update, with_request};
use crate::body::{BodyError, BodySource};
use crate::http1::{CONTINUE, ChunkEvent};
use std::io;
use std::rc::Rc;
use sws_runtime::{ConnId, current_fiber, park, with_conn};

/// Reads the body of the request that the connection is handling.
pub(super) struct ConnBody {
    pub(super) id: ConnId,
    pub(super) sequence: u32,
    pub(super) shared: Rc<Shared>,
}

/// What one look at the input gave.
enum Step {
    Bytes(usize),
    End,
    Malformed,
    More,
}

impl BodySource for ConnBody {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match self.step(buf)? {
                Step::Bytes(count) => return Ok(count),
                Step::End => return Ok(0),
                Step::Malformed => return Err(BodyError::Malformed.into()),
                Step::More => self.wait()?,
            }
        }
    }

    fn remaining_hint(&self) -> Option<u64> {
        match self.with(|state| state.body)? {
            BodyLeft::None => Some(0),
            BodyLeft::Length(left) => Some(left),
            BodyLeft::Chunked(_) => None,
        }
    }
}

impl ConnBody {
    /// The connection's state, while it still handles this request.
    fn with<R>(&self, f: impl FnOnce(&mut HttpConn) -> R) -> Option<R> {
        update(self.id, |state| (state.sequence == self.sequence).then(|| f(state))).flatten()
    }

    fn step(&self, buf: &mut [u8]) -> io::Result<Step> {
        let Some(mut body) = self.with(|state| state.body) else { return Err(BodyError::Cancelled.into()) };
        if matches!(body, BodyLeft::None | BodyLeft::Length(0)) {
            self.with(|state| state.body = BodyLeft::None);
            return Ok(Step::End);
        }
        let mut step = Step::More;
        with_conn::<HttpConn, _>(self.id, |conn| {
            conn.take_input(|input| {
                let (taken, result) = take(&mut body, input, buf);
                step = result;
                taken
            })
        });
        self.with(|state| state.body = body);
        Ok(step)
    }

    /// Waits for more of the body. The first wait of a peer that asked for it says that it may go on (RFC 9110, 10.1.1).
    fn wait(&self) -> io::Result<()> {
        // Inside `on_data` what came with the head is not in the slot's input yet, so the end may stand behind it.
        let ended = with_conn::<HttpConn, bool>(self.id, |conn| {
            let inline = conn.update(|state| state.flags.inline);
            !inline && conn.is_ended() && conn.pending_input() == 0
        });
        match ended {
            Some(false) => {}
            Some(true) => return Err(BodyError::Malformed.into()),
            None => return Err(BodyError::Cancelled.into()),
        }
        let fiber = current_fiber();
        // A request that was deferred may have been answered, or be at it, by another fiber.
        let waits = self.with(|state| {
            matches!(state.phase, Phase::Handling | Phase::Deferred)
                && (!state.flags.answering || state.fiber.is_none_or(|answering| Some(answering) == fiber))
        });
        if waits != Some(true) {
            return Err(BodyError::Cancelled.into());
        }
        if self.with(|state| std::mem::take(&mut state.flags.expects)) == Some(true) {
            with_conn::<HttpConn, _>(self.id, |conn| {
                conn.write_with(CONTINUE.len(), |out| out.extend_from_slice(CONTINUE))
            });
        }
        self.with(|state| {
            state.fiber = fiber;
            state.flags.reading = true;
        });
        let limits = &self.shared.limits;
        with_request(self.id, self.sequence, |conn| conn.set_deadline(Some(limits.body_timeout)));
        let parked = park("request body");
        let timed_out = with_request(self.id, self.sequence, |conn| {
            // An answer that has come meanwhile has its own deadline.
            let timed_out = conn.update(|state| {
                (state.fiber == fiber).then(|| {
                    state.flags.reading = false;
                    std::mem::take(&mut state.flags.timed_out)
                })
            });
            if timed_out.is_some() {
                conn.set_deadline(Some(limits.handler_timeout));
            }
            timed_out
        })
        .flatten();
        match (parked, timed_out) {
            (_, Some(true)) => Err(BodyError::TimedOut.into()),
            (Ok(()), Some(false)) => Ok(()),
            (Err(_), _) | (_, None) => Err(BodyError::Cancelled.into()),
        }
    }
}

/// Moves bytes of the body from the input to `buf`; returns how many of the input are done with.
fn take(body: &mut BodyLeft, input: &[u8], buf: &mut [u8]) -> (usize, Step) {
    match body {
        BodyLeft::None => (0, Step::End),
        BodyLeft::Length(left) => {
            let count = input.len().min(buf.len()).min(usize::try_from(*left).unwrap_or(usize::MAX));
            if count == 0 {
                return (0, Step::More);
            }
            buf[..count].copy_from_slice(&input[..count]);
            *left -= count as u64;
            (count, Step::Bytes(count))
        }
        BodyLeft::Chunked(decoder) => {
            let mut at = 0;
            loop {
                // No more input than fits in `buf` is looked at, so that every piece can be copied whole.
                let window = &input[at..][..buf.len().min(input.len() - at)];
                match decoder.next(window) {
                    ChunkEvent::Data { consumed, data } => {
                        let count = data.len();
                        buf[..count].copy_from_slice(&window[data]);
                        return (at + consumed, Step::Bytes(count));
                    }
                    ChunkEvent::NeedMore { consumed: 0 } => return (at, Step::More),
                    ChunkEvent::NeedMore { consumed } => at += consumed,
                    ChunkEvent::End { consumed } => {
                        *body = BodyLeft::None;
                        return (at + consumed, Step::End);
                    }
                    ChunkEvent::Reject(_) => return (at, Step::Malformed),
                }
            }
        }
    }
}
