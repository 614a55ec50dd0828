//! A socket's state, in its slot.
//!
//! ```text
//!  open ── close(), drain, error ──▶ close sent ── peer's close frame, or close_timeout ──▶ over
//!    └──── peer's close frame ──▶ answered by ours ───────────────────────────────────────▶ over
//! ```
//!
//! When it is over nothing is read any more: what is queued is sent, our side of the connection is ended (the server's goes
//! first, RFC 6455, 7.1.1), and the runtime closes it.

use super::codec::Decoder;

/// The handle that names nothing.
pub(super) const NONE: u32 = u32::MAX;

/// What a slot holds of a socket.
#[derive(Clone, Copy)]
pub(crate) struct SocketConn {
    pub(super) decoder: Decoder,
    /// The kind of the socket.
    pub(super) route: u16,
    pub(super) flags: Flags,
    /// The socket's own data, by its kind.
    pub(super) entry: u32,
    /// A message that came in part, or [`NONE`].
    pub(super) partial: u32,
    /// Compression contexts, or [`NONE`].
    pub(super) contexts: u32,
    /// Bytes sent when the deadline was last looked at, to tell progress.
    pub(super) sent_mark: u32,
    /// The code that ended the socket from our side.
    pub(super) close_code: u16,
    /// The window of what is compressed for the peer.
    pub(super) window_bits: u8,
}

const _: () = assert!(size_of::<SocketConn>() <= 64);

impl SocketConn {
    /// A socket whose handshake was just done.
    pub(super) fn fresh() -> SocketConn {
        SocketConn { flags: Flags::default(), ..SocketConn::default() }
    }
}

impl Default for SocketConn {
    /// A socket that is over: what somebody finds who comes too late.
    fn default() -> SocketConn {
        SocketConn {
            decoder: Decoder::default(),
            route: u16::MAX,
            flags: Flags::default().with(Flags::OVER),
            entry: NONE,
            partial: NONE,
            contexts: NONE,
            sent_mark: 0,
            close_code: 0,
            window_bits: 15,
        }
    }
}

/// Yes-or-no facts of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u16);

impl Flags {
    /// Our close frame is queued: nothing may follow it.
    pub(super) const CLOSE_SENT: u16 = 1;
    /// Nothing more is read.
    pub(super) const OVER: u16 = 1 << 1;
    /// The handler knows of the end.
    pub(super) const TOLD: u16 = 1 << 2;
    /// Something came since the deadline was last looked at.
    pub(super) const HEARD: u16 = 1 << 3;
    /// A sign of life is waited for.
    pub(super) const ASKED: u16 = 1 << 4;
    /// The handler takes no messages now.
    pub(super) const PAUSED: u16 = 1 << 5;
    /// The handler is to be told when all is sent.
    pub(super) const PRESSED: u16 = 1 << 6;
    /// Messages may be compressed.
    pub(super) const DEFLATE: u16 = 1 << 7;
    /// The frames that other sockets of this kind share fit this one too: no context, whole window.
    pub(super) const SHARED_DEFLATE: u16 = 1 << 8;
    /// Another thread or fiber has a way to the socket.
    pub(super) const GATED: u16 = 1 << 9;

    /// Nothing can be sent any more.
    pub(super) const ENDING: u16 = Flags::CLOSE_SENT | Flags::OVER | Flags::TOLD;

    pub(super) fn has(self, flags: u16) -> bool {
        self.0 & flags != 0
    }

    pub(super) fn set(&mut self, flags: u16) {
        self.0 |= flags;
    }

    pub(super) fn clear(&mut self, flags: u16) {
        self.0 &= !flags;
    }

    pub(super) fn with(self, flags: u16) -> Flags {
        Flags(self.0 | flags)
    }
}
