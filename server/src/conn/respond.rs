//! Sending a response: its head behind what is queued, its body by the way that fits it.

use super::service::Batch;
use super::writer::ConnWriter;
use super::{HttpConn, Phase, RequestFacts, Shared, finish};
use crate::body::{Body, BodyWriter, FileBody};
use crate::http1::{ResponseFraming, ResponseHead, encode_head, encode_last_chunk};
use crate::response::{Response, ResponseParts};
use bytes::Bytes;
use http::header::CONNECTION;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use sws_runtime::{
    Cancelled, Conn, Pipe, SendError, acquire_buffer, acquire_pipe, release_buffer, sleep, with_conn,
};

/// A body up to this size is copied behind its head, into the same buffer.
const INLINE_MAX: usize = 4096;
/// Bytes of a head, generously.
const HEAD_ESTIMATE: usize = 256;
/// Bytes of a file read at once.
const FILE_PIECE: usize = 64 * 1024;
/// Bytes of a file from which on it is not copied.
const SPLICE_MIN: u64 = Pipe::BYTES as u64;
/// Between two tries to get a buffer when all are in use.
const BUFFER_PAUSE: Duration = Duration::from_millis(5);

/// How far an answer has come when its head is queued.
pub(super) enum Begun {
    /// The connection has given up on it.
    NotWaitedFor,
    /// All of it is queued.
    Whole { keep_alive: bool },
    /// The body is still to come.
    Head { keep_alive: bool, framing: ResponseFraming },
    /// Nothing is queued.
    Broken(SendError),
}

/// Whether a body is queued at once with its head, so that its fiber does not wait.
pub(super) fn is_small(body: &Body) -> bool {
    match body {
        Body::Empty => true,
        Body::Static(bytes) => bytes.len() <= INLINE_MAX,
        Body::Bytes(bytes) => bytes.len() <= INLINE_MAX,
        Body::Buffer(bytes) => bytes.len() <= INLINE_MAX,
        Body::File(_) | Body::Stream(_) => false,
    }
}

/// Queues the head, and the body behind it if that is small.
pub(super) fn begin(
    shared: &Shared,
    conn: &mut Conn<'_, HttpConn>,
    facts: &RequestFacts,
    parts: &mut ResponseParts,
) -> Begun {
    let (waits, reusable) = conn.update(|state| {
        let waits = state.sequence == facts.sequence
            && matches!(state.phase, Phase::Handling | Phase::Deferred)
            && !state.flags.answering;
        (waits, !state.flags.draining && finish::can_discard(shared, state))
    });
    if !waits {
        return Begun::NotWaitedFor;
    }
    if parts.status.is_informational() {
        // An interim status is no answer: the client would go on waiting.
        *parts = Response::internal_error().into_parts();
    }
    let framing = ResponseFraming::choose(facts.version, parts.status, parts.body.len());
    let keep_alive =
        facts.keep_alive && reusable && framing != ResponseFraming::CloseDelimited && !asks_to_close(parts);
    let has_body = !facts.is_head && framing != ResponseFraming::None;
    let small = match (&parts.body, has_body) {
        (_, false) | (Body::Empty, true) => Some(&[][..]),
        (Body::Static(bytes), true) => Some(*bytes),
        (Body::Bytes(bytes), true) => Some(&bytes[..]),
        (Body::Buffer(bytes), true) => Some(&bytes[..]),
        (Body::File(_) | Body::Stream(_), true) => None,
    };
    let small = small.filter(|bytes| bytes.len() <= INLINE_MAX);
    let queued = conn.write_with(HEAD_ESTIMATE + small.map_or(0, <[u8]>::len), |out| {
        let before = out.len();
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
        out.extend_from_slice(small.unwrap_or_default());
        out.len() - before
    });
    match (queued, small) {
        (Err(error), _) => Begun::Broken(error),
        (Ok(written), Some(_)) => {
            let batch = shared.batch.get();
            shared.batch.set(Batch { room: batch.room.saturating_sub(written), ..batch });
            Begun::Whole { keep_alive }
        }
        (Ok(_), None) => {
            conn.update(|state| state.flags.answering = true);
            Begun::Head { keep_alive, framing }
        }
    }
}

fn asks_to_close(parts: &ResponseParts) -> bool {
    parts
        .headers
        .iter()
        .any(|(name, value)| *name == CONNECTION && value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// Sends a body that is not small. A streaming one waits here for the peer to read. On a fiber.
pub(super) fn send_body(
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
                output.wait_for_room(shared.limits.output_bytes_high)?;
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

/// Sends a file, as fast as the peer takes it: without copying it while there is much to come, then piece by piece through pooled
/// buffers. One that became shorter than was promised is an error.
fn send_file(shared: &Rc<Shared>, facts: &RequestFacts, mut file: FileBody) -> io::Result<()> {
    let writer = ConnWriter::new(shared, facts, false);
    let mut can_splice = true;
    while file.len > 0 {
        let splices = can_splice && file.len >= SPLICE_MIN;
        writer.wait_for_room(if splices { Pipe::BYTES } else { FILE_PIECE })?;
        let done = match splices.then(acquire_pipe).flatten() {
            Some(pipe) => {
                let spliced = splice_piece(facts, &file, pipe)?;
                can_splice = spliced.is_some();
                spliced
            }
            None => copy_piece(facts, &mut file)?,
        };
        let count = done.unwrap_or(0) as u64;
        file.offset += count;
        file.len -= count;
    }
    Ok(())
}

/// Queues the next piece of a file without copying it: how many bytes, or `None` if that cannot be done with this file.
fn splice_piece(facts: &RequestFacts, file: &FileBody, mut pipe: Pipe) -> io::Result<Option<usize>> {
    let Some(descriptor) = file.source.descriptor() else { return Ok(None) };
    let count = match pipe.fill(descriptor, file.offset, file.len) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => count,
        Err(error) if Cancelled::is_in(&error) => return Err(error),
        // Reading it will say what is wrong, if anything is.
        Err(_) => return Ok(None),
    };
    let queued = with_conn::<HttpConn, _>(facts.id, |conn| conn.push_pipe(pipe));
    queued.unwrap_or(Err(SendError::Closed))?;
    Ok(Some(count))
}

/// Queues the next piece of a file in a pooled buffer: how many bytes, or `None` if there is none at the moment.
fn copy_piece(facts: &RequestFacts, file: &mut FileBody) -> io::Result<Option<usize>> {
    let wanted = usize::try_from(file.len).unwrap_or(usize::MAX).min(FILE_PIECE);
    let Some(mut piece) = acquire_buffer(wanted) else {
        // Other connections hold them all, and give them back as their peers read.
        sleep(BUFFER_PAUSE)?;
        return Ok(None);
    };
    let count = match file.source.read_into(&mut piece, wanted, file.offset) {
        Ok(count @ 1..) => count,
        result => {
            release_buffer(piece);
            return Err(result.err().unwrap_or(io::ErrorKind::UnexpectedEof.into()));
        }
    };
    let mut piece = Some(piece);
    let queued = with_conn::<HttpConn, _>(facts.id, |conn| piece.take().map(|piece| conn.push_buffer(piece)));
    match (queued.flatten(), piece) {
        (Some(Ok(())), _) => Ok(Some(count)),
        (Some(Err(error)), _) => Err(error.into()),
        (None, unused) => {
            if let Some(piece) = unused {
                release_buffer(piece);
            }
            Err(SendError::Closed.into())
        }
    }
}
