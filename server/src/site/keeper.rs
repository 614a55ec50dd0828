//! The fiber that keeps a site up to date: what the watcher sees is read and taken in on the pool, written to the log, and then told.
//!
//! ```text
//! start: watcher ─▶ read the log ─▶ read the tree ─▶ what differs is a change of the time in between ─▶ ready
//! then:  batch of files ─▶ pool: read, parse, take in ─▶ log, durable ─▶ history ─▶ the hub of each worker
//! ```

use super::history::Told;
use super::hub::Hub;
use super::record::ChangeRecord;
use super::rules::Rules;
use super::shared::{Notice, Scope, Shared, Shown};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use sws_content::log::{Entry, FetchError, FetchMax, ProduceError, ProduceOptions, TopicConfig, TopicError};
use sws_content::site::{Change, Changes, Part, Problem, Site};
use sws_content::watch::{self, WatchError, Watcher};
use sws_runtime::{
    Cancelled, InvokeError, JoinError, current_handle, go, go_daemon, on_worker, sleep, submit,
};

/// How often the tree is read where changes are not seen.
const RESCAN_INTERVAL: Duration = Duration::from_secs(2);
/// How long a watcher that fails is left alone.
const WATCH_PAUSE: Duration = Duration::from_secs(1);
/// Changes that are written to the log at once.
const RECORDS_MAX: usize = 1000;
/// How long is waited for a worker that takes no more at the moment.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// Registers this worker, and starts the keeper on the first one.
pub(super) fn enter_worker(shared: &Arc<Shared>) {
    if !on_worker() {
        return;
    }
    shared.state().workers.push(current_handle());
    if shared.has_keeper.swap(true, Ordering::AcqRel) {
        return;
    }
    let keeper = Keeper::new(shared);
    let log = shared.log.clone();
    go_daemon("site", move || {
        let Err(Cancelled) = keeper.run();
        // This fiber waits no more. What is acknowledged is on the disk; what is not gets there before the log is left.
        go("site log flush", move || {
            for topic in log.topics().unwrap_or_default() {
                let _ = log.flush(&topic.name);
            }
        });
    });
}

struct Keeper {
    shared: Arc<Shared>,
    watcher: Option<Watcher>,
    /// How often in a row changes could not be taken in.
    failures: u32,
}

/// What taking files in has come to.
struct Taken {
    records: Vec<ChangeRecord>,
    problems: BTreeMap<String, Shown>,
    rules: Rules,
}

enum Never {}

impl Keeper {
    fn new(shared: &Arc<Shared>) -> Keeper {
        Keeper { shared: Arc::clone(shared), watcher: None, failures: 0 }
    }

    fn run(mut self) -> Result<Never, Cancelled> {
        // Before the tree is read, so that no change falls in between.
        self.open_watcher()?;
        self.make_topics()?;
        let known = self.read_log()?;
        self.begin(known)?;
        self.shared.set_ready();
        loop {
            let changes = self.next()?;
            self.take_in(changes)?;
        }
    }

    /// Says what the operator is to know.
    fn report(&self, what: &str) {
        eprintln!("sws: {what}");
    }

    fn note_watch(&self, note: Option<String>) {
        let mut state = self.shared.state();
        if state.watch_note == note {
            return;
        }
        state.watch_note.clone_from(&note);
        drop(state);
        match note {
            Some(note) => {
                self.report(&format!("{note}; the folder is read every {RESCAN_INTERVAL:?} instead"))
            }
            None => self.report("all folders are watched again"),
        }
    }

    fn note_log(&self, what: String) {
        self.report(&what);
        self.shared.state().log_note = Some(what);
    }

