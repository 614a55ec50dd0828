//! What the simulated kernel does with a submission: find its descriptor, start it, complete it, cancel it.

use super::script::Fault;
use super::streams::Stream;
use super::world::{Effect, Entry, Event, ObjectId, OpId, Place, World};
use super::{memory, real};
use crate::op::{Descriptor, Op};
use crate::token::{Owner, Token};
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::time::Duration;

/// An operation between its submission and its last completion.
pub(super) struct InFlight {
    pub(super) ring: usize,
    pub(super) token: Token,
    pub(super) op: Op,
    pub(super) target: Target,
    /// When its last completion is posted: the next one comes after it.
    post_last: Duration,
    is_cancelled: bool,
    /// Beyond cancellation: only its completion is missing.
    pub(super) is_running: bool,
}

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Nothing,
    /// Something simulated.
    Object(ObjectId),
    /// A descriptor of the process that the world knows nothing of: a file, an eventfd, a pipe.
    Real(RawFd),
}

/// Something simulated that descriptors refer to. It lives as long as a descriptor or an operation refers to it.
pub(super) struct Object {
    references: u32,
    /// Operations on it, in the order of their submission.
    pub(super) waiting: Vec<OpId>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// Connections that wait to be accepted. The object belongs to the ordinary descriptor of a real listener.
    Listener {
        backlog: VecDeque<ObjectId>,
    },
    Stream(Stream),
    /// Created, not connected.
    Socket,
}

impl World {
    /// Starts an operation.
    pub(super) fn start(&mut self, ring: usize, op: Op, token: Token) {
        let op = as_stream_op(self, ring, op);
        let id = self.next_number();
        let in_flight = InFlight {
            ring,
            token,
            op,
            target: Target::Nothing,
            post_last: Duration::ZERO,
            is_cancelled: false,
            is_running: false,
        };
        self.ops.insert(id, in_flight);
        match op {
            Op::Nop => self.finish(id, Ok(0)),
            Op::Accept { listener, .. } | Op::AcceptMulti { listener, .. } => self.start_accept(id, listener),
            Op::Recv { descriptor, .. }
            | Op::RecvLease { descriptor }
            | Op::RecvMulti { descriptor }
            | Op::RecvMessage { descriptor, .. }
            | Op::Send { descriptor, .. }
            | Op::SendVectored { descriptor, .. }
            | Op::Poll { descriptor, .. } => self.start_waiting(id, descriptor),
            Op::Shutdown { descriptor, how } => self.start_shutdown(id, descriptor, how),
            Op::Close { descriptor } => self.close(id, descriptor),
            Op::Cancel { .. } | Op::CancelAll { .. } => self.start_cancel(id),
            Op::Timeout { after } => {
                let after = memory::timespec(after);
                self.schedule(self.now + after, Event::Expire(id));
            }
            Op::Connect { descriptor, address } => self.start_connect(id, descriptor, address),
            Op::Socket { direct, .. } => self.start_socket(id, direct),
            Op::SetSocketOption { descriptor, .. } => match self.attach(id, descriptor) {
                Some(_) => {
                    let result = self.set_socket_option(id);
                    self.finish(id, result);
                }
                None => self.finish(id, Err(libc::EBADF)),
            },
            Op::OpenAt { .. } | Op::Statx { .. } => self.start_file(id),
            Op::Read { descriptor, .. } | Op::Write { descriptor, .. } | Op::Fsync { descriptor, .. } => {
                match self.attach(id, descriptor) {
                    Some(Target::Real(fd)) if real::is_file(fd) => self.start_file(id),
                    Some(Target::Real(_)) => {}
                    Some(_) => self.finish(id, Err(libc::EINVAL)),
                    None => self.finish(id, Err(libc::EBADF)),
                }
            }
            // As an older kernel.
            Op::Unsent { .. } => self.finish(id, Err(libc::EOPNOTSUPP)),
            // There are no simulated pipes.
            Op::Splice { .. } => self.finish(id, Err(libc::EINVAL)),
            Op::Message { ring, result, token } => self.start_message(id, ring, result, token),
            Op::Install { index } => self.start_install(id, index),
        }
    }

