//! The way of bytes to be sent: queued by handlers and fibers, submitted once per turn, continued after short writes.
//!
//! # Unsafe
//!
//! A send names memory of the output's pieces. The pieces of a send in flight are at the front, are not touched before its
//! completion, and the output is not released before that. A piece's bytes are on the heap, so moving the piece in its queue
//! does not move them; the last piece is appended to only when it is not in flight.

use super::pipe::Pipe;
use super::{ConnId, Conns, descriptor, flag};
use crate::core::Core;
use crate::limits::{COPY_MAX, Overflow, PIECES_PER_SEND};
use crate::turn::guarded;
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use sws_rings::{Message, Op, OpKind, Span};
use sws_stackpool::{NONE, SlotState, TieredBuffers};

/// Bytes of the first piece of an output, and of further ones.
const PIECE_FIRST: usize = 512;
const PIECE_NEXT: usize = 8 * 1024;

/// Bytes of a shared message up to which it is copied behind others, instead of being a piece of its own.
const MESSAGE_COPY_MAX: usize = 2 * 1024;

/// Why bytes were not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// More would wait than the connection may hold back.
    Full,
    /// The connection is closing, or gone.
    Closed,
    /// All pooled buffers are in use.
    NoBuffer,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full => "the connection's output is full",
            SendError::Closed => "the connection is closed",
            SendError::NoBuffer => "all buffers are in use",
        })
    }
}

impl std::error::Error for SendError {}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> io::Error {
        let kind = match error {
            SendError::Full => io::ErrorKind::WouldBlock,
            SendError::Closed => io::ErrorKind::BrokenPipe,
            SendError::NoBuffer => io::ErrorKind::OutOfMemory,
        };
        io::Error::new(kind, error)
    }
}

enum Piece {
    /// A pooled buffer that can be appended to.
    Pooled(Vec<u8>),
    /// Bytes that others share.
    Shared(Bytes),
    /// A part of a file.
    Piped(Pipe),
}

impl Piece {
    /// What is in memory of it.
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Pooled(buffer) => buffer,
            Piece::Shared(bytes) => bytes,
            Piece::Piped(_) => &[],
        }
    }

    fn len(&self) -> usize {
        match self {
            Piece::Piped(pipe) => pipe.len(),
            Piece::Pooled(_) | Piece::Shared(_) => self.bytes().len(),
        }
    }
}

/// Shared pieces that are done with. They may have destructors of the user's, so they are dropped when nothing is borrowed; the
/// first costs no heap block.
#[derive(Default)]
struct Done {
    first: Option<Bytes>,
    more: Vec<Bytes>,
}

impl Done {
    fn push(&mut self, bytes: Bytes) {
        match self.first {
            None => self.first = Some(bytes),
            Some(_) => self.more.push(bytes),
        }
    }
}

/// What one connection has to send.
#[derive(Default)]
pub(super) struct Output {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are sent.
    sent: usize,
    /// Bytes of all pieces that are not.
    pending: usize,
    /// Pieces that the send in flight names.
    in_flight: usize,
    message: Option<Box<Message>>,
}

impl Output {
    /// Bytes that are not sent.
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Queues a piece.
    fn push(&mut self, piece: Piece) {
        self.pending += piece.len();
        self.pieces.push_back(piece);
    }

    /// Queues a message that others share: by reference if it is the first, or large.
    #[inline]
    pub(super) fn share(&mut self, frame: &Bytes, buffers: &mut TieredBuffers) {
        if self.pieces.is_empty() {
            self.push(Piece::Shared(frame.clone()));
        } else {
            // The caller has it still: no destructor runs.
            let _ = self.append(frame.clone(), buffers);
        }
    }

    /// Appends a message: a small one copied, so that many leave in few pieces; it is given back then, because its destructor may be
    /// the user's, which is not called here.
    #[must_use]
    pub(super) fn append(&mut self, frame: Bytes, buffers: &mut TieredBuffers) -> Option<Bytes> {
        if frame.len() <= MESSAGE_COPY_MAX {
            if self.tail(frame.len()).is_none()
                && let Some(buffer) = buffers.acquire(PIECE_NEXT)
            {
                self.pieces.push_back(Piece::Pooled(buffer));
            }
            if let Some(tail) = self.tail(frame.len()) {
                tail.extend_from_slice(&frame);
                self.pending += frame.len();
                return Some(frame);
            }
        }
        self.push(Piece::Shared(frame));
        None
    }