    fn open_watcher(&mut self) -> Result<(), Cancelled> {
        match Watcher::new(&self.shared.root, self.shared.watch.clone()) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.note_watch(None);
            }
            Err(WatchError::Cancelled) => return Err(Cancelled),
            Err(error) => self.note_watch(Some(error.to_string())),
        }
        Ok(())
    }

    /// Makes the topics that are not there yet.
    fn make_topics(&self) -> Result<(), Cancelled> {
        let rules = Arc::clone(&self.shared.state().rules);
        for wrong in &rules.wrong {
            self.report(&format!("site.json: {wrong}"));
        }
        let own = (self.shared.topic, TopicConfig::default().compact(true));
        let named = rules.topics.iter().map(|(name, rule)| (name.as_str(), rule.config.clone()));
        for (name, config) in std::iter::once(own).chain(named) {
            match self.shared.log.ensure_topic(name, config) {
                Ok(()) => {}
                Err(TopicError::Cancelled) => return Err(Cancelled),
                Err(error) => self.note_log(format!("the topic {name} cannot be made: {error}")),
            }
        }
        Ok(())
    }

    /// The parts of the site as the log has them. None when it cannot be read.
    fn read_log(&self) -> Result<Option<BTreeMap<String, Part>>, Cancelled> {
        let mut parts = BTreeMap::new();
        let mut offset = 0;
        loop {
            let fetched = self.shared.log.fetch(self.shared.topic, 0, offset, FetchMax::default());
            let records = match fetched {
                Ok(records) => records,
                Err(FetchError::OutOfRange { low, .. }) if offset < low => {
                    offset = low;
                    continue;
                }
                Err(FetchError::Cancelled) => return Err(Cancelled),
                Err(error) => {
                    self.note_log(format!("the changes of before cannot be read: {error}"));
                    return Ok(None);
                }
            };
            let mut state = self.shared.state();
            for record in records.iter() {
                // Who else has written there has written nothing for us.
                let Ok(read) = serde_json::from_slice::<ChangeRecord>(&record.payload) else { continue };
                read.note(&mut parts);
                if read.change.version > state.history.version() {
                    let json = String::from_utf8_lossy(&record.payload).into();
                    state.history.push(Told { change: read.change, json });
                }
            }
            offset = records.next;
            if offset >= records.high {
                return Ok(Some(parts));
            }
        }
    }

    /// Reads the tree once more, and makes changes of what happened while nobody watched.
    fn begin(&mut self, known: Option<BTreeMap<String, Part>>) -> Result<(), Cancelled> {
        let version = self.shared.state().history.version();
        let shared = Arc::clone(&self.shared);
        let taken = self.on_pool(move || {
            let batch = shared.read_blocking(Site::reader).read(&Changes::rescan());
            let mut site = shared.write();
            site.apply(batch);
            site.set_version(version);
            let changes = known.map_or_else(Vec::new, |known| site.changes_since(&known));
            drop(site);
            shared.taken(changes)
        })?;
        match taken {
            Some(taken) => self.tell(taken),
            None => Ok(()),
        }
    }

    /// Waits for changed files. Of those that could not be taken in nobody tells once more: all are read again, at once and then as where
    /// changes are not seen.
    fn next(&mut self) -> Result<Changes, Cancelled> {
        if self.failures == 1 {
            return Ok(Changes::rescan());
        }
        loop {
            let is_degraded = self.failures > 0 || self.shared.state().watch_note.is_some();
            let Some(watcher) = &mut self.watcher else {
                sleep(RESCAN_INTERVAL)?;
                self.open_watcher()?;
                return Ok(Changes::rescan());
            };
            let next = match is_degraded {
                true => watcher.next_within(RESCAN_INTERVAL),
                false => watcher.next().map(Some),
            };
            match next {
                Ok(Some(batch)) => {
                    let note = watcher.limit().map(ToString::to_string);
                    self.note_watch(note);
                    if !batch.is_empty() {
                        return Ok(if self.failures > 0 { Changes::rescan() } else { changes_of(batch) });
                    }
                }
                Ok(None) => return Ok(Changes::rescan()),
                Err(WatchError::Cancelled) => return Err(Cancelled),
                Err(error) => {
                    self.report(&error.to_string());
                    if !matches!(error, WatchError::RootGone { .. }) {
                        sleep(WATCH_PAUSE)?;
                        return Ok(Changes::rescan());
                    }
                }
            }
        }
    }

    fn take_in(&mut self, changes: Changes) -> Result<(), Cancelled> {
        let shared = Arc::clone(&self.shared);
        let taken = self.on_pool(move || {
            if changes.rescan {
                shared.renew_files();
            }
            let batch = shared.read_blocking(Site::reader).read(&changes);
            let applied = shared.write().apply(batch);
            shared.taken(applied.changes)
        })?;
        self.shared.state().batches += 1;
        match taken {
            Some(taken) => self.tell(taken),
            None => Ok(()),
        }
    }

    /// Runs a job on the pool. None when it panicked, which is said once.
    fn on_pool<T: Send + 'static>(
        &mut self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, Cancelled> {
        match submit(job).join() {
            Ok(value) => {
                self.failures = 0;
                Ok(Some(value))
            }
            Err(JoinError::Cancelled) => Err(Cancelled),
            Err(error) => {
                if self.failures == 0 {
                    self.report(&format!("changes could not be taken in, all are read again: {error}"));
                }
                self.failures = self.failures.saturating_add(1);
                Ok(None)
            }
        }
    }

    /// Writes changes to the log, and tells them and what is wrong.
    fn tell(&mut self, taken: Taken) -> Result<(), Cancelled> {
        let told: Vec<Told> = taken
            .records
            .into_iter()
            .map(|record| Told { json: record.to_json().into(), change: record.change })
            .collect();
        self.keep(&told)?;
        let mut notices: Vec<Notice> = told.iter().cloned().map(Notice::Change).collect();
        let (handles, sequence, are_rules_new) = {
            let mut state = self.shared.state();
            told.into_iter().for_each(|told| state.history.push(told));
            for (file, shown) in &taken.problems {
                if state.problems.get(file) != Some(shown) {
                    notices.push(Notice::Problem(shown.clone()));
                }
            }
            for (_, shown) in state.problems.iter().filter(|(file, _)| !taken.problems.contains_key(*file)) {
                notices.push(Notice::Solved(shown.clone()));
            }
            state.problems = taken.problems;
            let are_rules_new = *state.rules != taken.rules;
            state.rules = Arc::new(taken.rules);
            state.sequence += 1;
            (state.workers.clone(), state.sequence, are_rules_new)
        };
        for notice in &notices {
            match notice {
                Notice::Change(_) => {}
                Notice::Problem(shown) => self.report(&shown.problem.to_string()),
                Notice::Solved(shown) => self.report(&format!("{}: mended", shown.problem.path)),
            }
        }
        if are_rules_new {
            self.make_topics()?;
        }
        if notices.is_empty() {
            return Ok(());
        }
        let notices: Arc<[Notice]> = notices.into();
        let site = self.shared.id;
        for handle in handles {
            loop {
                let notices = Arc::clone(&notices);
                match handle.invoke(move || Hub::of(site).tell(sequence, notices)) {
                    Err(InvokeError::Full) => sleep(FULL_PAUSE)?,
                    // One that has ended has no subscribers.
                    Ok(()) | Err(_) => break,
                }
            }
        }
        Ok(())
    }

    /// Has changes on the disk before anybody is told. Those that cannot be kept are told all the same.
    fn keep(&self, told: &[Told]) -> Result<(), Cancelled> {
        let mut is_kept = true;
        for told in told.chunks(RECORDS_MAX) {
            let keys: Vec<String> = told.iter().map(|told| told.change.part_key()).collect();
            let entries: Vec<Entry<'_>> =
                told.iter().zip(&keys).map(|(told, key)| Entry::text(&told.json).key(key)).collect();
            let options = ProduceOptions::default().partition(0);
            match self.shared.log.produce_batch(self.shared.topic, &entries, options) {
                Ok(_) => {}
                Err(ProduceError::Cancelled) => return Err(Cancelled),
                Err(error) => {
                    is_kept = false;
                    self.note_log(format!("{} changes were not kept: {error}", told.len()));
                }
            }
        }
        if is_kept && !told.is_empty() {
            self.shared.state().log_note = None;
        }
        Ok(())
    }
}

