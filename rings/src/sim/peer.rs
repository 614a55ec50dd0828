//! Simulated peers: what they do, when, and what came of it.

use super::world::{Event, ObjectId, World};
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::time::Duration;

/// Which peer of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerId(pub(super) usize);

/// How fast a peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    Eager,
    /// So many bytes at each interval.
    Slow {
        /// Bytes at a time.
        bytes: usize,
        /// The interval.
        every: Duration,
    },
    /// At once until it has this much, then never again.
    Stop {
        /// Bytes it reads.
        after: usize,
    },
}

/// How a connection ended for its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not yet.
    Open,
    /// The server closed, and the peer has read everything before.
    Fin,
    /// The connection was reset, by either side.
    Reset,
    /// The peer closed.
    Left,
    /// The listener was gone.
    Refused,
}

/// What a peer does at a time.
pub(super) enum Action {
    Send(Vec<u8>),
    HalfClose,
    Close,
    Reset,
}

type Reaction = Box<dyn FnMut(&[u8], &mut Reply)>;

/// The script of one peer. Times are virtual, since the start of the world; a peer that is made by
/// [`World::serve`] counts them from the connection.
pub struct Peer {
    pub(super) connect_at: Duration,
    pub(super) listener: Option<RawFd>,
    pub(super) actions: Vec<(Duration, Action)>,
    pub(super) pace: Pace,
    pub(super) reaction: Option<Reaction>,
}

impl Peer {
    /// A peer that connects at this time and reads eagerly. It leaves when the server has closed.
    pub fn connecting_at(time: Duration) -> Peer {
        Peer { connect_at: time, listener: None, actions: Vec::new(), pace: Pace::Eager, reaction: None }
    }

    /// Connects to the listener with this descriptor, instead of the first that accepts.
    #[must_use]
    pub fn to(mut self, listener: RawFd) -> Peer {
        self.listener = Some(listener);
        self
    }

    /// Sends these chunks at these times.
    #[must_use]
    pub fn sends(mut self, chunks: Vec<(Duration, Vec<u8>)>) -> Peer {
        self.actions.extend(chunks.into_iter().map(|(time, bytes)| (time, Action::Send(bytes))));
        self
    }

    /// Sends no more after this time, but goes on reading.
    #[must_use]
    pub fn half_closes_at(mut self, time: Duration) -> Peer {
        self.actions.push((time, Action::HalfClose));
        self
    }

    /// Closes: what comes later is answered with a reset.
    #[must_use]
    pub fn closes_at(mut self, time: Duration) -> Peer {
        self.actions.push((time, Action::Close));
        self
    }

    /// Resets the connection.
    #[must_use]
    pub fn resets_at(mut self, time: Duration) -> Peer {
        self.actions.push((time, Action::Reset));
        self
    }

    /// Sets how fast it reads.
    #[must_use]
    pub fn reads(mut self, pace: Pace) -> Peer {
        self.pace = pace;
        self
    }

    /// Calls back, each time it has read something, with all it has read so far.
    #[must_use]
    pub fn reacts(mut self, reaction: impl FnMut(&[u8], &mut Reply) + 'static) -> Peer {
        self.reaction = Some(Box::new(reaction));
        self
    }
}

/// What a peer does in reaction, each after a delay.
#[derive(Default)]
pub struct Reply {
    actions: Vec<(Duration, Action)>,
}

impl Reply {
    /// Sends bytes.
    pub fn send(&mut self, delay: Duration, bytes: impl Into<Vec<u8>>) {
        self.actions.push((delay, Action::Send(bytes.into())));
    }

    /// Sends no more.
    pub fn half_close(&mut self, delay: Duration) {
        self.actions.push((delay, Action::HalfClose));
    }

    /// Closes.
    pub fn close(&mut self, delay: Duration) {
        self.actions.push((delay, Action::Close));
    }

    /// Resets the connection.
    pub fn reset(&mut self, delay: Duration) {
        self.actions.push((delay, Action::Reset));
    }
}

/// A peer in the world.
pub(super) struct PeerState {
    pub(super) listener: Option<RawFd>,
    pub(super) stream: Option<ObjectId>,
    pace: Pace,
    reaction: Option<Reaction>,
    /// Sent by the peer, not yet in the server's socket.
    pub(super) outbox: VecDeque<u8>,
    pub(super) half_closed: bool,
    /// In the peer's socket, not yet read.
    inbox: VecDeque<u8>,
    inbox_end: bool,
    read_is_scheduled: bool,
    received: Vec<u8>,
    pub(super) ending: Ending,
    pub(super) interfered: bool,
}

impl World {
    /// Adds a peer.
    pub fn add_peer(&mut self, peer: Peer) -> PeerId {
        let id = self.enter_peer(peer.listener, peer.pace, peer.reaction);
        self.schedule(peer.connect_at, Event::Connect(id));
        for (time, action) in peer.actions {
            self.schedule(time.max(peer.connect_at), Event::Act(id, action));
        }
        id
    }

    /// Adds a peer that was connected to, by its address.
    pub(super) fn add_server(&mut self, peer: Peer, stream: ObjectId) -> PeerId {
        let id = self.enter_peer(None, peer.pace, peer.reaction);
        self.peers[id.0].stream = Some(stream);
        for (delay, action) in peer.actions {
            self.schedule(self.now + delay, Event::Act(id, action));
        }
        id
    }

