//! The subscribers of a worker, and how they are told.

use super::filter::Filter;
use super::history::Told;
use super::shared::{Notice, Shown};
use crate::sse::{Event, EventSender};
use crate::websocket::Sender;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use sws_runtime::{try_go, worker_local, yield_now};

/// Subscribers that are told in one go, before others of the worker have their turn.
const TOLD_AT_ONCE: usize = 256;
/// Subscribers from which on those that have gone are looked for when another comes.
const PRUNE_MIN: usize = 64;

/// The subscribers of one site on this worker.
#[derive(Default)]
pub(super) struct Hub {
    members: RefCell<Vec<Member>>,
    waiting: RefCell<VecDeque<(u64, Arc<[Notice]>)>>,
    is_telling: Cell<bool>,
    prune_at: Cell<usize>,
}

/// One subscriber.
pub(super) struct Member {
    /// What was told up to here it knows.
    pub(super) after: u64,
    pub(super) filter: Filter,
    pub(super) to: To,
}

/// How a subscriber is reached.
pub(super) enum To {
    Stream(EventSender),
    Socket(Sender),
}

/// Those of all sites.
#[derive(Default)]
struct Hubs(RefCell<HashMap<u64, Rc<Hub>>>);

impl Hub {
    /// That of a site on this worker.
    pub(super) fn of(site: u64) -> Rc<Hub> {
        Rc::clone(worker_local(Hubs::default).0.borrow_mut().entry(site).or_default())
    }

    pub(super) fn add(&self, member: Member) {
        let mut members = self.members.borrow_mut();
        if members.len() >= self.prune_at.get().max(PRUNE_MIN) && !self.is_telling.get() {
            members.retain(Member::is_open);
            self.prune_at.set(members.len() * 2);
        }
        members.push(member);
    }

    pub(super) fn len(&self) -> usize {
        self.members.borrow().iter().filter(|member| member.is_open()).count()
    }

    /// Tells all who want to hear it, behind what waits to be told.
    pub(super) fn tell(self: &Rc<Self>, sequence: u64, notices: Arc<[Notice]>) {
        self.waiting.borrow_mut().push_back((sequence, notices));
        if self.is_telling.replace(true) {
            return;
        }
        let hub = Rc::clone(self);
        if try_go("site events", move || hub.tell_all(true)).is_none() {
            self.tell_all(false);
        }
    }

    fn tell_all(&self, in_turns: bool) {
        let _telling = Telling(self);
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some((sequence, notices)) = next else { break };
            let mut at = 0;
            loop {
                let members = self.members.borrow();
                let end = members.len().min(at + TOLD_AT_ONCE);
                for member in &members[at..end] {
                    member.tell(sequence, &notices);
                }
                at = end;
                let is_over = at == members.len();
                drop(members);
                if is_over {
                    break;
                }
                if in_turns {
                    // Who ends the worker lets it finish.
                    let _ = yield_now();
                }
            }
            self.members.borrow_mut().retain(Member::is_open);
        }
    }
}

/// Ends with the telling, however that ends, so that who comes with more begins another.
struct Telling<'a>(&'a Hub);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.is_telling.set(false);
    }
}

impl Member {
    fn is_open(&self) -> bool {
        match &self.to {
            To::Stream(sender) => !sender.is_closed(),
            To::Socket(sender) => !sender.is_closed(),
        }
    }

    fn tell(&self, sequence: u64, notices: &[Notice]) {
        if sequence <= self.after {
            return;
        }
        for notice in notices.iter().filter(|notice| notice.is_for(&self.filter)) {
            match &self.to {
                To::Stream(sender) => {
                    // One that takes no more is closed, and comes again with the id of the last one it has.
                    if sender.send(notice.event()).is_err() {
                        return sender.close();
                    }
                }
                To::Socket(sender) => {
                    if sender.send(&notice.message()).is_err() {
                        return sender.close(1013, "changes are not read");
                    }
                }
            }
        }
    }
}

impl Notice {
    fn is_for(&self, filter: &Filter) -> bool {
        match self {
            Notice::Change(told) => filter.wants(&told.change),
            Notice::Problem(shown) | Notice::Solved(shown) => shown.is_for(filter),
        }
    }

    pub(super) fn event(&self) -> Event<'_> {
        match self {
            Notice::Change(told) => change_event(told),
            Notice::Problem(shown) => problem_event(shown),
            Notice::Solved(shown) => Event::data(&*shown.json).event("solved"),
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Notice::Change(told) => message("change", &told.json),
            Notice::Problem(shown) => message("problem", &shown.json),
            Notice::Solved(shown) => message("solved", &shown.json),
        }
    }
}

/// The id is the version, by which a browser says what it has.
pub(super) fn change_event(told: &Told) -> Event<'_> {
    Event::data(&*told.json).event("change").id(told.change.version.to_string())
}

pub(super) fn problem_event(shown: &Shown) -> Event<'_> {
    Event::data(&*shown.json).event("problem")
}

/// The same as one text for a WebSocket.
pub(super) fn message(event: &str, json: &str) -> String {
    format!(r#"{{"event":"{event}","data":{json}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use sws_runtime::Runtime;

    #[test]
    fn telling_that_panics_is_over() {
        let hub = Rc::new(Hub::default());
        Runtime::new(sws_runtime::Config::default()).unwrap().block_on_fiber(move || {
            // Somebody has the members, so that telling panics.
            let members = hub.members.borrow_mut();
            hub.is_telling.set(true);
            hub.tell(1, Arc::new([]));
            assert!(catch_unwind(AssertUnwindSafe(|| hub.tell_all(false))).is_err());
            drop(members);
            hub.tell(2, Arc::new([]));
            yield_now().unwrap();
            assert!(hub.waiting.borrow().is_empty(), "the next is told");
        });
    }
}
