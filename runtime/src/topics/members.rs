//! Who is a member of which list, found from both sides.
//!
//! ```text
//! list     [ slot, slot, slot, .. ]                     4 bytes for each member, in no order
//! anchor   (list, place)                                8 bytes, in the slot: its only list
//!          (MANY | number, class and length)            or where its entries are
//! chunk    [ (list, place), .. ]                        up to 32 entries of a slot, in an array of chunks of one size
//! table    { list -> place }                            more than that
//! ```
//!
//! Entering and leaving are O(1), whatever the number of lists and members: who leaves is swapped with the last of the list,
//! whose own entry is mended. Spare places are few: a membership takes at most 16 bytes beside the slot.

/// The list of a slot that is in none.
pub(crate) const NO_LIST: u32 = u32::MAX;

/// Set in an anchor's list when the slot is in several.
const MANY: u32 = 1 << 31;

/// Entries of the chunks of each class.
const CLASSES: [usize; 9] = [2, 4, 6, 8, 12, 16, 20, 24, 32];

/// The class of those that are too many for a chunk.
const TABLE: usize = CLASSES.len();

/// Entries at which a table becomes a chunk again.
const TABLE_MIN: usize = 24;

/// What a slot keeps of its memberships, and what is kept for each of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) list: u32,
    pub(crate) place: u32,
}

/// Where the entries of a slot are that is in several lists.
#[derive(Clone, Copy)]
struct Many {
    class: usize,
    number: u32,
    /// Of a chunk; a table knows its own.
    len: usize,
}

impl Anchor {
    pub(crate) const NONE: Anchor = Anchor { list: NO_LIST, place: 0 };

    fn many(self) -> Option<Many> {
        let is_many = self.list != NO_LIST && self.list & MANY != 0;
        is_many.then_some(Many {
            class: (self.place & 0xFF) as usize,
            number: self.list & !MANY,
            len: (self.place >> 8) as usize,
        })
    }
}

impl Many {
    fn anchor(self) -> Anchor {
        Anchor { list: MANY | self.number, place: self.class as u32 | (self.len as u32) << 8 }
    }
}

/// Where the anchors are.
pub(crate) trait Anchors {
    /// The anchor of a slot that is in use.
    fn anchor(&self, slot: u32) -> Anchor;
    /// Replaces it.
    fn set_anchor(&mut self, slot: u32, anchor: Anchor);
}

const _: () = assert!(size_of::<Anchor>() == 8);

/// Chunks of one size, in one array.
#[derive(Default)]
struct Chunks {
    entries: Vec<Anchor>,
    free: Vec<u32>,
}

impl Chunks {
    fn acquire(&mut self, capacity: usize) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let len = self.entries.len();
            if len == self.entries.capacity() {
                self.entries.reserve_exact((len / capacity / 16).max(1) * capacity);
            }
            self.entries.resize(len + capacity, Anchor::NONE);
            (len / capacity) as u32
        })
    }

    fn release(&mut self, number: u32, capacity: usize) {
        self.free.push(number);
        if self.free.len() * capacity == self.entries.len() {
            *self = Chunks::default();
        }
    }
}

/// The places of a slot in very many lists: open addressing with linear probing, without gaps behind removals.
#[derive(Default)]
struct Table {
    entries: Box<[Anchor]>,
    len: usize,
}

impl Table {
    fn of(entries: &[Anchor]) -> Table {
        let mut table = Table::default();
        table.resize(entries.len() * 5 / 4);
        entries.iter().for_each(|&entry| table.insert(entry));
        table
    }

    fn home(&self, list: u32) -> usize {
        let hash = list.wrapping_mul(0x9E37_79B9);
        ((u64::from(hash) * self.entries.len() as u64) >> 32) as usize
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.entries.len() { 0 } else { at + 1 }
    }

    /// Where the entry of `list` is, or else the free place for it: there is always one.
    fn find(&self, list: u32) -> Result<usize, usize> {
        let mut at = self.home(list);
        loop {
            match self.entries[at].list {
                found if found == list => return Ok(at),
                NO_LIST => return Err(at),
                _ => at = self.next(at),
            }
        }
    }

    fn insert(&mut self, entry: Anchor) {
        let capacity = self.entries.len();
        if self.len * 8 >= capacity * 7 {
            self.resize(capacity + capacity / 8 + 2);
        }
        let (Ok(at) | Err(at)) = self.find(entry.list);
        self.entries[at] = entry;
        self.len += 1;
    }

    fn resize(&mut self, capacity: usize) {
        let before = std::mem::replace(&mut self.entries, vec![Anchor::NONE; capacity].into_boxed_slice());
        for entry in before.iter().filter(|entry| entry.list != NO_LIST) {
            let (Ok(at) | Err(at)) = self.find(entry.list);
            self.entries[at] = *entry;
        }
    }

