//! Sending a response: its head behind what is queued, its body by the way that fits it.

use super::writer::ConnWriter;
use super::{HttpConn, RequestFacts, Shared, finish, update};
use crate::body::{Body, BodyWriter, FileBody};
use crate::http1::{ResponseFraming, ResponseHead, encode_head, encode_last_chunk};
use crate::response::{Response, ResponseParts};
use bytes::Bytes;
use http::header::CONNECTION;
use std::io;
use std::rc::Rc;
use sws_runtime::{SendError, with_conn};

/// A body up to this size is copied behind its head, into the same buffer.
const INLINE_MAX: usize = 4096;
/// Bytes of a head, generously.
const HEAD_ESTIMATE: usize = 256;
/// Bytes of a file read at once.
const FILE_PIECE: usize = 64 * 1024;

/// Queues head and body; returns whether the connection is kept. A streaming body waits here for the peer to read.
pub(super) fn send(shared: &Rc<Shared>, facts: &RequestFacts, response: Response) -> io::Result<bool> {
    let parts = response.into_parts();
    let framing = ResponseFraming::choose(facts.version, parts.status, parts.body.len());
    let reusable = update(facts.id, |state| !state.flags.draining && finish::can_discard(shared, state));
    let keep_alive = facts.keep_alive
        && reusable == Some(true)
        && framing != ResponseFraming::CloseDelimited
        && !asks_to_close(&parts);
    let has_body = !facts.is_head && framing != ResponseFraming::None;
    let inline = match (&parts.body, has_body) {
        (Body::Static(bytes), true) if bytes.len() <= INLINE_MAX => *bytes,
        (Body::Bytes(bytes), true) if bytes.len() <= INLINE_MAX => &bytes[..],
        (Body::Buffer(bytes), true) if bytes.len() <= INLINE_MAX => &bytes[..],
        _ => &[],
    };
    let queued = with_conn::<HttpConn, _>(facts.id, |conn| {
        conn.write_with(HEAD_ESTIMATE + inline.len(), |out| {
            shared.with_date(|date| {
                let head = ResponseHead {
                    status: parts.status,
                    version: facts.version,
                    keep_alive,
                    framing,
                    content_type: parts.content_type,
                    date,
                };
                encode_head(out, &head, parts.headers.iter().map(|(name, value)| (name, value)));
            });
            out.extend_from_slice(inline);
        })
    });
    queued.unwrap_or(Err(SendError::Closed))?;
    if has_body && inline.is_empty() {
        send_body(shared, facts, framing, parts.body)?;
    }
    Ok(keep_alive)
}

fn asks_to_close(parts: &ResponseParts) -> bool {
    parts
        .headers
        .iter()
        .any(|(name, value)| *name == CONNECTION && value.as_bytes().eq_ignore_ascii_case(b"close"))
}

fn send_body(
    shared: &Rc<Shared>,
    facts: &RequestFacts,
    framing: ResponseFraming,
    body: Body,
) -> io::Result<()> {
    match body {
        Body::Empty => Ok(()),
        Body::Static(bytes) => push(facts, Bytes::from_static(bytes)),
        Body::Bytes(bytes) => push(facts, bytes),
        Body::Buffer(buffer) => push(facts, Bytes::from(buffer)),
        Body::File(file) => send_file(shared, facts, file),
        Body::Stream(write) => {
            let chunked = framing == ResponseFraming::Chunked;
            let mut output = ConnWriter::new(shared, facts, chunked);
            write(&mut BodyWriter::new(&mut output))?;
            if chunked {
                output.wait_for_room()?;
                let end = with_conn::<HttpConn, _>(facts.id, |conn| conn.write_with(8, encode_last_chunk));
                end.unwrap_or(Err(SendError::Closed))?;
            }
            Ok(())
        }
    }
}

fn push(facts: &RequestFacts, bytes: Bytes) -> io::Result<()> {
    let queued = with_conn::<HttpConn, _>(facts.id, |conn| conn.push_bytes(bytes));
    Ok(queued.unwrap_or(Err(SendError::Closed))?)
}

/// Reads a file piece by piece, as fast as the peer takes them. One that became shorter than was promised is an error.
fn send_file(shared: &Rc<Shared>, facts: &RequestFacts, mut file: FileBody) -> io::Result<()> {
    let writer = ConnWriter::new(shared, facts, false);
    while file.len > 0 {
        writer.wait_for_room()?;
        let wanted = usize::try_from(file.len).unwrap_or(usize::MAX).min(FILE_PIECE);
        let mut piece = vec![0; wanted];
        let count = file.source.read_at(&mut piece, file.offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(count);
        file.offset += count as u64;
        file.len -= count as u64;
        push(facts, Bytes::from(piece))?;
    }
    Ok(())
}