/// What a watcher saw, for the reader. Names that are not UTF-8 cannot be pages.
fn changes_of(batch: watch::Batch) -> Changes {
    if batch.rescan {
        return Changes::rescan();
    }
    let name = |path: PathBuf| path.to_str().map(str::to_owned);
    let all = batch.removed_dirs.into_iter().chain(batch.removed).chain(batch.changed);
    Changes::of(all.filter_map(name))
}

impl Shared {
    /// What is known behind changes, from a thread that may block.
    fn taken(&self, changes: Vec<Change>) -> Taken {
        self.read_blocking(|site| {
            let parts = if changes.is_empty() { BTreeMap::new() } else { site.parts() };
            let hash = |change: &Change| parts.get(&change.part_key()).map_or(0, |part| part.hash);
            let records = changes.iter().map(|change| ChangeRecord::new(change.clone(), hash(change)));
            Taken { records: records.collect(), problems: self.problems_of(site), rules: Rules::of(site) }
        })
    }

    /// The first problem of each file.
    pub(super) fn problems_of(&self, site: &Site) -> BTreeMap<String, Shown> {
        let mut shown = BTreeMap::new();
        for problem in site.problems() {
            let file = problem.path.clone();
            shown.entry(file).or_insert_with(|| self.show(site, problem));
        }
        shown
    }

