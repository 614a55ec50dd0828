//! From any worker to the one that has the log.

use super::core::Core;
use super::error::Remote;
use super::{Log, Shared};
use futures_channel::oneshot;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, MutexGuard, PoisonError};
use sws_runtime::{InvokeError, block_on, current_handle, find_local, go_daemon, try_go, worker_local};

/// The logs that this worker has.
#[derive(Default)]
struct Homes(RefCell<HashMap<u64, Rc<Core>>>);

/// Where a log is.
pub(super) enum Stage {
    /// Opened, and not yet used by a worker.
    Found(Vec<super::directory::FoundTopic>),
    /// On the worker that used it first.
    Home(sws_runtime::Handle),
    /// Nowhere any more.
    Closed,
}

impl Shared {
    pub(super) fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// The log itself, if it is on this worker; the first worker that asks gets it.
    pub(super) fn local(&self) -> Option<Rc<Core>> {
        let known = || find_local::<Homes>()?.0.borrow().get(&self.shared.id).cloned();
        known().or_else(|| self.settle())
    }

    /// Has this worker be the log's, if none is yet.
    fn settle(&self) -> Option<Rc<Core>> {
        let mut stage = self.shared.stage();
        let Stage::Found(topics) = &mut *stage else { return None };
        let core = Rc::new(Core::new(self.shared.options.clone(), self.shared.dir.clone()));
        // Taken, because topics keep their journal: a log that kept its topics would never end.
        *core.domains.borrow_mut() =
            std::mem::take(&mut self.shared.domains.lock().unwrap_or_else(PoisonError::into_inner));
        for topic in std::mem::take(topics) {
            let topic = Rc::new(topic.into_topic());
            let recent = |partition: &Rc<super::partition::Partition>| partition.state.borrow().recent_bytes;
            let bytes = topic.partitions.iter().map(recent).sum::<usize>();
            core.recent_bytes.set(core.recent_bytes.get() + bytes);
            core.topics.borrow_mut().insert(Arc::clone(&topic.name), topic);
        }
        *stage = Stage::Home(current_handle());
        drop(stage);
        worker_local(Homes::default).0.borrow_mut().insert(self.shared.id, Rc::clone(&core));
        let maintained = Rc::clone(&core);
        go_daemon("log maintenance", move || super::maintain::run(&maintained));
        Some(core)
    }

    /// The worker that has the log. Nothing is locked behind this.
    fn home(&self) -> Option<sws_runtime::Handle> {
        match &*self.shared.stage() {
            Stage::Home(home) => Some(home.clone()),
            Stage::Found(_) | Stage::Closed => None,
        }
    }

    /// Calls `f` with the log: here if it is on this worker, else on a fiber of its worker, for whose answer this one waits.
    pub(super) fn call<T: Send + 'static, E: Remote>(
        &self,
        f: impl FnOnce(&Rc<Core>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        if let Some(core) = self.local() {
            return if core.is_closed.get() { Err(E::closed()) } else { f(&core) };
        }
        let home = self.home().ok_or_else(E::closed)?;
        let (reply, answer) = oneshot::channel();
        let log = self.clone();
        let body = move || {
            // Without a fiber for it the reply is dropped, and the one who asked hears that.
            let _ = try_go("log call", move || {
                let result = match log.local() {
                    Some(core) if !core.is_closed.get() => f(&core),
                    _ => Err(E::closed()),
                };
                // The one who asked may be gone.
                let _ = reply.send(result);
            });
        };
        home.invoke(body).map_err(|error| match error {
            InvokeError::Full => E::overloaded(),
            _ => E::closed(),
        })?;
        match block_on(answer) {
            Ok(Ok(result)) => result,
            Ok(Err(oneshot::Canceled)) => Err(E::closed()),
            Err(sws_runtime::Cancelled) => Err(E::cancelled()),
        }
    }

    /// Calls `f` with the log, here or on its worker, without waiting for it.
    pub(super) fn cast(&self, f: impl FnOnce(Option<&Rc<Core>>) + Send + 'static) {
        if let Some(core) = sws_runtime::on_worker().then(|| self.local()).flatten() {
            return f(Some(&core).filter(|core| !core.is_closed.get()));
        }
        let Some(home) = self.home() else { return f(None) };
        let log = self.clone();
        let f = Arc::new(std::sync::Mutex::new(Some(f)));
        let shared = Arc::clone(&f);
        let take = |f: &std::sync::Mutex<Option<_>>| f.lock().unwrap_or_else(PoisonError::into_inner).take();
        let body = move || {
            if let Some(f) = take(&shared) {
                let core = log.local();
                f(core.as_ref().filter(|core| !core.is_closed.get()));
            }
        };
        if home.invoke(body).is_err()
            && let Some(f) = take(&f)
        {
            f(None);
        }
    }

    /// Ends the log: what has come in is brought to the disk, and nothing is taken in any more.
    pub(super) fn end(&self, core: &Rc<Core>) {
        core.close(core);
        *self.shared.stage() = Stage::Closed;
        if let Some(homes) = find_local::<Homes>() {
            homes.0.borrow_mut().remove(&self.shared.id);
        }
    }
}
