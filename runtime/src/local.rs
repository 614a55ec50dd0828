//! Values of a worker: one of each type, for protocols that keep something beside their handlers.

use crate::core;
use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The values of one worker.
#[derive(Default)]
pub(crate) struct Locals(RefCell<HashMap<TypeId, Rc<dyn Any>>>);

/// The worker's value of this type; `make` makes it when there is none yet.
///
/// # Panics
/// Off a worker's thread.
///
/// ```
/// use std::cell::Cell;
/// use sws_runtime::{Runtime, worker_local};
///
/// struct Served(Cell<u64>);
///
/// let runtime = Runtime::new(Default::default())?;
/// runtime.enter(|| {
///     worker_local(|| Served(Cell::new(0))).0.set(7);
///     assert_eq!(worker_local(|| Served(Cell::new(0))).0.get(), 7);
/// });
/// # Ok::<(), sws_runtime::RuntimeError>(())
/// ```
#[track_caller]
pub fn worker_local<T: 'static>(make: impl FnOnce() -> T) -> Rc<T> {
    core::with(|core| {
        let known = core.locals.0.borrow().get(&TypeId::of::<T>()).cloned();
        // `make` is the caller's code: nothing is borrowed meanwhile.
        let value = known.unwrap_or_else(|| {
            let made: Rc<dyn Any> = Rc::new(make());
            Rc::clone(core.locals.0.borrow_mut().entry(TypeId::of::<T>()).or_insert(made))
        });
        value.downcast().expect("a value is kept under its own type")
    })
}

/// The worker's value of this type, if the caller is on a worker's thread and there is one.
pub fn find_local<T: 'static>() -> Option<Rc<T>> {
    core::try_with(|core| core.locals.0.borrow().get(&TypeId::of::<T>()).cloned())??.downcast().ok()
}
