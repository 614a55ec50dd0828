//! The 64-bit `user_data` of a submission, with a name for each of its parts.
//!
//! ```text
//!  63    62 61        56 55                     32 31                              0
//! ┌────────┬────────────┬─────────────────────────┬─────────────────────────────────┐
//! │ owner  │  op kind   │       slot index        │           generation            │
//! │ 2 bits │  6 bits    │        24 bits          │             32 bits             │
//! └────────┴────────────┴─────────────────────────┴─────────────────────────────────┘
//! ```
//!
//! Completions are dispatched by owner and op kind, never by the state of a connection: a read, a write, a
//! cancel and a close may all be in flight for one slot at once.

use std::fmt;

const OWNER_BITS: u32 = 2;
const KIND_BITS: u32 = 6;
const INDEX_BITS: u32 = 24;
const GENERATION_BITS: u32 = 32;
const _: () = assert!(OWNER_BITS + KIND_BITS + INDEX_BITS + GENERATION_BITS == u64::BITS);

/// The largest index a token can carry.
pub const INDEX_MAX: u32 = (1 << INDEX_BITS) - 1;

/// Which table the index of a token points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Owner {
    /// A connection slot.
    Slot = 0,
    /// An operation that a fiber waits for.
    Fiber = 1,
    /// A callback of the loop: a listener, a watched descriptor.
    Watch = 2,
    /// The loop itself: its door, its signals, and what needs no answer.
    Loop = 3,
}

/// What kind of operation a completion answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpKind {
    /// No operation.
    Nop = 0,
    /// One accepted connection, or one of a multishot accept.
    Accept,
    /// Received bytes, single or multishot.
    Recv,
    /// Sent bytes.
    Send,
    /// A half or whole shutdown.
    Shutdown,
    /// A closed descriptor.
    Close,
    /// The answer to a cancellation (not the cancelled operation's own completion).
    Cancel,
    /// An expired timeout.
    Timeout,
    /// Readiness of a descriptor.
    Poll,
    /// A connected socket.
    Connect,
    /// A created socket.
    Socket,
    /// A set socket option.
    SocketOption,
    /// An opened file.
    Open,
    /// Metadata of a file.
    Statx,
    /// Bytes read from a file or an eventfd.
    Read,
    /// Bytes written to a file.
    Write,
    /// A synced file.
    Fsync,
    /// Spliced bytes.
    Splice,
    /// A message posted to another ring.
    Message,
    /// A direct descriptor installed as an ordinary one.
    Install,
    /// Bytes that a peer has not confirmed.
    Unsent,
}

impl OpKind {
    const ALL: [OpKind; 21] = [
        OpKind::Nop,
        OpKind::Accept,
        OpKind::Recv,
        OpKind::Send,
        OpKind::Shutdown,
        OpKind::Close,
        OpKind::Cancel,
        OpKind::Timeout,
        OpKind::Poll,
        OpKind::Connect,
        OpKind::Socket,
        OpKind::SocketOption,
        OpKind::Open,
        OpKind::Statx,
        OpKind::Read,
        OpKind::Write,
        OpKind::Fsync,
        OpKind::Splice,
        OpKind::Message,
        OpKind::Install,
        OpKind::Unsent,
    ];
}

const _: () = assert!(OpKind::ALL.len() <= 1 << KIND_BITS);

/// Op kind, owner, slot index and generation in one `u64`.
///
/// ```
/// use sws_rings::{OpKind, Owner, Token};
/// let token = Token::new(Owner::Slot, OpKind::Recv, 7, 42);
/// assert_eq!((token.owner(), token.kind()), (Owner::Slot, OpKind::Recv));
/// assert_eq!((token.index(), token.generation()), (7, 42));
/// assert_eq!(Token::from_user_data(token.user_data()), token);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Token(u64);

impl Token {
    /// Packs the parts.
    ///
    /// # Panics
    /// When `index` is larger than [`INDEX_MAX`].
    #[inline]
    pub const fn new(owner: Owner, kind: OpKind, index: u32, generation: u32) -> Token {
        assert!(index <= INDEX_MAX, "a token's index is 24 bits wide");
        let head = ((owner as u64) << KIND_BITS) | kind as u64;
        Token(
            (head << (INDEX_BITS + GENERATION_BITS))
                | ((index as u64) << GENERATION_BITS)
                | generation as u64,
        )
    }

    /// The token of a completion.
    #[inline]
    pub const fn from_user_data(user_data: u64) -> Token {
        Token(user_data)
    }

    /// The `user_data` of a submission.
    #[inline]
    pub const fn user_data(self) -> u64 {
        self.0
    }

    /// The table that [`index`](Token::index) points into.
    #[inline]
    pub const fn owner(self) -> Owner {
        match self.0 >> (64 - OWNER_BITS) {
            0 => Owner::Slot,
            1 => Owner::Fiber,
            2 => Owner::Watch,
            _ => Owner::Loop,
        }
    }

    /// The operation.
    #[inline]
    pub const fn kind(self) -> OpKind {
        let bits = (self.0 >> (INDEX_BITS + GENERATION_BITS)) as usize & ((1 << KIND_BITS) - 1);
        OpKind::ALL[bits]
    }

    /// The place in the owner's table.
    #[inline]
    pub const fn index(self) -> u32 {
        (self.0 >> GENERATION_BITS) as u32 & INDEX_MAX
    }

    /// The generation of that place when the operation was submitted.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.0 as u32
    }

    /// The same place with another operation.
    #[inline]
    pub const fn with_kind(self, kind: OpKind) -> Token {
        Token::new(self.owner(), kind, self.index(), self.generation())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}#{}.{}", self.owner(), self.kind(), self.index(), self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_survives_at_its_limits() {
        for owner in [Owner::Slot, Owner::Fiber, Owner::Watch, Owner::Loop] {
            for kind in OpKind::ALL {
                for index in [0, 1, 0x00ab_cdef, INDEX_MAX] {
                    for generation in [0, 1, u32::MAX] {
                        let token = Token::new(owner, kind, index, generation);
                        assert_eq!(token.owner(), owner);
                        assert_eq!(token.kind(), kind);
                        assert_eq!(token.index(), index);
                        assert_eq!(token.generation(), generation);
                        assert_eq!(token.with_kind(OpKind::Close).index(), index);
                    }
                }
            }
        }
    }

    #[test]
    fn kinds_are_numbered_as_listed() {
        for (number, kind) in OpKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, number);
        }
    }

    #[test]
    #[should_panic(expected = "24 bits")]
    fn an_index_that_does_not_fit_is_refused() {
        Token::new(Owner::Slot, OpKind::Recv, INDEX_MAX + 1, 0);
    }
}
