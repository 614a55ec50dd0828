//! A queue that grows without moving what is in it.
//!
//! One that grows by doubling copies all that it has into new memory, and queues that are filled by the same messages do so in the same turn.

use std::collections::VecDeque;

/// Elements of a block.
pub(super) const BLOCK: usize = 64;

/// A double-ended queue in blocks.
#[derive(Debug)]
pub(super) struct Blocks<T> {
    /// None is empty. Those between the first and the last are full, and the first was when the second was begun.
    blocks: VecDeque<VecDeque<T>>,
    /// An emptied block, for the next one that is needed.
    spare: Option<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Blocks { blocks: VecDeque::new(), spare: None, len: 0 }
    }
}

impl<T> Blocks<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.blocks.front()?.front()
    }

    pub(super) fn back(&self) -> Option<&T> {
        self.blocks.back()?.back()
    }

    pub(super) fn push_back(&mut self, element: T) {
        if self.blocks.back().is_none_or(|last| last.len() == BLOCK) {
            // The first one grows as it is needed: most queues stay short.
            let new =
                || if self.blocks.is_empty() { VecDeque::new() } else { VecDeque::with_capacity(BLOCK) };
            let block = self.spare.take().unwrap_or_else(new);
            self.blocks.push_back(block);
        }
        if let Some(last) = self.blocks.back_mut() {
            last.push_back(element);
            self.len += 1;
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let first = self.blocks.front_mut()?;
        let element = first.pop_front()?;
        if first.is_empty() {
            self.spare = self.blocks.pop_front();
        }
        self.len -= 1;
        Some(element)
    }

    /// The block of an element, and its place there.
    fn place(&self, at: usize) -> (usize, usize) {
        let first = self.blocks.front().map_or(0, VecDeque::len);
        match at.checked_sub(first) {
            None => (0, at),
            Some(behind) => (1 + behind / BLOCK, behind % BLOCK),
        }
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        let (block, at) = self.place(at);
        self.blocks.get_mut(block)?.get_mut(at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten()
    }

    /// The elements from a place on.
    pub(super) fn iter_from(&self, at: usize) -> impl Iterator<Item = &T> {
        let (block, at) = self.place(at.min(self.len));
        self.blocks.range(block.min(self.blocks.len())..).flatten().skip(at)
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        let mut keep = keep;
        for element in self.take() {
            if keep(&element) {
                self.push_back(element);
            }
        }
    }

    /// Takes all elements out, and gives the memory back but for a spare block.
    pub(super) fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.len = 0;
        std::mem::take(&mut self.blocks).into_iter().flatten()
    }
}

#[cfg(test)]
impl<T> Blocks<T> {
    /// Elements for which there is memory.
    pub(super) fn capacity(&self) -> usize {
        self.blocks.iter().chain(&self.spare).map(VecDeque::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_queue() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut blocks, mut oracle) = (Blocks::default(), VecDeque::new());
            for step in 0..5000_u32 {
                // It grows for a while, and shrinks.
                match random.u32(0..if step / 700 % 2 == 0 { 5 } else { 12 }) {
                    0..4 => {
                        blocks.push_back(step);
                        oracle.push_back(step);
                    }
                    4 => {
                        let at = random.usize(0..oracle.len() + 2);
                        assert_eq!(blocks.get_mut(at), oracle.get_mut(at), "at {at}");
                        assert!(blocks.iter_from(at).eq(oracle.range(at.min(oracle.len())..)), "from {at}");
                    }
                    5 if random.u32(0..50) == 0 => {
                        blocks.retain(|element| element % 3 != 0);
                        oracle.retain(|element| element % 3 != 0);
                    }
                    6 if random.u32(0..200) == 0 => assert!(blocks.take().eq(std::mem::take(&mut oracle))),
                    _ => assert_eq!(blocks.pop_front(), oracle.pop_front()),
                }
                assert_eq!((blocks.len(), blocks.is_empty()), (oracle.len(), oracle.is_empty()));
                assert_eq!((blocks.front(), blocks.back()), (oracle.front(), oracle.back()));
                assert!(
                    blocks.blocks.len() <= oracle.len().div_ceil(BLOCK) + 1,
                    "no block is kept for nothing"
                );
            }
            assert!(blocks.iter().eq(oracle.iter()));
        }
    }
}