    /// The last piece, if bytes can be appended to it without moving what it holds.
    fn tail(&mut self, room: usize) -> Option<&mut Vec<u8>> {
        let last = self.pieces.len().checked_sub(1)?;
        if last < self.in_flight {
            return None;
        }
        match self.pieces.back_mut() {
            Some(Piece::Pooled(buffer)) if buffer.capacity() - buffer.len() >= room => Some(buffer),
            _ => None,
        }
    }

    /// The operation that sends the pieces at the front.
    fn send(&mut self, descriptor: sws_rings::Descriptor) -> Op {
        if let Some(Piece::Piped(pipe)) = self.pieces.front() {
            self.in_flight = 1;
            return pipe.drain(self.sent, descriptor);
        }
        let in_memory = self.pieces.iter().take(PIECES_PER_SEND);
        self.in_flight = in_memory.take_while(|piece| !matches!(piece, Piece::Piped(_))).count();
        if self.in_flight == 1 {
            return Op::Send { descriptor, data: Span::of(&self.pieces[0].bytes()[self.sent..]) };
        }
        let message = self.message.get_or_insert_with(Message::new);
        let pieces = self.pieces.iter().take(self.in_flight).enumerate();
        let sent = self.sent;
        let spans =
            pieces.map(|(n, piece)| Span::of(if n == 0 { &piece.bytes()[sent..] } else { piece.bytes() }));
        message.set(spans, None);
        Op::SendVectored { descriptor, message: message.span() }
    }

    /// What the send in flight is.
    fn in_flight_kind(&self) -> OpKind {
        match self.pieces.front() {
            Some(Piece::Piped(_)) => OpKind::Splice,
            _ => OpKind::Send,
        }
    }

    /// Takes what was sent from the front; `release` gets the pieces that are done with. Whether anything has moved.
    fn advance(&mut self, mut sent: usize, mut release: impl FnMut(Piece)) -> bool {
        let mut has_moved = sent > 0;
        self.in_flight = 0;
        self.pending = self.pending.saturating_sub(sent);
        sent += self.sent;
        while let Some(front) = self.pieces.front() {
            let len = front.len();
            if sent < len {
                break;
            }
            sent -= len;
            if let Some(piece) = self.pieces.pop_front() {
                has_moved = true;
                release(piece);
            }
        }
        self.sent = sent;
        has_moved
    }
}

