//! A streaming body's way out: chunk by chunk, at the pace of the peer.

use super::{HttpConn, RequestFacts, Shared, update, with_request};
use crate::http1::encode_chunk;
use std::io;
use std::rc::Rc;
use sws_runtime::{Cancelled, ConnId, SendError, current_fiber, park, with_conn};

/// Bytes of one chunk.
const CHUNK_MAX: usize = 16 * 1024;

/// Writes a body to a connection; waits while more than the bound is queued.
pub(super) struct ConnWriter {
    id: ConnId,
    sequence: u32,
    chunked: bool,
    shared: Rc<Shared>,
}

impl ConnWriter {
    pub(super) fn new(shared: &Rc<Shared>, facts: &RequestFacts, chunked: bool) -> ConnWriter {
        ConnWriter { id: facts.id, sequence: facts.sequence, chunked, shared: Rc::clone(shared) }
    }

    /// Suspends the fiber until the peer has taken what is queued, if that is over `high` bytes.
    pub(super) fn wait_for_room(&self, high: usize) -> io::Result<()> {
        loop {
            let pending = with_conn::<HttpConn, _>(self.id, |conn| (conn.pending_output(), conn.progress()));
            let Some((pending, sent)) = pending else { return Err(Cancelled.into()) };
            if pending <= high {
                return Ok(());
            }
            let fiber = current_fiber();
            let ours = update(self.id, |state| {
                let ours = state.sequence == self.sequence;
                if ours {
                    state.fiber = fiber;
                    state.flags.writing = true;
                    state.sent_mark = sent as u32;
                }
                ours
            });
            if ours != Some(true) {
                return Err(Cancelled.into());
            }
            let limits = &self.shared.limits;
            with_request(self.id, self.sequence, |conn| conn.set_deadline(Some(limits.write_timeout)));
            let parked = park("output");
            with_request(self.id, self.sequence, |conn| {
                conn.update(|state| state.flags.writing = false);
                conn.set_deadline(Some(limits.handler_timeout));
            });
            parked?;
        }
    }
}

impl io::Write for ConnWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.wait_for_room(self.shared.limits.output_bytes_high)?;
        let piece = &bytes[..bytes.len().min(CHUNK_MAX)];
        let queued = with_conn::<HttpConn, _>(self.id, |conn| {
            conn.write_with(piece.len() + 16, |out| match self.chunked {
                true => encode_chunk(out, piece),
                false => out.extend_from_slice(piece),
            })
        });
        queued.unwrap_or(Err(SendError::Closed))?;
        Ok(piece.len())
    }

    /// What was written leaves at the end of the loop's turn, that is when the handler next waits.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
