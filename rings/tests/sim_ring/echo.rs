//! An echo server straight on the ring, as careful as the real ones have to be.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;
use sws_rings::script::{self, Audit, Counts, Ending, Fault, Options, Pace, Peer, PeerId, World};
use sws_rings::*;

struct Connection {
    index: u32,
    /// In flight: neither moved nor changed until its completion.
    sending: Vec<u8>,
    waiting: VecDeque<u8>,
    is_sending: bool,
    is_receiving: bool,
    is_at_end: bool,
    is_broken: bool,
    is_cancelled: bool,
    is_closing: bool,
}

pub struct Echo {
    pub ring: Ring,
    listener: TcpListener,
    connections: BTreeMap<u32, Connection>,
    next: u32,
    is_accepting: bool,
    is_stopping: bool,
    direct: bool,
    /// Leave before the peer does, after so many bytes: with a cancelled receive.
    leave_after: usize,
    stop: Rc<Cell<bool>>,
}

const ACCEPT: Token = Token::new(Owner::Watch, OpKind::Accept, 0, 0);

impl Echo {
    pub fn new(config: &RingConfig, leave_after: usize) -> Echo {
        Echo {
            ring: Ring::new(config).expect("a ring"),
            listener: TcpListener::bind("127.0.0.1:0").expect("a port"),
            connections: BTreeMap::new(),
            next: 0,
            is_accepting: false,
            is_stopping: false,
            direct: config.direct_descriptors > 0,
            leave_after,
            stop: Rc::new(Cell::new(false)),
        }
    }

    fn push(&mut self, op: &Op, token: Token) {
        // SAFETY: what is sent stays in its connection, unchanged, until the send's completion, and the connection
        // stays in the table until then; nothing else here names memory.
        unsafe { self.ring.push(op, token) }
    }

    fn descriptor(&self, id: u32) -> Descriptor {
        let index = self.connections[&id].index;
        if self.direct { Descriptor::Direct(index) } else { Descriptor::Raw(index as i32) }
    }

    fn token(kind: OpKind, id: u32) -> Token {
        Token::new(Owner::Slot, kind, id, id)
    }

    /// Runs until the stop is called and every connection is gone.
    pub fn run(&mut self) {
        let mut out = Vec::new();
        loop {
            if self.stop.get() && !self.is_stopping {
                self.is_stopping = true;
                self.push(&Op::Cancel { target: ACCEPT }, ACCEPT.with_kind(OpKind::Cancel));
            }
            if !self.is_accepting && !self.is_stopping {
                self.is_accepting = true;
                let listener = Descriptor::Raw(self.listener.as_raw_fd());
                self.push(&Op::AcceptMulti { listener, direct: self.direct }, ACCEPT);
            }
            if self.is_stopping && !self.is_accepting && self.connections.is_empty() {
                break;
            }
            self.ring.submit_and_wait(Wait::one(Some(Duration::from_secs(1))));
            let connections = &self.connections;
            let is_live =
                |token: Token| token.owner() != Owner::Slot || connections.contains_key(&token.index());
            self.ring.drain(is_live, &mut out);
            for completion in out.drain(..) {
                self.dispatch(completion);
            }
        }
        for _ in 0..10 {
            self.ring.submit_and_wait(Wait::one(Some(Duration::from_millis(10))));
            self.ring.drain(|_| false, &mut out);
        }
    }

