//! Connected sockets: receiving, sending, ending.

use super::kernel::{Kind, Target};
use super::memory;
use super::peer::{Ending, PeerId};
use super::script::Fault;
use super::world::{Effect, Event, ObjectId, OpId, World};
use crate::op::{Descriptor, Op};
use std::collections::VecDeque;
use std::time::Duration;

/// The server's side of a connection.
pub(super) struct Stream {
    peer: PeerId,
    /// Received, not yet read.
    incoming: VecDeque<u8>,
    incoming_end: bool,
    /// Reported once, by whichever operation comes first.
    error: Option<i32>,
    is_reset: bool,
    is_shut: bool,
    /// Sent, not yet read by the peer.
    outgoing: usize,
    capacity: usize,
    /// When the last byte that was sent arrives.
    arrival_last: Duration,
}

impl Stream {
    pub(super) fn new(peer: PeerId, capacity: usize) -> Stream {
        Stream {
            peer,
            incoming: VecDeque::new(),
            incoming_end: false,
            error: None,
            is_reset: false,
            is_shut: false,
            outgoing: 0,
            capacity,
            arrival_last: Duration::ZERO,
        }
    }

    fn readiness(&self) -> i16 {
        let mut events = 0;
        if !self.incoming.is_empty() || self.incoming_end || self.is_reset {
            events |= libc::POLLIN;
        }
        if self.outgoing < self.capacity || self.is_reset {
            events |= libc::POLLOUT;
        }
        if self.incoming_end {
            events |= libc::POLLRDHUP;
        }
        if self.is_reset {
            events |= libc::POLLERR | libc::POLLHUP;
        }
        events
    }
}

impl World {
    fn stream(&mut self, id: ObjectId) -> Option<&mut Stream> {
        match &mut self.objects.get_mut(&id)?.kind {
            Kind::Stream(stream) => Some(stream),
            Kind::Listener { .. } | Kind::Socket => None,
        }
    }

    /// Carries on with all that waits for this object.
    pub(super) fn progress(&mut self, object: ObjectId) {
        let waiting = self.objects.get(&object).map(|object| object.waiting.clone()).unwrap_or_default();
        for id in waiting {
            while self.try_op(id, object) {}
        }
    }

    fn try_op(&mut self, id: OpId, object: ObjectId) -> bool {
        let Some(op) = self.ops.get(&id) else { return false };
        let op = op.op;
        match (&op, self.objects.get(&object).map(|object| &object.kind)) {
            (Op::Accept { .. } | Op::AcceptMulti { .. }, Some(Kind::Listener { .. })) => {
                self.try_accept(id, object)
            }
            (Op::Poll { events, multi, .. }, Some(Kind::Stream(stream))) => {
                let ready = stream.readiness() & (*events as i16 | libc::POLLERR | libc::POLLHUP);
                if ready != 0 {
                    let more = *multi && !self.draw(Fault::MultishotEnded);
                    self.complete(id, Ok(ready as u32), None, more, Effect::None);
                }
                false
            }
            (Op::Recv { .. } | Op::RecvLease { .. } | Op::RecvMulti { .. }, Some(Kind::Stream(_))) => {
                self.try_receive(id, object, op)
            }
            (Op::Send { .. } | Op::SendVectored { .. }, Some(Kind::Stream(_))) => {
                self.try_send(id, object, op);
                false
            }
            (Op::RecvMessage { .. }, Some(_)) => {
                self.finish(id, Err(libc::EINVAL));
                false
            }
            (
                Op::Recv { .. }
                | Op::RecvLease { .. }
                | Op::RecvMulti { .. }
                | Op::Send { .. }
                | Op::SendVectored { .. },
                Some(Kind::Socket | Kind::Listener { .. }),
            ) => {
                self.finish(id, Err(libc::ENOTCONN));
                false
            }
            // What was started elsewhere completes by the agenda.
            _ => false,
        }
    }