    fn remove(&mut self, list: u32) -> Option<u32> {
        let mut hole = self.find(list).ok()?;
        let place = self.entries[hole].place;
        self.entries[hole] = Anchor::NONE;
        self.len -= 1;
        // What was probed past the hole moves back into it.
        let capacity = self.entries.len();
        let mut at = self.next(hole);
        while self.entries[at].list != NO_LIST {
            let home = self.home(self.entries[at].list);
            let from_home = (at + capacity - home) % capacity;
            let from_hole = (at + capacity - hole) % capacity;
            if from_home >= from_hole {
                self.entries[hole] = std::mem::replace(&mut self.entries[at], Anchor::NONE);
                hole = at;
            }
            at = self.next(at);
        }
        if self.len * 2 < capacity {
            self.resize(self.len * 5 / 4 + 4);
        }
        Some(place)
    }

    fn iter(&self) -> impl Iterator<Item = Anchor> {
        self.entries.iter().copied().filter(|entry| entry.list != NO_LIST)
    }
}

/// The entries of the slots that are in several lists.
#[derive(Default)]
struct Several {
    chunks: [Chunks; CLASSES.len()],
    tables: Vec<Table>,
    free_tables: Vec<u32>,
}

impl Several {
    fn chunk(&self, many: Many) -> &[Anchor] {
        let start = many.number as usize * CLASSES[many.class];
        &self.chunks[many.class].entries[start..start + many.len]
    }

    fn chunk_mut(&mut self, many: Many) -> &mut [Anchor] {
        let start = many.number as usize * CLASSES[many.class];
        &mut self.chunks[many.class].entries[start..start + many.len]
    }

    fn len(&self, many: Many) -> usize {
        if many.class == TABLE { self.tables[many.number as usize].len } else { many.len }
    }

    fn place(&self, many: Many, list: u32) -> Option<u32> {
        if many.class == TABLE {
            let table = &self.tables[many.number as usize];
            return table.find(list).ok().map(|at| table.entries[at].place);
        }
        self.chunk(many).iter().find(|entry| entry.list == list).map(|entry| entry.place)
    }

    fn set_place(&mut self, many: Many, list: u32, place: u32) {
        if many.class == TABLE {
            let table = &mut self.tables[many.number as usize];
            if let Ok(at) = table.find(list) {
                table.entries[at].place = place;
            }
        } else if let Some(entry) = self.chunk_mut(many).iter_mut().find(|entry| entry.list == list) {
            entry.place = place;
        }
    }

    fn any(&self, many: Many) -> Option<Anchor> {
        match many.class {
            TABLE => self.tables[many.number as usize].iter().next(),
            // The last is the cheapest to remove.
            _ => self.chunk(many).last().copied(),
        }
    }

    fn all(&self, many: Many) -> Vec<Anchor> {
        match many.class {
            TABLE => self.tables[many.number as usize].iter().collect(),
            _ => self.chunk(many).to_vec(),
        }
    }

    /// Puts entries where so many have a place.
    fn put(&mut self, entries: &[Anchor]) -> Many {
        let len = entries.len();
        let class = CLASSES.iter().position(|&capacity| capacity >= len).unwrap_or(TABLE);
        if class < TABLE {
            let number = self.chunks[class].acquire(CLASSES[class]);
            let many = Many { class, number, len };
            self.chunk_mut(many).copy_from_slice(entries);
            return many;
        }
        let number = self.free_tables.pop().unwrap_or_else(|| {
            self.tables.reserve_exact(if self.tables.len() == self.tables.capacity() {
                self.tables.len() / 16 + 1
            } else {
                0
            });
            self.tables.push(Table::default());
            self.tables.len() as u32 - 1
        });
        self.tables[number as usize] = Table::of(entries);
        Many { class, number, len: 0 }
    }

    fn release(&mut self, many: Many) {
        if many.class == TABLE {
            self.tables[many.number as usize] = Table::default();
            self.free_tables.push(many.number);
        } else {
            self.chunks[many.class].release(many.number, CLASSES[many.class]);
        }
    }

    fn insert(&mut self, many: Many, entry: Anchor) -> Many {
        if many.class == TABLE {
            self.tables[many.number as usize].insert(entry);
            return many;
        }
        if many.len < CLASSES[many.class] {
            let many = Many { len: many.len + 1, ..many };
            if let Some(last) = self.chunk_mut(many).last_mut() {
                *last = entry;
            }
            return many;
        }
        let mut entries = self.all(many);
        entries.push(entry);
        self.release(many);
        self.put(&entries)
    }

    /// Takes an entry out: its place, and where the others are.
    fn remove(&mut self, many: Many, list: u32) -> Option<(u32, Many)> {
        if many.class == TABLE {
            let table = &mut self.tables[many.number as usize];
            let place = table.remove(list)?;
            let is_small = table.len <= TABLE_MIN;
            return Some((place, if is_small { self.move_over(many) } else { many }));
        }
        let entries = self.chunk_mut(many);
        let at = entries.iter().position(|entry| entry.list == list)?;
        let place = entries[at].place;
        entries[at] = entries[many.len - 1];
        let many = Many { len: many.len - 1, ..many };
        // Not as soon as it would fit: one more must not bring it back.
        let is_small = many.class > 0 && many.len < CLASSES[many.class - 1];
        Some((place, if is_small { self.move_over(many) } else { many }))
    }