    fn dispatch(&mut self, completion: Completion) {
        let id = completion.token.index();
        match (completion.token.owner(), completion.token.kind()) {
            (Owner::Watch, OpKind::Accept) => {
                self.is_accepting &= completion.more;
                if let Ok(index) = completion.result {
                    self.open(index);
                }
            }
            (Owner::Slot, OpKind::Recv) => self.received(id, completion),
            (Owner::Slot, OpKind::Send) => self.sent(id, completion.result),
            (Owner::Slot, OpKind::Close) => {
                assert_eq!(completion.result, Ok(0));
                self.connections.remove(&id);
            }
            (Owner::Slot | Owner::Watch, OpKind::Cancel) => {}
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, index: u32) {
        let id = self.next;
        self.next += 1;
        let connection = Connection {
            index,
            sending: Vec::new(),
            waiting: VecDeque::new(),
            is_sending: false,
            is_receiving: false,
            is_at_end: false,
            is_broken: false,
            is_cancelled: false,
            is_closing: false,
        };
        self.connections.insert(id, connection);
        self.go_on(id);
    }

    fn received(&mut self, id: u32, completion: Completion) {
        let connection = self.connections.get_mut(&id).expect("it is live");
        connection.is_receiving &= completion.more;
        match completion.result {
            Ok(0) => connection.is_at_end = true,
            Ok(_) => connection.waiting.extend(completion.lease.expect("bytes come in a lease").iter()),
            Err(libc::ENOBUFS | libc::ECANCELED) => {}
            Err(libc::ECONNRESET) => connection.is_broken = true,
            Err(errno) => panic!("receive: errno {errno}"),
        }
        self.go_on(id);
    }

    fn sent(&mut self, id: u32, result: Result<u32, i32>) {
        let connection = self.connections.get_mut(&id).expect("it is live");
        connection.is_sending = false;
        match result {
            Ok(len) => {
                let rest = connection.sending.split_off(len as usize);
                rest.into_iter().rev().for_each(|byte| connection.waiting.push_front(byte));
                self.leave_after -= (len as usize).min(self.leave_after);
            }
            Err(libc::ECONNRESET | libc::EPIPE) => connection.is_broken = true,
            Err(errno) => panic!("send: errno {errno}"),
        }
        self.go_on(id);
    }

    fn go_on(&mut self, id: u32) {
        let descriptor = self.descriptor(id);
        let leaves = self.leave_after == 0 || self.stop.get();
        let connection = self.connections.get_mut(&id).expect("it is live");
        let is_over = connection.is_broken
            || (connection.is_at_end || leaves) && !connection.is_sending && connection.waiting.is_empty();
        if is_over {
            if connection.is_receiving && !connection.is_cancelled {
                connection.is_cancelled = true;
                let target = Self::token(OpKind::Recv, id);
                self.push(&Op::Cancel { target }, Self::token(OpKind::Cancel, id));
            } else if !connection.is_receiving && !connection.is_sending && !connection.is_closing {
                connection.is_closing = true;
                self.push(&Op::Close { descriptor }, Self::token(OpKind::Close, id));
            }
            return;
        }
        if !connection.is_sending && !connection.waiting.is_empty() {
            connection.is_sending = true;
            connection.sending = connection.waiting.drain(..).collect();
            let data = Span::of(&connection.sending);
            self.push(&Op::Send { descriptor, data }, Self::token(OpKind::Send, id));
        }
        let connection = self.connections.get_mut(&id).expect("it is live");
        if !connection.is_receiving && !connection.is_at_end && !connection.is_cancelled {
            connection.is_receiving = true;
            self.push(&Op::RecvMulti { descriptor }, Self::token(OpKind::Recv, id));
        }
    }
}

/// What came of one run.
pub struct Outcome {
    pub hash: u64,
    pub counts: Counts,
    pub audit: Audit,
    pub trace: String,
    pub peers: Vec<(Vec<u8>, Vec<u8>, Ending, bool)>,
}

pub fn config(seed: u64) -> RingConfig {
    let buffers = BufferConfig { count: 4, count_max: 64, size: 256, incremental: seed.is_multiple_of(2) };
    RingConfig {
        submission_entries: 16,
        completion_entries: 32,
        direct_descriptors: if seed.is_multiple_of(5) { 0 } else { 64 },
        buffers: Some(buffers),
        attach: None,
    }
}

fn peer(seed: u64, number: u64) -> (Peer, Vec<u8>) {
    let start = Duration::from_micros(number * 150);
    let mut at = start;
    let mut all = Vec::new();
    let mut chunks = Vec::new();
    for chunk in 0..3 + (seed + number) % 5 {
        let bytes = vec![(number * 16 + chunk) as u8; 1 + ((seed * 31 + chunk * 977) % 3000) as usize];
        at += Duration::from_micros((seed + chunk) % 400);
        all.extend(&bytes);
        chunks.push((at, bytes));
    }
    let peer = Peer::connecting_at(start).sends(chunks).half_closes_at(at + Duration::from_micros(50));
    let peer = match (seed + number) % 7 {
        0 => peer.reads(Pace::Slow { bytes: 500, every: Duration::from_millis(1) }),
        1 => peer.resets_at(at - Duration::from_micros(100).min(at - start)),
        2 => peer.closes_at(at),
        _ => peer,
    };
    (peer, all)
}

/// Runs the server against ten peers.
pub fn run(seed: u64, options: Options, leave_after: usize) -> Outcome {
    World::install(seed, options);
    let mut echo = Echo::new(&config(seed), leave_after);
    let stop = Rc::clone(&echo.stop);
    let peers: Vec<(PeerId, Vec<u8>)> = (0..10)
        .map(|number| {
            let (peer, sent) = peer(seed, number);
            (script::with(|world| world.add_peer(peer)), sent)
        })
        .collect();
    script::with(|world| world.call_at(Duration::from_secs(10), move || stop.set(true)));
    let late = Peer::connecting_at(Duration::from_micros(10_000_100));
    script::with(|world| world.add_peer(late));
    echo.run();
    script::with(|world| Outcome {
        hash: world.trace_hash(),
        counts: world.counts(),
        audit: world.audit(),
        trace: world.trace(),
        peers: peers
            .into_iter()
            .map(|(id, sent)| (sent, world.received(id).to_vec(), world.ending(id), world.is_interfered(id)))
            .collect(),
    })
}

/// The faults that only break connections.
pub const BREAKING: [Fault; 4] =
    [Fault::AcceptNfile, Fault::AcceptAborted, Fault::ResetOnReceive, Fault::ResetOnSend];
