//! The room: members, and the blocks that they are to be sent, each shared by all.
//!
//! ```text
//! blocks   [ 7 ][ 8 ][ 9 ]          one per turn in which something was published
//!            ^         ^
//!            a slow    all others   a member is a cursor into them; a block goes when no cursor is at or before it
//! ```

use std::collections::VecDeque;

/// The most blocks that a member may be behind; one that is further is closed.
pub const BLOCKS_BEHIND_MAX: usize = 1024;
/// Blocks kept for reuse.
const SPARE_BLOCKS_MAX: usize = 4;

/// Members by the descriptor of their connection.
#[derive(Default)]
pub struct Room {
    members: Vec<i32>,
    blocks: VecDeque<Block>,
    /// The number of the first block.
    first: u64,
    spare: Vec<Vec<u8>>,
    /// What the current turn publishes.
    pub current: Vec<u8>,
}

struct Block {
    bytes: Vec<u8>,
    /// Members that have not been sent all of it.
    due: usize,
}

/// A member's place.
pub struct Member {
    /// Where it stands among the members.
    at: usize,
    /// The block that it is to be sent next.
    next: u64,
    /// How much of that it has been sent.
    pub sent: usize,
}

impl Room {
    /// Lets `fd` have all that is published from the next turn's end on.
    pub fn join(&mut self, fd: i32) -> Member {
        self.members.push(fd);
        Member { at: self.members.len() - 1, next: self.end(), sent: 0 }
    }

    /// Takes a member out. Another may have moved into its place: whose `Member` is then to be told by [`Member::moved_to`].
    pub fn leave(&mut self, member: &Member) -> Option<(i32, usize)> {
        for at in self.index(member)..self.blocks.len() {
            self.blocks[at].due -= 1;
        }
        self.drop_sent();
        self.members.swap_remove(member.at);
        self.members.get(member.at).map(|&fd| (fd, member.at))
    }

    /// Makes a block of what the turn published; whether there was anything.
    pub fn end_turn(&mut self) -> bool {
        if self.current.is_empty() {
            return false;
        }
        let next = self.spare.pop().unwrap_or_default();
        let bytes = std::mem::replace(&mut self.current, next);
        if self.members.is_empty() {
            self.recycle(bytes);
            return false;
        }
        self.blocks.push_back(Block { bytes, due: self.members.len() });
        true
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The descriptor of the member at a place.
    pub fn member(&self, at: usize) -> i32 {
        self.members[at]
    }

    /// What a member is to be sent now; its memory stays until [`Room::advance`] says that it was sent.
    pub fn due(&self, member: &Member) -> &[u8] {
        self.blocks.get(self.index(member)).map_or(&[], |block| &block.bytes[member.sent..])
    }

    /// Whether a member is further behind than may be.
    pub fn is_too_far_behind(&self, member: &Member) -> bool {
        self.end() - member.next > BLOCKS_BEHIND_MAX as u64
    }

    /// Counts `bytes` as sent to a member.
    pub fn advance(&mut self, member: &mut Member, bytes: usize) {
        let at = self.index(member);
        member.sent += bytes;
        if member.sent == self.blocks[at].bytes.len() {
            member.sent = 0;
            member.next += 1;
            self.blocks[at].due -= 1;
            self.drop_sent();
        }
    }

    fn index(&self, member: &Member) -> usize {
        (member.next - self.first) as usize
    }

    fn end(&self) -> u64 {
        self.first + self.blocks.len() as u64
    }

    fn drop_sent(&mut self) {
        while self.blocks.front().is_some_and(|block| block.due == 0) {
            if let Some(block) = self.blocks.pop_front() {
                self.first += 1;
                self.recycle(block.bytes);
            }
        }
    }

    fn recycle(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < SPARE_BLOCKS_MAX {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

impl Member {
    /// Tells it that it stands elsewhere.
    pub fn moved_to(&mut self, at: usize) {
        self.at = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(room: &mut Room, text: &str) {
        room.current.extend_from_slice(text.as_bytes());
        assert!(room.end_turn());
    }

    #[test]
    fn a_block_stays_until_all_have_it() {
        let mut room = Room::default();
        let (mut a, mut b) = (room.join(1), room.join(2));
        publish(&mut room, "one");
        publish(&mut room, "two");
        assert_eq!(room.due(&a), b"one");
        room.advance(&mut a, 2);
        assert_eq!(room.due(&a), b"e");
        room.advance(&mut a, 1);
        assert_eq!((room.due(&a), room.due(&b)), (&b"two"[..], &b"one"[..]));
        room.advance(&mut a, 3);
        assert_eq!(room.blocks.len(), 2, "the other has none yet");
        let late = room.join(3);
        assert_eq!(room.due(&late), b"", "what was published before is not for it");
        room.advance(&mut b, 3);
        assert_eq!(room.blocks.len(), 1);
        assert_eq!(room.leave(&b), Some((3, 1)), "the last took its place");
        assert!(room.blocks.is_empty(), "nobody waits for it any more");
        assert_eq!((room.len(), room.member(1)), (2, 3));
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let mut room = Room::default();
        assert!(!room.end_turn());
        room.current.push(1);
        assert!(!room.end_turn());
        assert!(room.blocks.is_empty() && room.current.is_empty());
        let member = room.join(1);
        (0..BLOCKS_BEHIND_MAX).for_each(|_| publish(&mut room, "x"));
        assert!(!room.is_too_far_behind(&member));
        publish(&mut room, "x");
        assert!(room.is_too_far_behind(&member));
    }
}