    fn start_waiting(&mut self, id: OpId, descriptor: Descriptor) {
        match self.attach(id, descriptor) {
            Some(Target::Object(object)) => {
                self.note_overlap(id, object);
                self.progress(object);
            }
            Some(Target::Real(_) | Target::Nothing) => {}
            None => self.finish(id, Err(libc::EBADF)),
        }
    }

    /// Two sends, or two receives, in flight on one stream at once are a mistake of the submitter.
    fn note_overlap(&mut self, id: OpId, object: ObjectId) {
        let direction = |op: &Op| match op {
            Op::Send { .. } | Op::SendVectored { .. } => Some(true),
            Op::Recv { .. } | Op::RecvLease { .. } | Op::RecvMulti { .. } => Some(false),
            _ => None,
        };
        let Some(is_send) = direction(&self.ops[&id].op) else { return };
        let waiting = &self.objects[&object].waiting;
        let other = waiting.iter().find(|op| **op != id && direction(&self.ops[*op].op) == Some(is_send));
        if let Some(other) = other {
            let what = format!("{:?} overlaps {:?}", self.ops[&id].token, self.ops[other].token);
            let count = match is_send {
                true => &mut self.findings.overlapping_sends,
                false => &mut self.findings.overlapping_receives,
            };
            *count += 1;
            self.findings.note(what);
        }
    }

    /// Finds what the descriptor names and ties the operation to it. `None`: EBADF.
    pub(super) fn attach(&mut self, id: OpId, descriptor: Descriptor) -> Option<Target> {
        let (ring, token) = (self.ops[&id].ring, self.ops[&id].token);
        let target = self.find(ring, descriptor);
        match (target, descriptor) {
            (None, _) => {
                self.findings.closed_uses += 1;
                self.findings.note(format!("{token:?} on {descriptor:?}, which is closed"));
            }
            (Some(Target::Object(object)), Descriptor::Direct(index)) => {
                self.note_user(ring, index, token);
                self.refer(id, object);
            }
            (Some(Target::Object(object)), Descriptor::Raw(_)) => self.refer(id, object),
            (Some(_), _) => {}
        }
        if let (Some(target), Some(op)) = (target, self.ops.get_mut(&id)) {
            op.target = target;
        }
        target
    }

    fn refer(&mut self, id: OpId, object: ObjectId) {
        if let Some(object) = self.objects.get_mut(&object) {
            object.references += 1;
            object.waiting.push(id);
        }
    }

    pub(super) fn find(&self, ring: usize, descriptor: Descriptor) -> Option<Target> {
        match descriptor {
            Descriptor::Direct(index) => {
                let place = self.rings[ring].table.get(index as usize).copied().flatten()?;
                Some(Target::Object(place.object))
            }
            Descriptor::Raw(fd) => match self.raws.get(&fd) {
                Some(raw) => raw.object.map(Target::Object).or(Some(Target::Real(fd))),
                None => real::is_open(fd).then_some(Target::Real(fd)),
            },
        }
    }

    /// The first slot that uses a descriptor is its user until it is closed.
    fn note_user(&mut self, ring: usize, index: u32, token: Token) {
        if token.owner() != Owner::Slot {
            return;
        }
        let user = (token.index(), token.generation());
        let Some(Some(place)) = self.rings[ring].table.get_mut(index as usize) else { return };
        if *place.slot.get_or_insert(user) != user {
            let text = format!("{token:?} uses direct descriptor {index} of slot {:?}", place.slot);
            self.findings.stale_uses += 1;
            self.findings.note(text);
        }
    }

    /// The only completion of an operation, or its last.
    pub(super) fn finish(&mut self, id: OpId, result: Result<u32, i32>) {
        self.complete(id, result, None, false, Effect::None);
    }

