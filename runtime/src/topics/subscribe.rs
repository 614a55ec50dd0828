//! How connections come to topics and leave them.

use super::directory::{Gone, Since, prefix_of};
use super::worker::WorkerTopics;
use super::{Encoding, Publication, Replay, SubscribeError};
use crate::conn::ConnId;
use crate::core::Core;
use crate::turn::guarded;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a connection wants of a topic.
pub(super) struct Wish<'a> {
    pub(super) topic: &'a str,
    pub(super) encoding: Encoding,
    pub(super) since: Since,
    /// The member that the connection is of.
    pub(super) member: Option<&'a str>,
    /// Nothing is to happen when messages are missing in between.
    pub(super) whole: bool,
}

impl WorkerTopics {
    /// Makes a connection a subscriber. What was published before is delivered before; what the topic keeps is given first.
    pub(super) fn subscribe(
        &self,
        core: &Core,
        id: ConnId,
        wish: &Wish<'_>,
    ) -> Result<Replay, SubscribeError> {
        if self.delivering.get() {
            return Err(SubscribeError::Delivering);
        }
        self.check(core, id, wish)?;
        if self.list_of(core, id, wish.topic).is_some() {
            if let Some(member) = wish.member {
                self.join(id, wish.topic, member)?;
            }
            return Ok(Replay::default());
        }
        let limits = &self.shared().limits;
        let count = self.local.borrow().members.count(&*core.conns.slots.borrow(), id.index);
        if count >= limits.memberships_per_connection_max {
            return Err(SubscribeError::TooManyMemberships);
        }
        let number = self.topic_for(wish.topic)?;
        let result = self.enter(core, id, number, wish);
        self.remove_if_empty(number);
        result
    }

    fn check(&self, core: &Core, id: ConnId, wish: &Wish<'_>) -> Result<(), SubscribeError> {
        let shared = self.shared();
        shared.check_name(wish.topic)?;
        if let Some(member) = wish.member {
            shared.check_name(member)?;
            if prefix_of(wish.topic).is_some() {
                return Err(SubscribeError::Name);
            }
        }
        if usize::from(wish.encoding.0) > self.encoders.borrow().len() {
            return Err(SubscribeError::Encoding);
        }
        if core.conns.can_take(id) { Ok(()) } else { Err(SubscribeError::Closed) }
    }

    /// The list of a topic that a connection is in.
    pub(super) fn list_of(&self, core: &Core, id: ConnId, topic: &str) -> Option<u32> {
        let slots = core.conns.slots.borrow();
        slots.get(id)?;
        let local = self.local.borrow();
        let topic = local.find(topic)?;
        local.lists_of(topic).find(|&list| local.members.place(&*slots, id.index, list).is_some())
    }

    /// The number of a topic on this worker, made if it has none.
    fn topic_for(&self, name: &str) -> Result<u32, SubscribeError> {
        let mut local = self.local.borrow_mut();
        if let Some(known) = local.find(name) {
            return Ok(known);
        }
        let topic = self.shared().directory().acquire(name, &self.shared().limits)?;
        Ok(local.insert(topic))
    }

    fn enter(&self, core: &Core, id: ConnId, number: u32, wish: &Wish<'_>) -> Result<Replay, SubscribeError> {
        let topic = self.local.borrow().topic(number).map(|topic| Arc::clone(&topic.topic));
        let topic = topic.ok_or(SubscribeError::Closed)?;
        if wish.member.is_some() && topic.options.presence.is_none() {
            return Err(SubscribeError::NoPresence);
        }
        let (history, missed) = match topic.options.history > 0 || topic.is_recorded() {
            false => (Vec::new(), false),
            true => self.look_back(wish, topic.options.history),
        };
        if missed && wish.whole {
            guarded(|| drop(history));
            return Ok(Replay { messages: 0, missed });
        }
        // Of what is in the log the new subscriber has what was kept, and the others get it now; what comes into the mailbox
        // from here on is for all.
        self.flush(core);
        let replay = Replay { messages: history.len(), missed };
        self.replay(core, id, wish.encoding, topic.options.overflow, &history);
        guarded(|| drop(history));
        {
            let mut local = self.local.borrow_mut();
            let list = local.list_for(number, wish.encoding);
            local.members.insert(&mut *core.conns.slots.borrow_mut(), id.index, list);
            if let Some(topic) = local.topic_mut(number) {
                topic.subscribers += 1;
            }
        }
        topic.subscribers.fetch_add(1, Ordering::Relaxed);
        if let Some(member) = wish.member {
            self.join(id, wish.topic, member)?;
        }
        Ok(replay)
    }

