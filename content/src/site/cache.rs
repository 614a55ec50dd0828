//! The pages that are kept, up to a number of bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::pages::{Dependency, Rendered};
use super::problem::Problem;
use super::route::Page;

/// The pages that are kept.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub pages: HashMap<Page, Kept>,
    pub bytes: usize,
    /// Counts what is asked for, so that the page not asked for longest is known.
    pub clock: u64,
    /// How often each page was rendered.
    pub renders: BTreeMap<Page, u64>,
    /// Pages that could not be rendered.
    pub failures: BTreeMap<Page, Problem>,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub rendered: Arc<Rendered>,
    pub dependencies: Vec<Dependency>,
    /// The batch after which the dependencies were looked at last.
    pub checked: u64,
    pub used: u64,
}

impl Cache {
    /// Keeps a page; when there are too many bytes, those not asked for longest go.
    pub fn keep(&mut self, page: Page, kept: Kept, bytes_max: usize) {
        self.bytes += kept.rendered.body.len();
        if let Some(old) = self.pages.insert(page, kept) {
            self.bytes -= old.rendered.body.len();
        }
        if self.bytes <= bytes_max {
            return;
        }
        // A quarter goes at once, so that the order is looked at rarely.
        let mut by_use: Vec<(u64, Page)> =
            self.pages.iter().map(|(page, kept)| (kept.used, page.clone())).collect();
        by_use.sort_unstable_by_key(|(used, _)| *used);
        for (_, page) in by_use {
            if self.bytes <= bytes_max / 4 * 3 {
                break;
            }
            if let Some(old) = self.pages.remove(&page) {
                self.bytes -= old.rendered.body.len();
            }
        }
    }
}