    fn move_over(&mut self, many: Many) -> Many {
        let entries = self.all(many);
        self.release(many);
        self.put(&entries)
    }
}

/// Lists of slots, and the way back from a slot to its lists.
#[derive(Default)]
pub(crate) struct Members {
    lists: Vec<Vec<u32>>,
    free_lists: Vec<u32>,
    several: Several,
    memberships: usize,
}

impl Members {
    /// A new list.
    pub(crate) fn acquire_list(&mut self) -> u32 {
        self.free_lists.pop().unwrap_or_else(|| {
            assert!(self.lists.len() < MANY as usize, "numbers of lists have 31 bits");
            self.lists.push(Vec::new());
            self.lists.len() as u32 - 1
        })
    }

    /// Gives back an empty list.
    pub(crate) fn release_list(&mut self, list: u32) {
        let members = std::mem::take(&mut self.lists[list as usize]);
        assert!(members.is_empty(), "a list is given back when nobody is in it");
        self.free_lists.push(list);
    }

    /// The slots in a list.
    #[inline]
    pub(crate) fn of(&self, list: u32) -> &[u32] {
        &self.lists[list as usize]
    }

    /// Memberships in all lists.
    pub(crate) fn len(&self) -> usize {
        self.memberships
    }

    /// Where a slot is in a list.
    pub(crate) fn place(&self, anchors: &impl Anchors, slot: u32, list: u32) -> Option<u32> {
        let anchor = anchors.anchor(slot);
        match anchor.many() {
            Some(many) => self.several.place(many, list),
            None => (anchor.list == list).then_some(anchor.place),
        }
    }

    /// How many lists a slot is in.
    pub(crate) fn count(&self, anchors: &impl Anchors, slot: u32) -> usize {
        let anchor = anchors.anchor(slot);
        match anchor.many() {
            Some(many) => self.several.len(many),
            None => usize::from(anchor.list != NO_LIST),
        }
    }

    /// The lists a slot is in.
    pub(crate) fn lists_of(&self, anchors: &impl Anchors, slot: u32) -> Vec<u32> {
        let anchor = anchors.anchor(slot);
        match anchor.many() {
            Some(many) => self.several.all(many).iter().map(|entry| entry.list).collect(),
            None => (anchor.list != NO_LIST).then_some(anchor.list).into_iter().collect(),
        }
    }

    /// Puts a slot into a list. False if it is in it.
    pub(crate) fn insert(&mut self, anchors: &mut impl Anchors, slot: u32, list: u32) -> bool {
        if self.place(anchors, slot, list).is_some() {
            return false;
        }
        let members = &mut self.lists[list as usize];
        if members.len() == members.capacity() {
            // By a sixteenth: spare places are few, and moving stays O(1) for each member.
            members.reserve_exact((members.len() / 16).max(1));
        }
        let entry = Anchor { list, place: members.len() as u32 };
        members.push(slot);
        self.memberships += 1;
        let anchor = anchors.anchor(slot);
        let anchor = match anchor.many() {
            Some(many) => self.several.insert(many, entry).anchor(),
            None if anchor.list == NO_LIST => entry,
            None => self.several.put(&[anchor, entry]).anchor(),
        };
        anchors.set_anchor(slot, anchor);
        true
    }

    /// Takes a slot out of a list. False if it is not in it.
    pub(crate) fn remove(&mut self, anchors: &mut impl Anchors, slot: u32, list: u32) -> bool {
        let anchor = anchors.anchor(slot);
        let place = match anchor.many() {
            Some(many) => {
                let Some((place, many)) = self.several.remove(many, list) else { return false };
                // Asked for the number first: to find one in a large table takes long when most of it is gone.
                let only = if self.several.len(many) == 1 { self.several.any(many) } else { None };
                let rest = match only {
                    Some(only) => {
                        self.several.release(many);
                        only
                    }
                    None => many.anchor(),
                };
                anchors.set_anchor(slot, rest);
                place
            }
            None if anchor.list == list && list != NO_LIST => {
                anchors.set_anchor(slot, Anchor::NONE);
                anchor.place
            }
            None => return false,
        };
        self.take_place(anchors, list, place);
        true
    }

    /// Takes a slot out of all its lists, and says which they were. O(1) for each.
    pub(crate) fn remove_all(&mut self, anchors: &mut impl Anchors, slot: u32) -> Vec<u32> {
        let lists = self.lists_of(anchors, slot);
        for &list in &lists {
            self.remove(anchors, slot, list);
        }
        lists
    }

    /// Fills a place with the last of the list.
    fn take_place(&mut self, anchors: &mut impl Anchors, list: u32, place: u32) {
        self.memberships -= 1;
        let members = &mut self.lists[list as usize];
        members.swap_remove(place as usize);
        if members.capacity() > 64 && members.len() * 2 < members.capacity() {
            members.shrink_to(members.len() + members.len() / 16);
        }
        let Some(&moved) = members.get(place as usize) else { return };
        let anchor = anchors.anchor(moved);
        match anchor.many() {
            Some(many) => self.several.set_place(many, list, place),
            None => anchors.set_anchor(moved, Anchor { list, place }),
        }
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