    /// Takes what is in the mailbox into the log, and the history at the same moment.
    fn look_back(&self, wish: &Wish<'_>, messages: usize) -> (Vec<Publication>, bool) {
        let shared = self.shared();
        let mut directory = shared.directory();
        self.take_mail(false);
        let found = directory.state(wish.topic, false, &shared.limits, &mut Gone::default());
        found.map_or((Vec::new(), false), |found| found.state.since(wish.since, messages))
    }

    /// Makes a subscriber's connection one of a member.
    fn join(&self, id: ConnId, name: &str, member: &str) -> Result<(), SubscribeError> {
        let member: Arc<str> = member.into();
        let topic = {
            let mut local = self.local.borrow_mut();
            let number = local.find(name).ok_or(SubscribeError::Closed)?;
            let local = local.topic_mut(number).ok_or(SubscribeError::Closed)?;
            if local.topic.options.presence.is_none() {
                return Err(SubscribeError::NoPresence);
            }
            if local.joined.get(&id.index) == Some(&member) {
                return Ok(());
            }
            Arc::clone(&local.topic)
        };
        self.leave_member(id.index, name);
        if let Some(local) = self.local.borrow_mut().topic_named(name) {
            local.joined.insert(id.index, Arc::clone(&member));
        }
        let shared = self.shared();
        let mut directory = shared.directory();
        let found = directory.state(name, false, &shared.limits, &mut Gone::default());
        if let Some(event) = found.and_then(|found| found.state.join(&topic, &member)) {
            self.append_event(&topic, event);
        }
        drop(directory);
        Ok(())
    }

    /// Ends that a connection is one of a member, if it is.
    fn leave_member(&self, slot: u32, name: &str) {
        let (topic, member) = {
            let mut local = self.local.borrow_mut();
            let Some(local) = local.topic_named(name) else { return };
            let Some(member) = local.joined.remove(&slot) else { return };
            (Arc::clone(&local.topic), member)
        };
        let shared = self.shared();
        let mut directory = shared.directory();
        let found = directory.state(name, false, &shared.limits, &mut Gone::default());
        if let Some(event) = found.and_then(|found| found.state.leave(&topic, &member)) {
            self.append_event(&topic, event);
        }
    }

    /// Ends a subscription, behind what was published before. False if there is none.
    pub(super) fn unsubscribe(&self, core: &Core, id: ConnId, name: &str) -> bool {
        if self.delivering.get() {
            return false;
        }
        let Some(list) = self.list_of(core, id, name) else { return false };
        self.flush(core);
        let removed =
            self.local.borrow_mut().members.remove(&mut *core.conns.slots.borrow_mut(), id.index, list);
        if removed {
            self.on_left(id.index, list);
        }
        removed
    }

    /// Ends all subscriptions of a connection that is torn down.
    pub(crate) fn leave_all(&self, core: &Core, id: ConnId) {
        if self.is_under_way() && core.conns.has_topics(id) {
            self.flush(core);
        }
        let left = {
            let mut slots = core.conns.slots.borrow_mut();
            if slots.get(id).is_none() {
                return;
            }
            self.local.borrow_mut().members.remove_all(&mut *slots, id.index)
        };
        for list in left {
            self.on_left(id.index, list);
        }
    }

    /// A connection is out of a list.
    fn on_left(&self, slot: u32, list: u32) {
        let left = {
            let mut local = self.local.borrow_mut();
            let number = local.list(list).topic;
            let Some(topic) = local.topic_mut(number) else { return };
            topic.subscribers -= 1;
            topic.topic.subscribers.fetch_sub(1, Ordering::Relaxed);
            let name = topic.joined.contains_key(&slot).then(|| Arc::clone(&topic.topic.name));
            (number, name)
        };
        if let Some(name) = left.1 {
            self.leave_member(slot, &name);
        }
        self.remove_if_empty(left.0);
    }

    fn remove_if_empty(&self, number: u32) {
        let mut local = self.local.borrow_mut();
        if local.topic(number).is_none_or(|topic| topic.subscribers > 0) {
            return;
        }
        let Some(removed) = local.remove(number) else { return };
        let shared = self.shared();
        let mut gone = Gone::default();
        shared.directory().release(&removed.topic.name, &shared.limits, &mut gone);
        drop(local);
        guarded(|| drop(gone));
    }
}