impl Conns {
    /// The output of an open connection, made if it has none. `None` when nothing more is to be sent on it.
    fn output_of(&self, id: ConnId) -> Option<u32> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(id)?;
        let over = flag::DOOMED | flag::CLOSE_AFTER | flag::LINGERING;
        if slot.state() != SlotState::Live || slot.flags & over != 0 {
            return None;
        }
        if slot.output == NONE {
            slot.output = self.outputs.borrow_mut().acquire();
        }
        if slot.flags & (flag::DIRTY | flag::SENDING) == 0 {
            slot.flags |= flag::DIRTY;
            self.dirty.borrow_mut().push(id);
        }
        Some(slot.output)
    }

    pub(super) fn send(&self, core: &Core, id: ConnId, bytes: &[u8]) -> Result<(), SendError> {
        self.check_room(core, id, bytes.len())?;
        if bytes.len() > COPY_MAX {
            return self.send_bytes(core, id, Bytes::copy_from_slice(bytes));
        }
        self.write_with(id, bytes.len(), |out| out.extend_from_slice(bytes))
    }

    pub(super) fn send_bytes(&self, core: &Core, id: ConnId, bytes: Bytes) -> Result<(), SendError> {
        self.check_room(core, id, bytes.len())?;
        self.push_bytes(id, bytes)
    }

    /// Refuses what would be over the bound. One message that is larger than it alone goes out when nothing waits.
    fn check_room(&self, core: &Core, id: ConnId, len: usize) -> Result<(), SendError> {
        let pending = self.pending_output(id);
        if pending == 0 || pending + len <= core.limits.output_bytes_max {
            return Ok(());
        }
        if !self.is_open(id) {
            return Err(SendError::Closed);
        }
        match core.limits.output_overflow {
            Overflow::Close => self.doom(id),
            Overflow::Refuse | Overflow::DropOldest | Overflow::KeepLatest => {}
        }
        Err(SendError::Full)
    }

    pub(super) fn push_bytes(&self, id: ConnId, bytes: Bytes) -> Result<(), SendError> {
        if bytes.len() <= COPY_MAX {
            return self.write_with(id, bytes.len(), |out| out.extend_from_slice(&bytes));
        }
        let handle = self.output_of(id).ok_or(SendError::Closed)?;
        self.outputs.borrow_mut().values[handle as usize].push(Piece::Shared(bytes));
        Ok(())
    }

    /// Queues a message that others share: by reference if it is the first, or large.
    pub(super) fn push_shared(&self, id: ConnId, frame: &Bytes) -> Result<(), SendError> {
        let handle = self.output_of(id).ok_or(SendError::Closed)?;
        let mut outputs = self.outputs.borrow_mut();
        outputs.values[handle as usize].share(frame, &mut self.buffers.borrow_mut());
        Ok(())
    }

    #[inline]
    pub(super) fn write_with<R>(
        &self,
        id: ConnId,
        len: usize,
        f: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> Result<R, SendError> {
        let (handle, place, mut buffer) = self.take_tail(id, len.max(1))?;
        let (before, capacity) = (buffer.len(), buffer.capacity());
        // Nothing is borrowed meanwhile, and the buffer goes back whatever `f` does.
        let outcome = catch_unwind(AssertUnwindSafe(|| f(&mut buffer)));
        if outcome.is_err() {
            buffer.truncate(before);
        }
        if buffer.capacity() != capacity {
            self.buffers.borrow_mut().detach(capacity);
        }
        if buffer.len() < before {
            // What stood before is not the closure's to take away, and nobody knows what of it is left.
            if buffer.capacity() == capacity {
                self.buffers.borrow_mut().release(buffer);
            }
            self.outputs.borrow_mut().values[handle as usize].pieces[place] = Piece::Shared(Bytes::new());
            self.doom(id);
            return outcome.or_else(|payload| resume_unwind(payload));
        }
        let written = buffer.len() - before;
        let mut outputs = self.outputs.borrow_mut();
        let output = &mut outputs.values[handle as usize];
        output.pending += written;
        output.pieces[place] = Piece::Pooled(buffer);
        drop(outputs);
        outcome.or_else(|payload| resume_unwind(payload))
    }

    /// Takes the last piece out of its place, with room for `len` bytes more; a new one if it has none.
    fn take_tail(&self, id: ConnId, len: usize) -> Result<(u32, usize, Vec<u8>), SendError> {
        let handle = self.output_of(id).ok_or(SendError::Closed)?;
        let mut outputs = self.outputs.borrow_mut();
        let output = &mut outputs.values[handle as usize];
        if output.tail(len).is_none() {
            // The first answer of a turn is often the only one; behind it there may be many, which go into few pieces.
            let class = if output.pieces.is_empty() { len.max(PIECE_FIRST) } else { len.max(PIECE_NEXT) };
            let buffer = self.buffers.borrow_mut().acquire(class).ok_or(SendError::NoBuffer)?;
            output.pieces.push_back(Piece::Pooled(buffer));
        }
        let place = output.pieces.len() - 1;
        let buffer = output.tail(len).map(std::mem::take).ok_or(SendError::NoBuffer)?;
        Ok((handle, place, buffer))
    }

    /// Queues a pooled buffer as it is.
    pub(super) fn push_buffer(&self, id: ConnId, buffer: Vec<u8>) -> Result<(), SendError> {
        let Some(handle) = self.output_of(id) else {
            self.buffers.borrow_mut().release(buffer);
            return Err(SendError::Closed);
        };
        self.outputs.borrow_mut().values[handle as usize].push(Piece::Pooled(buffer));
        Ok(())
    }

    /// Queues what is in a pipe.
    pub(super) fn push_pipe(&self, id: ConnId, pipe: Pipe) -> Result<(), SendError> {
        if pipe.len() == 0 {
            return Ok(());
        }
        let handle = self.output_of(id).ok_or(SendError::Closed)?;
        self.outputs.borrow_mut().values[handle as usize].push(Piece::Piped(pipe));
        Ok(())
    }

    /// The kind of the send that is in flight.
    pub(super) fn in_flight_kind(&self, id: ConnId) -> OpKind {
        match self.with(id, |slot| slot.output) {
            None | Some(NONE) => OpKind::Send,
            Some(handle) => self.outputs.borrow().values[handle as usize].in_flight_kind(),
        }
    }

    pub(super) fn pending_output(&self, id: ConnId) -> usize {
        match self.with(id, |slot| slot.output) {
            None | Some(NONE) => 0,
            Some(handle) => self.outputs.borrow().values[handle as usize].pending,
        }
    }

    /// Submits one send for each connection that has output and none in flight.
    pub(crate) fn flush(&self, core: &Core) {
        let mut dirty = self.dirty.take();
        for id in dirty.drain(..) {
            self.with(id, |slot| slot.flags &= !flag::DIRTY);
            self.start_send(core, id);
        }
        let mut refilled = self.dirty.borrow_mut();
        if refilled.is_empty() {
            *refilled = dirty;
        }
    }

    fn start_send(&self, core: &Core, id: ConnId) {
        let Some((flags, handle, target)) = self.with(id, |slot| (slot.flags, slot.output, descriptor(slot)))
        else {
            return;
        };
        if flags & (flag::SENDING | flag::DOOMED) != 0 || handle == NONE {
            return;
        }
        if self.outputs.borrow().values[handle as usize].pending == 0 && !self.refill(core, id, handle) {
            self.drop_output(id);
            self.on_drained(core, id);
            return;
        }
        let op = self.outputs.borrow_mut().values[handle as usize].send(target);
        self.with(id, |slot| slot.flags |= flag::SENDING);
        // SAFETY: see the module doc: the pieces in flight stay until the completion, which `on_sent` takes.
        unsafe { self.submit(core, id, &op) };
    }

    /// A send completed, wholly or in part.
    pub(super) fn on_sent(&self, core: &Core, id: ConnId, result: Result<u32, i32>) {
        let Some((handle, flags)) = self.with(id, |slot| {
            slot.flags &= !flag::SENDING;
            slot.bytes_out += u64::from(result.unwrap_or(0));
            (slot.output, slot.flags)
        }) else {
            return;
        };
        let mut done = Done::default();
        let mut has_moved = false;
        if handle != NONE {
            let mut outputs = self.outputs.borrow_mut();
            let mut buffers = self.buffers.borrow_mut();
            has_moved =
                outputs.values[handle as usize].advance(result.unwrap_or(0) as usize, |piece| match piece {
                    Piece::Pooled(buffer) => buffers.release(buffer),
                    Piece::Shared(bytes) => done.push(bytes),
                    Piece::Piped(mut pipe) => pipe.set_drained(),
                });
        }
        guarded(|| drop(done));
        match result {
            _ if flags & flag::DOOMED != 0 => self.drop_output(id),
            // Something is always sent, or an error says why not; asking again would be without end.
            Ok(0) if !has_moved => self.doom(id),
            Ok(_) | Err(libc::EINTR | libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                self.start_send(core, id)
            }
            Err(_) => self.doom(id),
        }
        self.end_op(core, id);
    }

    /// All output is sent: the handler is told, or the close that waited for it goes on.
    fn on_drained(&self, core: &Core, id: ConnId) {
        let flags = self.with(id, |slot| slot.flags).unwrap_or(0);
        if flags & flag::CLOSE_AFTER != 0 {
            self.finish_close(core, id);
        } else {
            self.call(core, id, |service, conn| service.on_sent(conn));
        }
    }

    /// Releases the output of a slot. Not while a send is in flight.
    pub(super) fn drop_output(&self, id: ConnId) {
        let handle = self.with(id, |slot| match slot.flags & flag::SENDING {
            0 => std::mem::replace(&mut slot.output, NONE),
            _ => NONE,
        });
        if let Some(handle) = handle.filter(|&handle| handle != NONE) {
            let mut done = Done::default();
            let mut outputs = self.outputs.borrow_mut();
            let output = &mut outputs.values[handle as usize];
            let mut buffers = self.buffers.borrow_mut();
            for piece in output.pieces.drain(..) {
                match piece {
                    Piece::Pooled(buffer) => buffers.release(buffer),
                    Piece::Shared(bytes) => done.push(bytes),
                    Piece::Piped(pipe) => drop(pipe),
                }
            }
            (output.sent, output.pending, output.in_flight) = (0, 0, 0);
            outputs.release(handle);
            drop((outputs, buffers));
            guarded(|| drop(done));
        }
    }
}