    /// Makes a completion; returns whether the operation goes on.
    pub(super) fn complete(
        &mut self,
        id: OpId,
        result: Result<u32, i32>,
        buffer: Option<(u16, bool)>,
        more: bool,
        effect: Effect,
    ) -> bool {
        let Some(op) = self.ops.get(&id) else { return false };
        let ring = op.ring;
        let more = more && !self.rings[ring].is_full();
        let counts = self.has_to_end(op);
        let (token, post_last) = (op.token, op.post_last);
        if op.is_cancelled && result.is_ok() {
            self.counts.add(Fault::LateAfterCancel);
        }
        let mut at = self.now.max(post_last);
        if self.draw_quietly(Fault::Reordered) {
            at += self.random.duration(self.options.latency_max);
        }
        if buffer.is_some()
            && self.rings[ring].buffers.as_ref().is_some_and(|buffers| buffers.is_incremental())
        {
            at = at.max(self.rings[ring].lease_last);
            self.rings[ring].lease_last = at;
        }
        if let Some(op) = self.ops.get_mut(&id) {
            op.post_last = at;
        }
        let number = self.next_number();
        let entry = Entry { token, result, buffer, more, counts, effect };
        self.schedule(at, Event::Post { ring, entry, number });
        if !more {
            self.forget(id);
        }
        more
    }

    /// Ends an operation without a completion.
    pub(super) fn forget(&mut self, id: OpId) {
        let Some(op) = self.ops.remove(&id) else { return };
        if let Target::Object(object) = op.target {
            if let Some(object) = self.objects.get_mut(&object) {
                object.waiting.retain(|other| *other != id);
            }
            self.release_object(object);
        }
    }

    /// Whether the operation has to complete before the world can be called clean.
    pub(super) fn has_to_end(&self, op: &InFlight) -> bool {
        match op.target {
            Target::Object(object) => {
                !matches!(self.objects.get(&object).map(|object| &object.kind), Some(Kind::Listener { .. }))
            }
            Target::Real(_) | Target::Nothing => op.is_running,
        }
    }

    pub(super) fn add_object(&mut self, kind: Kind) -> ObjectId {
        let id = self.next_number();
        self.objects.insert(id, Object { references: 1, waiting: Vec::new(), kind });
        id
    }

    pub(super) fn retain_object(&mut self, id: ObjectId) {
        if let Some(object) = self.objects.get_mut(&id) {
            object.references += 1;
        }
    }

    /// One reference less; the last one closes it.
    pub(super) fn release_object(&mut self, id: ObjectId) {
        let Some(object) = self.objects.get_mut(&id) else { return };
        object.references -= 1;
        if object.references > 0 {
            return;
        }
        if let Some(object) = self.objects.remove(&id) {
            match object.kind {
                Kind::Stream(stream) => self.close_stream(stream),
                Kind::Listener { backlog } => self.close_listener(backlog),
                Kind::Socket => {}
            }
        }
    }

    /// Gives an object a free index of the table. `None`: the table is full, and the object is left as it was.
    pub(super) fn allocate(&mut self, ring: usize, object: ObjectId) -> Option<u32> {
        let state = &mut self.rings[ring];
        let index = state.table.iter().position(Option::is_none).unwrap_or(state.table.len());
        if index == state.table.len() {
            if index == state.table_max {
                return None;
            }
            state.table.push(None);
        }
        state.table[index] = Some(Place { object, slot: None });
        Some(index as u32)
    }

    fn close(&mut self, id: OpId, descriptor: Descriptor) {
        let (ring, token) = (self.ops[&id].ring, self.ops[&id].token);
        let object = match descriptor {
            Descriptor::Direct(index) => {
                if self.find(ring, descriptor).is_some() {
                    self.note_user(ring, index, token);
                }
                self.rings[ring]
                    .table
                    .get_mut(index as usize)
                    .and_then(Option::take)
                    .map(|place| place.object)
            }
            Descriptor::Raw(fd) => {
                let raw = self.raws.remove(&fd);
                if !real::close(fd) {
                    None
                } else if let Some(object) = raw.and_then(|raw| raw.object) {
                    Some(object)
                } else {
                    return self.finish(id, Ok(0));
                }
            }
        };
        let Some(object) = object else {
            self.findings.double_closes += 1;
            self.findings.note(format!("{token:?} closes {descriptor:?}, which is closed"));
            return self.finish(id, Err(libc::EBADF));
        };
        let effect = match descriptor {
            Descriptor::Direct(index) => {
                self.rings[ring].closing.push(index);
                Effect::Closed(index)
            }
            Descriptor::Raw(_) => Effect::None,
        };
        self.release_object(object);
        self.complete(id, Ok(0), None, false, effect);
    }

