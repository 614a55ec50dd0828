//! The end of the turn: what it has published goes to the subscribers.

use super::log::{Item, Log, RUN_BYTES, Run};
use super::worker::{Target, WorkerTopics};
use super::{Encoding, Publication};
use crate::conn::ConnId;
use crate::core::Core;
use crate::limits::Overflow;
use crate::turn::guarded;
use bytes::Bytes;

/// Bytes that an encoding adds to a payload, roughly.
const FRAME_BYTES: usize = 16;

/// The messages of a run as one encoding has them, one behind the other.
struct Frames {
    whole: Bytes,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Frames {
    fn of(&self, n: usize) -> Bytes {
        let start = if n == 0 { 0 } else { self.ends[n - 1] };
        self.whole.slice(start..self.ends[n])
    }
}

impl WorkerTopics {
    /// Delivers what was published, in order.
    pub(crate) fn flush(&self, core: &Core) {
        if !self.pending.get() || self.delivering.replace(true) {
            return;
        }
        self.pending.set(false);
        let mut log = self.log.take();
        let (mut targets, mut slow) = (Vec::new(), Vec::new());
        for run in 0..log.runs.len() {
            targets.clear();
            self.local.borrow().targets(&log.runs[run].topic, &mut targets);
            if !targets.is_empty() {
                self.deliver(core, &log.runs[run], &log.items[log.items_of(run)], &targets, &mut slow);
            }
        }
        self.delivering.set(false);
        // Payloads may have destructors of the user's, so they are dropped when nothing is borrowed.
        guarded(|| log.clear());
        let mut next = self.log.borrow_mut();
        if next.runs.is_empty() {
            *next = Log { bytes: 0, ..log };
        }
    }

    /// Before something is sent to a connection by another way: what was published goes first.
    #[inline]
    pub(crate) fn settle(&self, core: &Core, id: ConnId) {
        if self.pending.get() && core.conns.has_topics(id) {
            self.flush(core);
        }
    }

    fn deliver(&self, core: &Core, run: &Run, items: &[Item], targets: &[Target], slow: &mut Vec<ConnId>) {
        let mut encoded: Vec<(Encoding, Frames)> = Vec::new();
        for target in targets {
            let known = encoded.iter().position(|(encoding, _)| *encoding == target.encoding);
            let at = known.unwrap_or_else(|| {
                let publications = items.iter().map(|item| &item.publication);
                encoded.push((target.encoding, self.encode(core, target.encoding, publications)));
                encoded.len() - 1
            });
            let frames = &encoded[at].1;
            slow.clear();
            self.fan_out(core, run, items, target, frames, slow);
            for &id in &*slow {
                for (n, item) in items.iter().enumerate().filter(|(_, item)| item.except != Some(id)) {
                    push_one(core, id, frames.of(n), item.publication.key, target.overflow);
                }
            }
        }
        guarded(|| drop(encoded));
    }

    /// Gives the run as one piece to all members of a list but those that have to get its messages one by one.
    fn fan_out(
        &self,
        core: &Core,
        run: &Run,
        items: &[Item],
        target: &Target,
        frames: &Frames,
        slow: &mut Vec<ConnId>,
    ) {
        let local = self.local.borrow();
        let members = local.members.of(target.list);
        let count = (members.len() * items.len()) as u64;
        self.delivered.set(self.delivered.get() + count);
        if !run.has_exceptions {
            core.conns.fan_out(core, members, &frames.whole, items.len(), slow);
            return;
        }
        let mut places: Vec<(u32, ConnId)> = {
            let slots = core.conns.slots.borrow();
            let place = |id: ConnId| Some((local.members.place(&*slots, id.index, target.list)?, id));
            let excepted = items.iter().filter_map(|item| item.except);
            excepted.filter(|&id| slots.get(id).is_some()).filter_map(place).collect()
        };
        places.sort_unstable();
        places.dedup();
        let mut from = 0;
        for &(place, id) in &places {
            let until = place as usize;
            core.conns.fan_out(core, &members[from..until], &frames.whole, items.len(), slow);
            slow.push(id);
            from = until + 1;
        }
        core.conns.fan_out(core, &members[from..], &frames.whole, items.len(), slow);
        let kept = items.iter().filter(|item| places.iter().any(|&(_, id)| item.except == Some(id))).count();
        self.delivered.set(self.delivered.get() - kept as u64);
    }

    fn encode<'a>(
        &self,
        core: &Core,
        encoding: Encoding,
        publications: impl Iterator<Item = &'a Publication> + Clone,
    ) -> Frames {
        let encoder = match encoding {
            Encoding::RAW => None,
            Encoding(number) => self.encoders.borrow().get(usize::from(number) - 1).cloned(),
        };
        let (mut count, mut bytes) = (0, 0);
        for publication in publications.clone() {
            count += 1;
            bytes += publication.payload.len() + FRAME_BYTES;
        }
        let mut ends = Vec::with_capacity(count);
        if let (None, 1, Some(only)) = (&encoder, count, publications.clone().next()) {
            ends.push(only.payload.len());
            return Frames { whole: only.payload.clone(), ends };
        }
        let mut out = Vec::with_capacity(bytes);
        for publication in publications {
            let before = out.len();
            match &encoder {
                None => out.extend_from_slice(&publication.payload),
                // A panic in it costs its message.
                Some(encode) => {
                    if !guarded(|| core.fibers.without_waits(|| encode(publication, &mut out))) {
                        out.truncate(before);
                    }
                }
            }
            ends.push(out.len().max(before));
        }
        Frames { whole: out.into(), ends }
    }

    /// Gives the messages that a topic has kept to a new subscriber.
    pub(super) fn replay(
        &self,
        core: &Core,
        id: ConnId,
        encoding: Encoding,
        overflow: Option<Overflow>,
        history: &[Publication],
    ) {
        let mut rest = history;
        while let Some(first) = rest.first() {
            let mut bytes = first.payload.len();
            let fits = |publication: &&Publication| {
                bytes += publication.payload.len();
                bytes <= RUN_BYTES
            };
            let count = 1 + rest[1..].iter().take_while(fits).count();
            let frames = self.encode(core, encoding, rest[..count].iter());
            let mut slow = Vec::new();
            core.conns.fan_out(core, &[id.index], &frames.whole, count, &mut slow);
            if !slow.is_empty() {
                for (n, publication) in rest[..count].iter().enumerate() {
                    push_one(core, id, frames.of(n), publication.key, overflow);
                }
            }
            rest = &rest[count..];
        }
    }
}

/// Queues one message for a subscriber that is behind; what becomes of it when there is no room is its policy's to say and to count.
fn push_one(core: &Core, id: ConnId, frame: Bytes, key: u64, overflow: Option<Overflow>) {
    if !frame.is_empty() {
        let _ = core.conns.push_message(core, id, &frame, key, overflow);
    }
}
