//! From any worker to the one that has the log.

use super::core::Core;
use super::error::Remote;
use super::wait::{NotWaited, apart};
use super::{Log, Shared};
use futures_channel::oneshot;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};
use sws_runtime::{
    FiberId, InvokeError, block_on, cancel_fiber, current_fiber, current_handle, find_local, go_daemon,
    try_go, worker_local,
};

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

/// Why a call does not reach the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotCast {
    /// Its worker takes no more calls at the moment.
    Full,
    /// No worker has it: none yet, or it is closed, or its worker gone.
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
        // Off a worker this panics, and the log stays as it was found.
        let home = current_handle();
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
        *stage = Stage::Home(home);
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

    /// Calls `f` with the log: here if it is on this worker, else on a fiber of its worker, for whose answer this one waits. When this one is
    /// cancelled, so is that.
    pub(super) fn call<T: Send + 'static, E: Remote>(
        &self,
        f: impl FnOnce(&Rc<Core>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        match self.local() {
            Some(core) if core.is_closed.get() => Err(E::closed()),
            Some(core) => f(&core),
            None => self.call_home(f, true),
        }
    }

    /// As [`call`](Log::call), always on a fiber of its own: what was begun is done also when the caller is cancelled.
    pub(super) fn call_to_end<T: Send + 'static, E: Remote>(
        &self,
        f: impl FnOnce(&Rc<Core>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        match self.local() {
            Some(core) if core.is_closed.get() => Err(E::closed()),
            Some(core) => apart("log call", move || f(&core)).unwrap_or_else(|not_waited| {
                Err(match not_waited {
                    NotWaited::Cancelled => E::cancelled(),
                    NotWaited::NoFiber => E::overloaded(),
                })
            }),
            None => self.call_home(f, false),
        }
    }

    /// Calls `f` on a fiber of the log's worker.
    fn call_home<T: Send + 'static, E: Remote>(
        &self,
        f: impl FnOnce(&Rc<Core>) -> Result<T, E> + Send + 'static,
        is_cancellable: bool,
    ) -> Result<T, E> {
        let home = self.home().ok_or_else(E::closed)?;
        let (reply, answer) = oneshot::channel();
        // The fiber, or that it need not begin any more: whichever is known first.
        let fiber: Arc<OnceLock<Option<FiberId>>> = Arc::default();
        let (log, known) = (self.clone(), Arc::clone(&fiber));
        let body = move || {
            // Without a fiber for it the reply is dropped, and the one who asked hears that.
            let _ = try_go("log call", move || {
                if known.set(current_fiber()).is_err() {
                    return;
                }
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
            Err(sws_runtime::Cancelled) => {
                if is_cancellable {
                    // The worker may be gone, and its fibers with it.
                    let _ = home.invoke_reserved(move || {
                        if let Some(id) = fiber.get_or_init(|| None) {
                            cancel_fiber(*id);
                        }
                    });
                }
                Err(E::cancelled())
            }
        }
    }

    /// Calls `f` with the log, here or on its worker, without waiting for it; with nothing if the log is closed by then.
    ///
    /// # Errors
    /// Why it is not called.
    pub(super) fn cast(&self, f: impl FnOnce(Option<&Rc<Core>>) + Send + 'static) -> Result<(), NotCast> {
        if let Some(core) = sws_runtime::on_worker().then(|| self.local()).flatten() {
            f(Some(&core).filter(|core| !core.is_closed.get()));
            return Ok(());
        }
        let home = match &*self.shared.stage() {
            Stage::Home(home) => home.clone(),
            Stage::Found(_) | Stage::Closed => return Err(NotCast::Closed),
        };
        let log = self.clone();
        let body = move || {
            let core = log.local();
            f(core.as_ref().filter(|core| !core.is_closed.get()));
        };
        home.invoke(body).map_err(|error| match error {
            InvokeError::Full => NotCast::Full,
            _ => NotCast::Closed,
        })
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
