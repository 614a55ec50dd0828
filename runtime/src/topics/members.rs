//! Who is a member of which list, found from both sides.
//!
//! ```text
//! list     [ slot, slot, slot, .. ]                     4 bytes for each member, in no order
//! anchor   (list, place)                                8 bytes, in the slot: its only list
//!          (MANY | table, _)                            or where its table is
//! table    { list -> place }                            8 bytes for each list of a slot that is in several
//! ```
//!
//! Entering and leaving are O(1), whatever the number of lists and members: who leaves is swapped with the last of the list,
//! whose own entry is mended. No entry is a heap block, and spare places are few: a membership takes at most 16 bytes.

/// The list of a slot that is in none.
pub(crate) const NO_LIST: u32 = u32::MAX;

/// Set in an anchor's list when the slot is in several: the other bits are the number of its table.
const MANY: u32 = 1 << 31;

/// What a slot keeps of its memberships.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) list: u32,
    pub(crate) place: u32,
}

impl Anchor {
    pub(crate) const NONE: Anchor = Anchor { list: NO_LIST, place: 0 };

    fn table(self) -> Option<usize> {
        (self.list != NO_LIST && self.list & MANY != 0).then_some((self.list & !MANY) as usize)
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

/// The places of one slot in its lists: open addressing with linear probing, without gaps behind removals.
#[derive(Default)]
struct Table {
    entries: Box<[Anchor]>,
    len: usize,
}

/// Up to so many lists the places of a table may all be taken; it is then read from end to end.
const DENSE_MAX: usize = 16;

impl Table {
    fn home(&self, list: u32) -> usize {
        let hash = list.wrapping_mul(0x9E37_79B9);
        ((u64::from(hash) * self.entries.len() as u64) >> 32) as usize
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.entries.len() { 0 } else { at + 1 }
    }

    /// Where the entry of `list` is, or else the free place for it, if there is one.
    fn find(&self, list: u32) -> Result<usize, Option<usize>> {
        if self.entries.is_empty() {
            return Err(None);
        }
        let mut at = self.home(list);
        for _ in 0..self.entries.len() {
            match self.entries[at].list {
                found if found == list => return Ok(at),
                NO_LIST => return Err(Some(at)),
                _ => at = self.next(at),
            }
        }
        Err(None)
    }

    fn place(&self, list: u32) -> Option<u32> {
        self.find(list).ok().map(|at| self.entries[at].place)
    }

    fn set_place(&mut self, list: u32, place: u32) {
        if let Ok(at) = self.find(list) {
            self.entries[at].place = place;
        }
    }

    fn insert(&mut self, entry: Anchor) {
        let (len, capacity) = (self.len, self.entries.len());
        if len == capacity || (len >= DENSE_MAX && len * 8 >= capacity * 7) {
            // By a fifth, so that at most a seventh and that are spare.
            self.resize(if len < DENSE_MAX { capacity + 4 } else { capacity * 6 / 5 + 4 });
        }
        match self.find(entry.list) {
            Ok(at) | Err(Some(at)) => self.entries[at] = entry,
            Err(None) => unreachable!("a table that was resized has a free place"),
        }
        self.len += 1;
    }

    fn resize(&mut self, capacity: usize) {
        let before = std::mem::replace(&mut self.entries, vec![Anchor::NONE; capacity].into_boxed_slice());
        for entry in before.iter().filter(|entry| entry.list != NO_LIST) {
            if let Err(Some(at)) = self.find(entry.list) {
                self.entries[at] = *entry;
            }
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
        if self.len * 2 < capacity && capacity > DENSE_MAX {
            self.resize(self.len * 6 / 5 + 4);
        }
        Some(place)
    }

    /// Any of the entries.
    fn any(&self) -> Option<Anchor> {
        self.iter().next()
    }

    fn iter(&self) -> impl Iterator<Item = Anchor> {
        self.entries.iter().copied().filter(|entry| entry.list != NO_LIST)
    }
}

/// Lists of slots, and the way back from a slot to its lists.
#[derive(Default)]
pub(crate) struct Members {
    lists: Vec<Vec<u32>>,
    free_lists: Vec<u32>,
    tables: Vec<Table>,
    free_tables: Vec<u32>,
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
        match anchor.table() {
            Some(table) => self.tables[table].place(list),
            None => (anchor.list == list).then_some(anchor.place),
        }
    }

    /// How many lists a slot is in.
    pub(crate) fn count(&self, anchors: &impl Anchors, slot: u32) -> usize {
        let anchor = anchors.anchor(slot);
        match anchor.table() {
            Some(table) => self.tables[table].len,
            None => usize::from(anchor.list != NO_LIST),
        }
    }

    /// The lists a slot is in.
    pub(crate) fn lists_of(&self, anchors: &impl Anchors, slot: u32) -> Vec<u32> {
        let anchor = anchors.anchor(slot);
        match anchor.table() {
            Some(table) => self.tables[table].iter().map(|entry| entry.list).collect(),
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
            // By an eighth, when it is large: spare places are few, and moving stays O(1) for each member.
            members.reserve_exact((members.len() / 8).max(4.min(members.len() + 1)));
        }
        let entry = Anchor { list, place: members.len() as u32 };
        members.push(slot);
        self.memberships += 1;
        let anchor = anchors.anchor(slot);
        match anchor.table() {
            Some(table) => self.tables[table].insert(entry),
            None if anchor.list == NO_LIST => anchors.set_anchor(slot, entry),
            None => {
                let table = self.free_tables.pop().unwrap_or_else(|| {
                    self.tables.push(Table::default());
                    self.tables.len() as u32 - 1
                });
                self.tables[table as usize].insert(anchor);
                self.tables[table as usize].insert(entry);
                anchors.set_anchor(slot, Anchor { list: MANY | table, place: 0 });
            }
        }
        true
    }

    /// Takes a slot out of a list. False if it is not in it.
    pub(crate) fn remove(&mut self, anchors: &mut impl Anchors, slot: u32, list: u32) -> bool {
        let anchor = anchors.anchor(slot);
        let place = match anchor.table() {
            Some(number) => {
                let table = &mut self.tables[number];
                let Some(place) = table.remove(list) else { return false };
                if table.len == 1
                    && let Some(last) = table.any()
                {
                    // The table's memory is for those with many lists.
                    *table = Table::default();
                    self.free_tables.push(number as u32);
                    anchors.set_anchor(slot, last);
                }
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

    /// Takes a slot out of any of its lists, and says which.
    pub(crate) fn remove_any(&mut self, anchors: &mut impl Anchors, slot: u32) -> Option<u32> {
        let anchor = anchors.anchor(slot);
        let list = match anchor.table() {
            Some(table) => self.tables[table].any()?.list,
            None if anchor.list == NO_LIST => return None,
            None => anchor.list,
        };
        self.remove(anchors, slot, list).then_some(list)
    }

    /// Fills a place with the last of the list.
    fn take_place(&mut self, anchors: &mut impl Anchors, list: u32, place: u32) {
        self.memberships -= 1;
        let members = &mut self.lists[list as usize];
        members.swap_remove(place as usize);
        if members.capacity() > 64 && members.len() * 2 < members.capacity() {
            members.shrink_to(members.len() + members.len() / 8);
        }
        let Some(&moved) = members.get(place as usize) else { return };
        let anchor = anchors.anchor(moved);
        match anchor.table() {
            Some(table) => self.tables[table].set_place(list, place),
            None => anchors.set_anchor(moved, Anchor { list, place }),
        }
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
