//! When it is quiet enough, and what is told then.

use super::{Root, State, Step, Tracker, Wd};
use crate::watch::Batch;
use std::path::{Path, PathBuf};
use std::time::Duration;

impl Tracker {
    /// What to do next. A step that is not done is asked for again.
    pub(crate) fn poll(&mut self, now: Duration) -> Step {
        match &mut self.root {
            Root::Gone { told, .. } if !*told => {
                *told = true;
                return Step::RootGone;
            }
            Root::Gone { retry_at, .. } => return until(*retry_at, now, || Step::Scan(vec![PathBuf::new()])),
            Root::Stale => return until(self.settled_at(), now, || Step::Scan(vec![PathBuf::new()])),
            Root::Watched => {}
        }
        if !self.scans.is_empty() {
            return Step::Scan(self.outermost_scans());
        }
        if !self.has_news() {
            return Step::Wait(None);
        }
        if !self.due && now < self.settled_at() {
            return Step::Wait(Some(self.settled_at() - now));
        }
        let overdue = now >= self.first.saturating_add(self.options.debounce_max);
        if !overdue || !self.has_certain_news() {
            let unsure = self.unsure();
            if !unsure.is_empty() {
                return Step::Probe(unsure);
            }
        }
        Step::Deliver(self.take_batch(now))
    }

    /// The watches of folders that have left the tree, to be removed.
    pub(crate) fn take_strays(&mut self) -> impl Iterator<Item = Wd> + use<> {
        std::mem::take(&mut self.strays).into_iter()
    }

    pub(super) fn touch(&mut self, now: Duration) {
        if !self.has_news() {
            self.first = now;
        }
        self.last = now;
    }

    fn settled_at(&self) -> Duration {
        let quiet = self.last.saturating_add(self.options.debounce);
        quiet.min(self.first.saturating_add(self.options.debounce_max))
    }

    fn has_news(&self) -> bool {
        self.rescan
            || !self.pending.is_empty()
            || !self.removed_dirs.is_empty()
            || (self.limit.is_some() && !self.limit_told)
    }

    /// Whether there is something to tell without a probe.
    fn has_certain_news(&self) -> bool {
        self.rescan || !self.removed_dirs.is_empty() || self.pending.values().any(|state| !state.is_unsure())
    }

    fn unsure(&self) -> Vec<PathBuf> {
        let unsure = self.pending.iter().filter(|(_, state)| state.is_unsure());
        unsure.map(|(path, _)| path.clone()).collect()
    }

    /// The folders to scan without those that lie in another of them.
    fn outermost_scans(&mut self) -> Vec<PathBuf> {
        let mut outermost: Vec<PathBuf> = Vec::new();
        for path in &self.scans {
            if !outermost.last().is_some_and(|last| path.starts_with(last)) {
                outermost.push(path.clone());
            }
        }
        self.scans = outermost.iter().cloned().collect();
        outermost
    }

    fn take_batch(&mut self, now: Duration) -> Batch {
        let mut batch = Batch { rescan: self.rescan, degraded: self.limit.is_some(), ..Batch::default() };
        self.limit_told = true;
        self.reread |= std::mem::take(&mut self.rescan);
        self.due = false;
        self.moves.clear();
        batch.removed_dirs = std::mem::take(&mut self.removed_dirs).into_iter().collect();
        let is_below = |dirs: &[PathBuf], path: &Path| {
            path.ancestors().any(|up| dirs.binary_search_by(|dir| dir.as_path().cmp(up)).is_ok())
        };
        for (path, state) in std::mem::take(&mut self.pending) {
            match state {
                State::Changed => batch.changed.push(path),
                State::Removed if is_below(&batch.removed_dirs, &path) => {}
                State::Removed => batch.removed.push(path),
                State::Created | State::Found { .. } => {
                    self.pending.insert(path, state);
                }
            }
        }
        self.first = now;
        self.last = now;
        batch
    }
}

fn until(at: Duration, now: Duration, step: impl FnOnce() -> Step) -> Step {
    if now >= at { step() } else { Step::Wait(Some(at - now)) }
}