    fn enter_peer(&mut self, listener: Option<RawFd>, pace: Pace, reaction: Option<Reaction>) -> PeerId {
        self.peers.push(PeerState {
            listener,
            stream: None,
            pace,
            reaction,
            outbox: VecDeque::new(),
            half_closed: false,
            inbox: VecDeque::new(),
            inbox_end: false,
            read_is_scheduled: false,
            received: Vec::new(),
            ending: Ending::Open,
            interfered: false,
        });
        PeerId(self.peers.len() - 1)
    }

    /// All that the peer has read.
    pub fn received(&self, peer: PeerId) -> &[u8] {
        &self.peers[peer.0].received
    }

    /// How the connection ended for the peer.
    pub fn ending(&self, peer: PeerId) -> Ending {
        self.peers[peer.0].ending
    }

    /// Whether an injected fault has broken the connection, so that no answer can be expected of the server.
    pub fn is_interfered(&self, peer: PeerId) -> bool {
        self.peers[peer.0].interfered
    }

    /// Whether every peer's connection has ended.
    pub fn peers_are_done(&self) -> bool {
        self.peers.iter().all(|peer| peer.ending != Ending::Open)
    }

    pub(super) fn act(&mut self, id: PeerId, action: Action) {
        let peer = &mut self.peers[id.0];
        if peer.ending != Ending::Open {
            return;
        }
        match action {
            Action::Send(_) if peer.half_closed => {}
            Action::Send(bytes) => peer.outbox.extend(bytes),
            Action::HalfClose => peer.half_closed = true,
            Action::Close => {
                peer.half_closed = true;
                peer.ending = Ending::Left;
                // As in TCP: who closes without having read everything resets.
                if let (false, Some(stream)) = (peer.inbox.is_empty(), peer.stream) {
                    self.reset_stream(stream);
                    return;
                }
            }
            Action::Reset => {
                peer.ending = Ending::Reset;
                if let Some(stream) = peer.stream {
                    self.reset_stream(stream);
                }
                return;
            }
        }
        self.pump(id);
    }

    /// Bytes arrive at the peer's socket.
    pub(super) fn deliver(&mut self, id: PeerId, bytes: &[u8]) {
        let peer = &mut self.peers[id.0];
        match peer.ending {
            Ending::Open => {
                peer.inbox.extend(bytes);
                self.peer_reads(id);
            }
            Ending::Left => {
                if let Some(stream) = peer.stream {
                    self.reset_stream(stream);
                }
            }
            Ending::Fin | Ending::Reset | Ending::Refused => {}
        }
    }

    /// The server's FIN or RST arrives.
    pub(super) fn deliver_end(&mut self, id: PeerId, is_reset: bool) {
        let peer = &mut self.peers[id.0];
        if peer.ending != Ending::Open {
            return;
        }
        if is_reset {
            peer.received.extend(peer.inbox.drain(..));
            peer.ending = Ending::Reset;
        } else {
            peer.inbox_end = true;
            if let Pace::Stop { .. } = peer.pace {
                peer.inbox.clear();
            }
            self.peer_reads(id);
        }
    }

    fn peer_reads(&mut self, id: PeerId) {
        let peer = &mut self.peers[id.0];
        match peer.pace {
            Pace::Eager => self.peer_takes(id, usize::MAX),
            Pace::Stop { after } => {
                let left = after.saturating_sub(peer.received.len());
                self.peer_takes(id, left);
            }
            Pace::Slow { every, .. } if !peer.read_is_scheduled => {
                peer.read_is_scheduled = true;
                self.schedule(self.now + every, Event::PeerReads(id));
            }
            Pace::Slow { .. } => {}
        }
    }

    /// The interval of a slow peer has passed.
    pub(super) fn peer_reads_slowly(&mut self, id: PeerId) {
        let peer = &mut self.peers[id.0];
        peer.read_is_scheduled = false;
        if let (Pace::Slow { bytes, .. }, Ending::Open) = (peer.pace, peer.ending) {
            self.peer_takes(id, bytes);
            if !self.peers[id.0].inbox.is_empty() {
                self.peer_reads(id);
            }
        }
    }

    fn peer_takes(&mut self, id: PeerId, max: usize) {
        let peer = &mut self.peers[id.0];
        let count = peer.inbox.len().min(max);
        peer.received.extend(peer.inbox.drain(..count));
        let mut reply = Reply::default();
        if count > 0
            && let Some(reaction) = &mut peer.reaction
        {
            reaction(&peer.received, &mut reply);
        }
        let stream = peer.stream;
        for (delay, action) in reply.actions {
            self.schedule(self.now + delay, Event::Act(id, action));
        }
        if let (Some(stream), true) = (stream, count > 0) {
            self.peer_took(stream, count);
        }
        let peer = &mut self.peers[id.0];
        if peer.inbox_end && peer.inbox.is_empty() && peer.ending == Ending::Open {
            peer.half_closed = true;
            peer.ending = Ending::Fin;
            self.pump(id);
        }
    }
}
