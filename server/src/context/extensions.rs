//! Values by their type: what middleware hands to handlers, and the state of a router.

use std::any::{Any, TypeId};
use std::fmt;
use std::rc::Rc;

/// Values that belong to one request, at most one of each type.
///
/// Middleware leaves them for the handler. An empty map owns no heap memory.
///
/// ```
/// use sws::{Context, Next, Router, TestClient};
///
/// struct User(String);
///
/// fn login(ctx: &mut Context, next: Next<'_>) -> sws::Response {
///     let user = User(ctx.header("x-user").unwrap_or("nobody").to_owned());
///     ctx.extensions_mut().insert(user);
///     next.run(ctx)
/// }
///
/// fn whoami(ctx: &mut Context) -> Option<String> {
///     ctx.extensions().get::<User>().map(|user| user.0.clone())
/// }
///
/// let client = TestClient::new(Router::new().get("/whoami", whoami).layer(login));
/// assert_eq!(client.get("/whoami").header("X-User", "ada").send().text(), "ada");
/// ```
#[derive(Default)]
pub struct Extensions {
    entries: Vec<(TypeId, Box<dyn Any>)>,
}

impl Extensions {
    /// Drops all values.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Inserts a value and returns the one of the same type that it replaces.
    pub fn insert<T: 'static>(&mut self, value: T) -> Option<T> {
        let previous = self.remove::<T>();
        self.entries.push((TypeId::of::<T>(), Box::new(value)));
        previous
    }

    /// The value of this type.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.entries[self.position::<T>()?].1.downcast_ref()
    }

    /// The value of this type, to be changed.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        let position = self.position::<T>()?;
        self.entries[position].1.downcast_mut()
    }

    /// Takes the value of this type out.
    pub fn remove<T: 'static>(&mut self) -> Option<T> {
        let (_, value) = self.entries.swap_remove(self.position::<T>()?);
        value.downcast().ok().map(|value| *value)
    }

    fn position<T: 'static>(&self) -> Option<usize> {
        self.entries.iter().position(|(id, _)| *id == TypeId::of::<T>())
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").field("len", &self.entries.len()).finish()
    }
}

/// The state of a router: values that all its requests share, at most one of each type.
#[derive(Clone, Default)]
pub(crate) struct StateMap {
    entries: Vec<(TypeId, Rc<dyn Any>)>,
}

impl StateMap {
    pub(crate) fn insert<T: 'static>(&mut self, value: T) {
        self.entries.retain(|(id, _)| *id != TypeId::of::<T>());
        self.entries.push((TypeId::of::<T>(), Rc::new(value)));
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        let (_, value) = self.entries.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    /// Adds what `outer` has and this map has not.
    pub(crate) fn inherit(&mut self, outer: &StateMap) {
        for (id, value) in &outer.entries {
            if !self.entries.iter().any(|(held, _)| held == id) {
                self.entries.push((*id, Rc::clone(value)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_hold_one_value_per_type() {
        let mut map = Extensions::default();
        assert_eq!(map.insert(1u32), None);
        assert_eq!(map.insert("one"), None);
        assert_eq!(map.insert(2u32), Some(1));
        *map.get_mut::<u32>().expect("a u32 was inserted") += 1;
        assert_eq!((map.get::<u32>(), map.get::<&str>(), map.get::<u8>()), (Some(&3), Some(&"one"), None));
        assert_eq!((map.remove::<u32>(), map.remove::<u32>()), (Some(3), None));
        assert_eq!(map.get::<&str>(), Some(&"one"));
    }

    #[test]
    fn inner_state_wins_over_inherited() {
        let (mut inner, mut outer) = (StateMap::default(), StateMap::default());
        inner.insert(1u32);
        outer.insert(2u32);
        outer.insert("outer");
        inner.inherit(&outer);
        assert_eq!((inner.get::<u32>(), inner.get::<&str>()), (Some(&1), Some(&"outer")));
    }
}
