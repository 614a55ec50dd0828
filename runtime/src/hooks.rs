//! User code that the loop calls each turn.

use crate::slab::{Key, Slab};
use crate::turn::guarded;
use std::cell::RefCell;
use std::rc::Rc;

type Hook = Rc<RefCell<dyn FnMut()>>;

/// Names a hook until it is removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HookId(Key);

/// The hooks of one kind.
pub(crate) struct Hooks {
    hooks: RefCell<Slab<Hook>>,
    /// Those that a turn calls, in memory that is kept from turn to turn.
    turn: RefCell<Vec<Key>>,
}

impl Hooks {
    pub(crate) const fn new() -> Hooks {
        Hooks { hooks: RefCell::new(Slab::new()), turn: RefCell::new(Vec::new()) }
    }

    pub(crate) fn insert(&self, hook: impl FnMut() + 'static) -> HookId {
        HookId(self.hooks.borrow_mut().insert(Rc::new(RefCell::new(hook))))
    }

    pub(crate) fn remove(&self, id: HookId) -> bool {
        self.hooks.borrow_mut().remove(id.0).is_some()
    }

    /// Calls each hook once. A hook may add and remove hooks, itself too; one that is removed is not called any more.
    pub(crate) fn run(&self) {
        if self.hooks.borrow().len() == 0 {
            return;
        }
        let mut turn = self.turn.take();
        turn.extend(self.hooks.borrow().iter().map(|(key, _)| key));
        for key in turn.drain(..) {
            let hook = self.hooks.borrow().get(key).cloned();
            if let Some(hook) = hook
                && let Ok(mut hook) = hook.try_borrow_mut()
            {
                guarded(&mut *hook);
            }
        }
        self.turn.replace(turn);
    }
}