    fn start_cancel(&mut self, id: OpId) {
        let is_bad = match self.ops[&id].op {
            Op::CancelAll { descriptor } => self.find(self.ops[&id].ring, descriptor).is_none(),
            _ => false,
        };
        if is_bad {
            return self.finish(id, Err(libc::EBADF));
        }
        let targets = self.cancel_targets(id);
        for target in &targets {
            if let Some(op) = self.ops.get_mut(target) {
                op.is_cancelled = true;
            }
        }
        if !targets.is_empty() && self.draw_quietly(Fault::LateAfterCancel) {
            let delay = self.random.duration(self.options.slow_max);
            if let Some(op) = self.ops.get_mut(&id) {
                op.is_running = true;
            }
            self.schedule(self.now + delay, Event::Cancel(id));
        } else {
            self.cancel(id);
        }
    }

    fn cancel_targets(&self, id: OpId) -> Vec<OpId> {
        let Some(cancel) = self.ops.get(&id) else { return Vec::new() };
        let same_ring = self.ops.iter().filter(|(other, op)| **other != id && op.ring == cancel.ring);
        match cancel.op {
            Op::Cancel { target } => {
                same_ring.filter(|(_, op)| op.token == target).map(|(id, _)| *id).take(1).collect()
            }
            Op::CancelAll { descriptor } => {
                let target = self.find(cancel.ring, descriptor);
                same_ring.filter(|(_, op)| Some(op.target) == target).map(|(id, _)| *id).collect()
            }
            _ => unreachable!("only cancellations have targets"),
        }
    }

    /// Carries a cancellation out.
    pub(super) fn cancel(&mut self, id: OpId) {
        let Some(cancel) = self.ops.get(&id) else { return };
        let is_all = matches!(cancel.op, Op::CancelAll { .. });
        let mut cancelled = 0;
        let mut is_too_late = false;
        for target in self.cancel_targets(id) {
            if self.ops.get(&target).is_some_and(|op| op.is_running) {
                is_too_late = true;
            } else {
                self.finish(target, Err(libc::ECANCELED));
                cancelled += 1;
            }
        }
        let result = match (is_all, cancelled, is_too_late) {
            (true, count, _) => Ok(count),
            (false, 1.., _) => Ok(0),
            (false, 0, true) => Err(libc::EALREADY),
            (false, 0, false) => Err(libc::ENOENT),
        };
        self.finish(id, result);
    }

    fn start_message(&mut self, id: OpId, descriptor: RawFd, result: i32, token: Token) {
        let Some(to) = self.rings.iter().position(|ring| ring.descriptor == descriptor) else {
            return self.finish(id, Err(libc::EBADFD));
        };
        let result = if result < 0 { Err(-result) } else { Ok(result as u32) };
        let entry = Entry { token, result, buffer: None, more: false, counts: false, effect: Effect::None };
        let number = self.next_number();
        self.schedule(self.now, Event::Post { ring: to, entry, number });
        self.finish(id, Ok(0));
    }

    fn start_install(&mut self, id: OpId, index: u32) {
        let descriptor = Descriptor::Direct(index);
        let Some(Target::Object(object)) = self.attach(id, descriptor) else {
            return self.finish(id, Err(libc::EBADF));
        };
        self.retain_object(object);
        match self.add_raw(object) {
            Ok(fd) => {
                self.complete(id, Ok(fd as u32), None, false, Effect::Raw);
            }
            Err(errno) => {
                self.release_object(object);
                self.finish(id, Err(errno));
            }
        }
    }
}

/// `read` and `write` on a simulated stream are `recv` and `send`.
fn as_stream_op(world: &World, ring: usize, op: Op) -> Op {
    let is_object = |descriptor| matches!(world.find(ring, descriptor), Some(Target::Object(_)));
    match op {
        Op::Read { descriptor, buffer, .. } if is_object(descriptor) => Op::Recv { descriptor, buffer },
        Op::Write { descriptor, data, .. } if is_object(descriptor) => Op::Send { descriptor, data },
        other => other,
    }
}
