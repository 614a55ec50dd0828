//! The last changes, for browsers that come again. Pure.

use super::filter::Filter;
use std::collections::VecDeque;
use std::sync::Arc;
use sws_content::site::Change;

/// Changes that are kept in memory.
pub(super) const HISTORY_MAX: usize = 4096;

/// A change, and its JSON for everybody.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) change: Change,
    pub(super) json: Arc<str>,
}

/// The last changes in the order of their versions.
#[derive(Debug, Default)]
pub(super) struct History {
    told: VecDeque<Told>,
    /// The version before the oldest that is kept.
    before: u64,
    version: u64,
}

impl History {
    /// The version of the last change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn push(&mut self, told: Told) {
        if self.told.is_empty() {
            self.before = told.change.version.saturating_sub(1);
        }
        self.version = told.change.version;
        self.told.push_back(told);
        if self.told.len() > HISTORY_MAX
            && let Some(oldest) = self.told.pop_front()
        {
            self.before = oldest.change.version;
        }
    }

    /// What a subscriber wants of the changes after a version. `None` when some of them are not kept, or the version is none of this
    /// site.
    pub(super) fn since<'a>(
        &'a self,
        version: u64,
        filter: &'a Filter,
    ) -> Option<impl Iterator<Item = &'a Told>> {
        if version > self.version || (version < self.before) {
            return None;
        }
        let from = self.told.partition_point(|told| told.change.version <= version);
        Some(self.told.range(from..).filter(move |told| filter.wants(&told.change)))
    }

    /// The last ones, the newest first.
    pub(super) fn last(&self, count: usize) -> impl Iterator<Item = &Change> {
        self.told.iter().rev().take(count).map(|told| &told.change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sws_content::site::{ChangeKind, ChangeOf};

    fn told(version: u64, slug: &str) -> Told {
        let change = Change {
            version,
            kind: ChangeKind::Updated,
            of: ChangeOf::Article,
            path: format!("/{slug}/"),
            slug: slug.to_owned(),
            title: String::new(),
            tags: Vec::new(),
        };
        Told { change, json: "".into() }
    }

    fn versions(history: &History, since: u64, filter: &Filter) -> Option<Vec<u64>> {
        history.since(since, filter).map(|told| told.map(|told| told.change.version).collect())
    }

    #[test]
    fn who_comes_again_gets_what_it_missed() {
        let (all, a) = (Filter::of_pairs([]), Filter::of_pairs([("title", "a")]));
        let mut history = History::default();
        assert_eq!(versions(&history, 0, &all), Some(vec![]));
        assert_eq!(versions(&history, 1, &all), None, "a version of another life");
        for (version, slug) in [(11, "a"), (12, "b"), (13, "a")] {
            history.push(told(version, slug));
        }
        assert_eq!(versions(&history, 10, &all), Some(vec![11, 12, 13]));
        assert_eq!(versions(&history, 10, &a), Some(vec![11, 13]));
        assert_eq!(versions(&history, 13, &all), Some(vec![]));
        assert_eq!(versions(&history, 9, &all), None, "not all of it is kept");
        assert_eq!(versions(&history, 14, &all), None);
    }

    #[test]
    fn the_oldest_go_first() {
        let mut history = History::default();
        for version in 1..=HISTORY_MAX as u64 + 5 {
            history.push(told(version, "a"));
        }
        let all = Filter::of_pairs([]);
        assert_eq!(versions(&history, 4, &all), None);
        assert_eq!(versions(&history, 5, &all).map(|all| all.len()), Some(HISTORY_MAX));
        assert_eq!(history.last(1).map(|change| change.version).next(), Some(history.version()));
    }
}