    fn show(&self, site: &Site, problem: Problem) -> Shown {
        let scope = match site.page_of(&problem.path) {
            Some(page) => Scope::Page(page.slug.clone()),
            // Of an article that was never good nobody knows whether it is a draft.
            None if Path::new(&problem.path).starts_with("content") && !self.drafts => Scope::Nobody,
            None => Scope::Everywhere,
        };
        let json = json!({
            "file": problem.path, "line": problem.line, "column": problem.column, "message": problem.message,
        });
        Shown { scope, json: json.to_string().into(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LiveSite, LiveSiteOptions};
    use super::*;
    use sws_content::log::Log;
    use sws_runtime::{Runtime, timeout};

    /// After this, what did not come will not come.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn what_could_not_be_taken_in_is_read_again() {
        let folder = std::env::temp_dir().join(format!("sws-keeper-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("site/content")).unwrap();
        let (log, _) = Log::open(folder.join("log")).unwrap();
        let (site, _) = LiveSite::open(folder.join("site"), log, LiveSiteOptions::default()).unwrap();
        let runtime = Runtime::new(sws_runtime::Config::default()).unwrap();
        runtime.block_on_fiber(move || {
            let next = |keeper: &mut Keeper| timeout(PATIENCE, || keeper.next()).unwrap().unwrap();
            let mut keeper = Keeper::new(&site.shared);
            keeper.open_watcher().unwrap();
            // At once, and again when the watcher sees nothing.
            for _ in 0..2 {
                assert!(keeper.on_pool(|| panic!("as asked")).unwrap().is_none());
                assert!(next(&mut keeper).rescan);
            }
            keeper.on_pool(|| panic!("as asked")).unwrap();
            std::fs::write(site.shared.root.join("content/new.md"), "").unwrap();
            assert!(next(&mut keeper).rescan);
            keeper.on_pool(|| ()).unwrap();
            std::fs::write(site.shared.root.join("content/other.md"), "").unwrap();
            assert!(!next(&mut keeper).rescan, "it goes on as before");
        });
        std::fs::remove_dir_all(folder).unwrap();
    }
}