    fn try_receive(&mut self, id: OpId, object: ObjectId, op: Op) -> bool {
        let Some(stream) = self.stream(object) else { return false };
        if stream.incoming.is_empty() {
            if let Some(errno) = stream.error.take() {
                self.finish(id, Err(errno));
            } else if stream.incoming_end || stream.is_reset {
                self.counts.add(Fault::EndOfStream);
                self.finish(id, Ok(0));
            }
            return false;
        }
        if self.draw(Fault::ResetOnReceive) {
            self.interfere(object);
            self.finish(id, Err(libc::ECONNRESET));
            self.progress(object);
            return false;
        }
        let is_multi = matches!(op, Op::RecvMulti { .. });
        if is_multi && self.draw(Fault::MultishotCancelled) {
            self.finish(id, Err(libc::ECANCELED));
            return false;
        }
        let available = self.stream(object).map_or(0, |stream| stream.incoming.len());
        let len = match available > 1 && self.draw(Fault::ShortRead) {
            true => self.random.part(available),
            false => available,
        };
        let Some((len, buffer)) = self.place_received(id, object, op, len) else {
            self.finish(id, Err(libc::ENOBUFS));
            return false;
        };
        let more = is_multi && !self.draw(Fault::MultishotEnded);
        let peer = self.stream(object).map(|stream| {
            stream.incoming.drain(..len as usize);
            stream.peer
        });
        let goes_on = self.complete(id, Ok(len), buffer, more, Effect::None);
        if let Some(peer) = peer {
            self.fill(peer);
        }
        goes_on
    }

    /// Copies received bytes to where the operation wants them: how many, and in which buffer. `None`: ENOBUFS.
    fn place_received(
        &mut self,
        id: OpId,
        object: ObjectId,
        op: Op,
        len: usize,
    ) -> Option<(u32, Option<(u16, bool)>)> {
        if let Op::Recv { buffer, .. } = op {
            let len = len.min(buffer.len() as usize);
            let stream = self.stream(object)?;
            memory::write(buffer, &stream.incoming.make_contiguous()[..len]);
            return Some((len as u32, None));
        }
        if self.draw(Fault::BuffersExhausted) {
            return None;
        }
        let ring = self.ops[&id].ring;
        let Some(Kind::Stream(stream)) = self.objects.get_mut(&object).map(|object| &mut object.kind) else {
            return None;
        };
        let state = &mut self.rings[ring];
        let bytes = &stream.incoming.make_contiguous()[..len];
        let received = state.buffers.as_ref()?.receive(&mut state.cursor, bytes);
        if received.is_none() {
            self.counts.add(Fault::BuffersExhausted);
        }
        received.map(|(buffer, len, is_kept)| (len, Some((buffer, is_kept))))
    }

    fn try_send(&mut self, id: OpId, object: ObjectId, op: Op) {
        let Some(stream) = self.stream(object) else { return };
        if let Some(errno) = stream.error.take() {
            return self.finish(id, Err(errno));
        }
        if stream.is_reset || stream.is_shut {
            return self.finish(id, Err(libc::EPIPE));
        }
        let room = stream.capacity.saturating_sub(stream.outgoing);
        if room == 0 {
            return;
        }
        if self.draw(Fault::ResetOnSend) {
            self.interfere(object);
            self.finish(id, Err(libc::ECONNRESET));
            return self.progress(object);
        }
        let mut bytes = match op {
            Op::Send { data, .. } => memory::read(data, room),
            Op::SendVectored { message, .. } => memory::gather(message, room),
            _ => unreachable!("only sends are tried here"),
        };
        if bytes.len() > 1 && self.draw(Fault::ShortWrite) {
            let part = self.random.part(bytes.len());
            bytes.truncate(part);
        }
        let len = bytes.len();
        let at = self.arrival(object);
        if let Some(stream) = self.stream(object) {
            stream.outgoing += len;
            let peer = stream.peer;
            if len > 0 {
                self.schedule(at, Event::Deliver(peer, bytes));
            }
        }
        self.finish(id, Ok(len as u32));
    }

