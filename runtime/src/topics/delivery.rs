//! The end of the turn: what it has published goes to the subscribers, so many of them in one turn.

use super::log::{Item, Log, RUN_BYTES, Run};
use super::worker::{Target, WorkerTopics};
use super::{Encoding, Publication};
use crate::conn::ConnId;
use crate::core::Core;
use crate::limits::Overflow;
use crate::turn::guarded;
use bytes::Bytes;
use std::ops::Range;

/// Connections whose backlogs are brought into the processor's cache together.
const WARMED: usize = 16;
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

/// A log on its way to the subscribers: how far it has come.
pub(super) struct Work {
    log: Log,
    run: usize,
    /// Who gets the run; of the first of them that are left, the members from `place` on.
    targets: Vec<Target>,
    target: usize,
    place: usize,
    encoded: Vec<(Encoding, Frames)>,
    /// Whether `targets` are those of the run.
    aimed: bool,
}

impl Work {
    fn new(log: Log) -> Work {
        Work { log, run: 0, targets: Vec::new(), target: 0, place: 0, encoded: Vec::new(), aimed: false }
    }

    fn next_run(&mut self) {
        self.run += 1;
        (self.target, self.place, self.aimed) = (0, 0, false);
        self.targets.clear();
        let encoded = std::mem::take(&mut self.encoded);
        guarded(|| drop(encoded));
    }
}

impl WorkerTopics {
    /// Delivers all that was published, in order.
    pub(crate) fn flush(&self, core: &Core) {
        self.advance(core, usize::MAX);
    }

    /// Delivers what was published, in order, as far as a turn's share goes: a topic with very many subscribers then takes
    /// several turns, in which others have theirs.
    pub(crate) fn flush_some(&self, core: &Core) {
        self.advance(core, core.limits.deliveries_per_turn);
    }

    fn advance(&self, core: &Core, mut share: usize) {
        if !self.pending.get() || self.delivering.replace(true) {
            return;
        }
        // What is published meanwhile, by an encoding or a destructor, is the next delivery's: it could go on for ever.
        let mut is_last = false;
        while share > 0 {
            let under_way = self.work.take();
            let mut work = match under_way {
                Some(work) => work,
                None if is_last || self.log.borrow().runs.is_empty() => break,
                None => {
                    is_last = true;
                    Work::new(self.log.take())
                }
            };
            if !self.work_on(core, &mut work, &mut share) {
                self.work.replace(Some(work));
                break;
            }
            // Payloads may have destructors of the user's, so they are dropped when nothing is borrowed.
            guarded(|| work.log.clear());
            let mut next = self.log.borrow_mut();
            if next.runs.is_empty() {
                *next = Log { bytes: 0, ..work.log };
            }
        }
        if !self.is_under_way() && self.mail_waits.take() {
            self.take_mail(true);
        }
        self.pending.set(self.is_under_way() || !self.log.borrow().runs.is_empty());
        self.delivering.set(false);
    }

    /// Whether a delivery is under way, so that no subscriber may come or go before it is through.
    pub(super) fn is_under_way(&self) -> bool {
        self.work.borrow().is_some()
    }

    /// Before something is sent to a connection by another way: what was published goes first.
    #[inline]
    pub(crate) fn settle(&self, core: &Core, id: ConnId) {
        if self.pending.get() && core.conns.has_topics(id) && !core.conns.is_overflowed(id) {
            self.flush(core);
        }
    }

    /// Goes on with a delivery until the share is used up. True when it is through.
    fn work_on(&self, core: &Core, work: &mut Work, share: &mut usize) -> bool {
        while work.run < work.log.runs.len() {
            if !work.aimed {
                self.local.borrow().targets(&work.log.runs[work.run].topic, &mut work.targets);
                work.aimed = true;
            }
            while let Some(&target) = work.targets.get(work.target) {
                if *share == 0 {
                    return false;
                }
                let count = self.deliver(core, work, &target, *share);
                *share -= count;
                work.place += count;
                if work.place < self.local.borrow().members.of(target.list).len() {
                    return false;
                }
                (work.target, work.place) = (work.target + 1, 0);
            }
            work.next_run();
        }
        true
    }

    /// Gives the run to at most `share` of the target's members; returns to how many.
    fn deliver(&self, core: &Core, work: &mut Work, target: &Target, share: usize) -> usize {
        let members = self.local.borrow().members.of(target.list).len();
        if members == 0 {
            return 0;
        }
        let items = &work.log.items[work.log.items_of(work.run)];
        let known = work.encoded.iter().position(|(encoding, _)| *encoding == target.encoding);
        let at = known.unwrap_or_else(|| {
            let publications = items.iter().map(|item| &item.publication);
            work.encoded.push((target.encoding, self.encode(core, target.encoding, publications)));
            work.encoded.len() - 1
        });
        let frames = &work.encoded[at].1;
        let range = work.place..members.min(work.place.saturating_add(share));
        let mut slow = self.slow.take();
        self.fan_out(core, &work.log.runs[work.run], items, (target, range.clone()), frames, &mut slow);
        for group in slow.chunks(WARMED) {
            core.conns.warm_backlogs(group);
            for &id in group {
                for (n, item) in items.iter().enumerate().filter(|(_, item)| item.except != Some(id)) {
                    push_one(core, id, frames.of(n), item.publication.key, target.overflow);
                }
            }
        }
        slow.clear();
        self.slow.replace(slow);
        range.len()
    }

    /// Gives the run as one piece to these members of a list, but for those that have to get its messages one by one.
    fn fan_out(
        &self,
        core: &Core,
        run: &Run,
        items: &[Item],
        (target, range): (&Target, Range<usize>),
        frames: &Frames,
        slow: &mut Vec<ConnId>,
    ) {
        let local = self.local.borrow();
        let members = local.members.of(target.list);
        let count = (range.len() * items.len()) as u64;
        self.delivered.set(self.delivered.get() + count);
        if !run.has_exceptions {
            core.conns.fan_out(core, &members[range], &frames.whole, items.len(), slow);
            return;
        }
        let mut places: Vec<(u32, ConnId)> = {
            let slots = core.conns.slots.borrow();
            let place = |id: ConnId| Some((local.members.place(&*slots, id.index, target.list)?, id));
            let excepted = items.iter().filter_map(|item| item.except);
            let here = |&(place, _): &(u32, ConnId)| range.contains(&(place as usize));
            excepted.filter(|&id| slots.get(id).is_some()).filter_map(place).filter(here).collect()
        };
        places.sort_unstable();
        places.dedup();
        let mut from = range.start;
        for &(place, id) in &places {
            let until = place as usize;
            core.conns.fan_out(core, &members[from..until], &frames.whole, items.len(), slow);
            slow.push(id);
            from = until + 1;
        }
        core.conns.fan_out(core, &members[from..range.end], &frames.whole, items.len(), slow);
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
            if out.len() < before {
                // It has taken back what is not its own.
                ends.iter_mut().for_each(|end| *end = out.len().min(*end));
            }
            ends.push(out.len());
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
    if !frame.is_empty() && !core.conns.is_muted(id) {
        let _ = core.conns.push_message(core, id, &frame, key, overflow);
    }
}
