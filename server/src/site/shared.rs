//! What all workers share of a live site.

use super::filter::Filter;
use super::history::{History, Told};
use super::rules::Rules;
use crate::static_files::ServeDir;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard, TryLockError};
use std::time::Duration;
use sws_content::log::Log;
use sws_content::site::{Problem, Site};
use sws_content::watch::WatchOptions;
use sws_runtime::{Cancelled, Handle, sleep};

/// How often a page looks whether the site can be read, while changes are taken in.
const READ_PAUSE: Duration = Duration::from_millis(1);

/// A site, and what is known of it beside its files.
pub(super) struct Shared {
    /// Names it among those of this process.
    pub(super) id: u64,
    site: RwLock<Site>,
    pub(super) root: PathBuf,
    files: Mutex<ServeDir>,
    pub(super) log: Log,
    /// The topic of the log that has the changes.
    pub(super) topic: &'static str,
    pub(super) drafts: bool,
    pub(super) token: Option<String>,
    pub(super) watch: WatchOptions,
    pub(super) has_keeper: AtomicBool,
    is_ready: AtomicBool,
    state: Mutex<State>,
}

/// What changes as the site does.
#[derive(Default)]
pub(super) struct State {
    pub(super) history: History,
    /// Counts what subscribers were told: who comes is told what follows.
    pub(super) sequence: u64,
    /// What is wrong, one problem for each file.
    pub(super) problems: BTreeMap<String, Shown>,
    pub(super) rules: Arc<Rules>,
    /// Why changes may be seen late, if so.
    pub(super) watch_note: Option<String>,
    /// Why changes are not kept, if so.
    pub(super) log_note: Option<String>,
    /// Batches of changed files that were taken in.
    pub(super) batches: u64,
    pub(super) workers: Vec<Handle>,
}

/// What subscribers are told.
#[derive(Clone, Debug)]
pub(super) enum Notice {
    Change(Told),
    Problem(Shown),
    Solved(Shown),
}

/// A problem as browsers get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) problem: Problem,
    pub(super) scope: Scope,
    pub(super) json: Arc<str>,
}

/// Who sees a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Who has the page of this slug open.
    Page(String),
    /// Who has any page open.
    Everywhere,
    /// The operator: the article is not public.
    Nobody,
}

impl Shown {
    pub(super) fn is_for(&self, filter: &Filter) -> bool {
        match &self.scope {
            Scope::Page(slug) => filter.wants_problem(Some(slug)),
            Scope::Everywhere => filter.wants_problem(None),
            Scope::Nobody => false,
        }
    }
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "all of its parts, once")]
    pub(super) fn new(
        id: u64,
        site: Site,
        files: ServeDir,
        log: Log,
        topic: &'static str,
        drafts: bool,
        token: Option<String>,
        watch: WatchOptions,
    ) -> Shared {
        let state = State { rules: Arc::new(Rules::of(&site)), ..State::default() };
        Shared {
            id,
            root: site.root().to_owned(),
            site: RwLock::new(site),
            files: Mutex::new(files),
            log,
            topic,
            drafts,
            token,
            watch,
            has_keeper: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files of the site's folder.
    pub(super) fn files(&self) -> ServeDir {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves the files of the folder that stands there now, on a thread that may block: another may have come in its place.
    pub(super) fn renew_files(&self) {
        if let Ok(files) = ServeDir::new(&self.root) {
            *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
        }
    }

    /// Looks at the site. While changes are taken in, this fiber waits and the worker does not.
    pub(super) fn read<R>(&self, look: impl Fn(&Site) -> R) -> Result<R, Cancelled> {
        loop {
            match self.site.try_read() {
                Ok(site) => return Ok(look(&site)),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(look(&poisoned.into_inner())),
                Err(TryLockError::WouldBlock) => sleep(READ_PAUSE)?,
            }
        }
    }

    /// The site for a thread that may block.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Site> {
        self.site.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the site on a thread that may block.
    pub(super) fn read_blocking<R>(&self, look: impl Fn(&Site) -> R) -> R {
        look(&self.site.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether versions are known, so that subscribers can be told what they missed.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    pub(super) fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }
}
