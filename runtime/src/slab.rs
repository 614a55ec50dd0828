//! A table whose places are reused, each time with a new generation.

/// Names one value for as long as it is in the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

enum Place<T> {
    Free { next: u32 },
    Taken(T),
}

/// Insert, look up and remove in O(1); a key of a removed value finds nothing.
pub(crate) struct Slab<T> {
    places: Vec<(u32, Place<T>)>,
    free: u32,
    len: usize,
}

const END: u32 = u32::MAX;

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab { places: Vec::new(), free: END, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.len += 1;
        if self.free == END {
            let index = self.places.len() as u32;
            assert!(index <= sws_rings::INDEX_MAX, "a table holds at most 2^24 values");
            self.places.push((1, Place::Taken(value)));
            return Key { index, generation: 1 };
        }
        let index = self.free;
        let (generation, place) = &mut self.places[index as usize];
        if let Place::Free { next } = place {
            self.free = *next;
        }
        *place = Place::Taken(value);
        Key { index, generation: *generation }
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.places.get(key.index as usize) {
            Some((generation, Place::Taken(value))) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.places.get_mut(key.index as usize) {
            Some((generation, Place::Taken(value))) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let (generation, place) = &mut self.places[key.index as usize];
        let old = std::mem::replace(place, Place::Free { next: self.free });
        *generation = generation.wrapping_add(1).max(1);
        self.free = key.index;
        self.len -= 1;
        match old {
            Place::Taken(value) => Some(value),
            Place::Free { .. } => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().enumerate().filter_map(|(index, (generation, place))| match place {
            Place::Taken(value) => Some((Key { index: index as u32, generation: *generation }, value)),
            Place::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_removed_value_finds_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert("a");
        assert_eq!(slab.remove(first), Some("a"));
        let second = slab.insert("b");
        assert_eq!((second.index, slab.get(first), slab.get(second)), (first.index, None, Some(&"b")));
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.len(), slab.iter().count()), (1, 1));
    }
}
