//! Connections being made: in by listeners, out to simulated servers.

use super::kernel::{Kind, Target};
use super::memory;
use super::peer::{Ending, PeerId};
use super::script::Fault;
use super::streams::Stream;
use super::world::{Effect, Event, ObjectId, OpId, World};
use crate::op::{Descriptor, Op, Span};
use std::collections::VecDeque;

impl World {
    pub(super) fn start_accept(&mut self, id: OpId, listener: Descriptor) {
        let found = self.find(self.ops[&id].ring, listener);
        if let (Some(Target::Real(_)), Descriptor::Raw(fd)) = (found, listener) {
            let object = self.add_object(Kind::Listener { backlog: VecDeque::new() });
            self.adopt_raw(fd, object);
            self.had_listener = true;
            for peer in std::mem::take(&mut self.early) {
                self.schedule(self.now, Event::Connect(peer));
            }
        }
        match self.attach(id, listener) {
            Some(Target::Object(object)) => self.progress(object),
            Some(_) => self.finish(id, Err(libc::EINVAL)),
            None => self.finish(id, Err(libc::EBADF)),
        }
    }

    /// A peer's connection reaches its listener's backlog.
    pub(super) fn connect_peer(&mut self, id: PeerId) {
        if self.peers[id.0].ending != Ending::Open {
            return;
        }
        let is_listener = |object: &ObjectId| {
            matches!(self.objects.get(object).map(|object| &object.kind), Some(Kind::Listener { .. }))
        };
        let wanted = self.peers[id.0].listener;
        let listeners = self
            .raws
            .iter()
            .filter(|(fd, _)| wanted.is_none_or(|wanted| wanted == **fd))
            .filter_map(|(_, raw)| raw.object)
            .filter(is_listener);
        let Some(listener) = listeners.min() else {
            return match self.had_listener {
                true => self.peers[id.0].ending = Ending::Refused,
                false => self.early.push(id),
            };
        };
        let capacity = self.draw_capacity();
        let stream = self.add_object(Kind::Stream(Stream::new(id, capacity)));
        self.peers[id.0].stream = Some(stream);
        if let Some(Kind::Listener { backlog }) =
            self.objects.get_mut(&listener).map(|object| &mut object.kind)
        {
            backlog.push_back(stream);
        }
        self.pump(id);
        self.progress(listener);
    }

    /// A size for the send buffer of a new connection.
    fn draw_capacity(&mut self) -> usize {
        const CAPACITY_MIN: usize = 4096;
        let range = self.options.send_buffer_bytes_max.saturating_sub(CAPACITY_MIN);
        CAPACITY_MIN + self.random.below(range as u64 + 1) as usize
    }

    /// The listener's last descriptor is closed: who waited in the backlog is reset.
    pub(super) fn close_listener(&mut self, backlog: VecDeque<ObjectId>) {
        for stream in backlog {
            self.reset_stream(stream);
            self.release_object(stream);
        }
    }

    /// Tries to accept one connection; returns whether to try again.
    pub(super) fn try_accept(&mut self, id: OpId, listener: ObjectId) -> bool {
        let Some(op) = self.ops.get(&id) else { return false };
        let (ring, is_multi, direct) = match op.op {
            Op::Accept { direct, .. } => (op.ring, false, direct),
            Op::AcceptMulti { direct, .. } => (op.ring, true, direct),
            _ => return false,
        };
        let Some(Kind::Listener { backlog }) = self.objects.get(&listener).map(|object| &object.kind) else {
            return false;
        };
        if backlog.is_empty() {
            return false;
        }
        if is_multi && self.draw(Fault::MultishotCancelled) {
            self.finish(id, Err(libc::ECANCELED));
            return false;
        }
        let goes_on = is_multi && self.random.chance(0.5);
        if self.draw(Fault::AcceptMfile) {
            return self.complete(id, Err(libc::EMFILE), None, goes_on, Effect::None);
        }
        if self.draw(Fault::AcceptNfile) {
            if self.random.chance(0.5) {
                self.lose_connection(listener);
            }
            return self.complete(id, Err(libc::ENFILE), None, goes_on, Effect::None);
        }
        if self.draw(Fault::AcceptAborted) {
            self.lose_connection(listener);
            return self.complete(id, Err(libc::ECONNABORTED), None, goes_on, Effect::None);
        }
        let Some(stream) = self.pop_backlog(listener) else { return false };
        let made = match direct {
            true => {
                self.allocate(ring, stream).map(|index| (index, Effect::Opened(index))).ok_or(libc::ENFILE)
            }
            false => self.add_raw(stream).map(|fd| (fd as u32, Effect::Raw)),
        };
        match made {
            Ok((descriptor, effect)) => {
                let more = is_multi && !self.draw(Fault::MultishotEnded);
                self.complete(id, Ok(descriptor), None, more, effect)
            }
            Err(errno) => {
                self.interfere(stream);
                self.release_object(stream);
                self.complete(id, Err(errno), None, false, Effect::None)
            }
        }
    }

    fn pop_backlog(&mut self, listener: ObjectId) -> Option<ObjectId> {
        match &mut self.objects.get_mut(&listener)?.kind {
            Kind::Listener { backlog } => backlog.pop_front(),
            Kind::Stream(_) | Kind::Socket => None,
        }
    }

    fn lose_connection(&mut self, listener: ObjectId) {
        if let Some(stream) = self.pop_backlog(listener) {
            self.interfere(stream);
            self.release_object(stream);
        }
    }

    pub(super) fn start_socket(&mut self, id: OpId, direct: bool) {
        let object = self.add_object(Kind::Socket);
        let made = match direct {
            true => self
                .allocate(self.ops[&id].ring, object)
                .map(|index| (index, Effect::Opened(index)))
                .ok_or(libc::ENFILE),
            false => self.add_raw(object).map(|fd| (fd as u32, Effect::Raw)),
        };
        match made {
            Ok((descriptor, effect)) => {
                self.complete(id, Ok(descriptor), None, false, effect);
            }
            Err(errno) => {
                self.release_object(object);
                self.finish(id, Err(errno));
            }
        }
    }

    pub(super) fn start_connect(&mut self, id: OpId, descriptor: Descriptor, address: Span) {
        if let (Some(Target::Real(_)), Descriptor::Raw(fd)) =
            (self.find(self.ops[&id].ring, descriptor), descriptor)
        {
            let object = self.add_object(Kind::Socket);
            self.adopt_raw(fd, object);
        }
        let target = self.attach(id, descriptor);
        let Some(Target::Object(object)) = target else {
            return self.finish(id, Err(libc::EBADF));
        };
        let address = memory::address(address);
        let server = self.servers.iter_mut().find(|(at, _)| Some(*at) == address);
        let delay = self.random.duration(self.options.latency_max);
        let result = match (server, self.objects.get(&object).map(|object| &object.kind)) {
            (Some((_, accept)), Some(Kind::Socket)) => {
                let peer = accept();
                let capacity = self.draw_capacity();
                let peer = self.add_server(peer, object);
                if let Some(object) = self.objects.get_mut(&object) {
                    object.kind = Kind::Stream(Stream::new(peer, capacity));
                }
                Ok(0)
            }
            (None, Some(Kind::Socket)) => Err(libc::ECONNREFUSED),
            _ => Err(libc::EISCONN),
        };
        self.schedule(self.now + delay, Event::Finish(id, result));
    }
}