    /// When what leaves now arrives: never before what left earlier.
    fn arrival(&mut self, object: ObjectId) -> Duration {
        let latency = self.random.duration(self.options.latency_max);
        let now = self.now;
        self.stream(object).map_or(now, |stream| {
            stream.arrival_last = stream.arrival_last.max(now + latency);
            stream.arrival_last
        })
    }

    pub(super) fn start_shutdown(&mut self, id: OpId, descriptor: Descriptor, how: i32) {
        let object = match self.attach(id, descriptor) {
            Some(Target::Object(object)) => object,
            Some(Target::Real(fd)) => {
                let result = super::real::shutdown(fd, how);
                return self.finish(id, result);
            }
            Some(Target::Nothing) | None => return self.finish(id, Err(libc::EBADF)),
        };
        let at = self.arrival(object);
        let Some(stream) = self.stream(object) else { return self.finish(id, Err(libc::ENOTCONN)) };
        if stream.is_reset {
            return self.finish(id, Err(libc::ENOTCONN));
        }
        let (peer, was_shut) = (stream.peer, stream.is_shut);
        stream.incoming_end |= how != libc::SHUT_WR;
        stream.is_shut |= how != libc::SHUT_RD;
        if stream.is_shut && !was_shut {
            self.schedule(at, Event::DeliverEnd { peer, is_reset: false });
        }
        self.finish(id, Ok(0));
        self.progress(object);
    }

    /// The last reference is gone. Bytes that nobody has read make the end a reset, as in TCP.
    pub(super) fn close_stream(&mut self, stream: Stream) {
        if stream.is_reset {
            return;
        }
        let is_reset = !stream.incoming.is_empty();
        if is_reset || !stream.is_shut {
            let at = stream.arrival_last.max(self.now);
            self.schedule(at, Event::DeliverEnd { peer: stream.peer, is_reset });
        }
    }

    /// The peer's reset arrives.
    pub(super) fn reset_stream(&mut self, object: ObjectId) {
        let Some(stream) = self.stream(object) else { return };
        if stream.is_reset {
            return;
        }
        stream.is_reset = true;
        stream.error = Some(libc::ECONNRESET);
        let peer = stream.peer;
        if self.peers[peer.0].ending == Ending::Open {
            self.peers[peer.0].ending = Ending::Reset;
        }
        self.progress(object);
    }

    /// An injected fault breaks the connection; the operation that draws it reports it.
    pub(super) fn interfere(&mut self, object: ObjectId) {
        let Some(stream) = self.stream(object) else { return };
        stream.is_reset = true;
        stream.incoming.clear();
        let peer = stream.peer;
        let peer = &mut self.peers[peer.0];
        peer.interfered = true;
        if peer.ending == Ending::Open {
            peer.ending = Ending::Reset;
        }
    }

    /// Moves what the peer has sent into the server's socket, and lets the server see it.
    pub(super) fn pump(&mut self, id: PeerId) {
        if let Some(stream) = self.fill(id) {
            self.progress(stream);
        }
    }

    /// As [`pump`](World::pump), for a stream whose operations are being carried on with already.
    fn fill(&mut self, id: PeerId) -> Option<ObjectId> {
        let room_max = self.options.receive_buffer_bytes_max;
        let peer = &mut self.peers[id.0];
        let object = peer.stream?;
        let Some(Kind::Stream(stream)) = self.objects.get_mut(&object).map(|object| &mut object.kind) else {
            if !peer.outbox.is_empty() {
                peer.outbox.clear();
                self.schedule(self.now, Event::DeliverEnd { peer: id, is_reset: true });
            }
            return None;
        };
        let count = peer.outbox.len().min(room_max.saturating_sub(stream.incoming.len()));
        if !stream.is_reset {
            stream.incoming.extend(peer.outbox.drain(..count));
        }
        if peer.half_closed && peer.outbox.is_empty() {
            stream.incoming_end = true;
        }
        Some(object)
    }

    /// The peer has read: there is room to send again.
    pub(super) fn peer_took(&mut self, object: ObjectId, count: usize) {
        if let Some(stream) = self.stream(object) {
            stream.outgoing = stream.outgoing.saturating_sub(count);
            self.progress(object);
        }
    }
}
