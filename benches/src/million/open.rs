//! Opening connections: a chain of linked operations for each, so many at once.
//!
//! ```text
//! SOCKET into slot -> LINGER 0 -> CONNECT -> SEND request -> RECV answer        one chain, one completion
//!                                                            POLL               when the answer is right
//! ```
//!
//! A linger of zero makes closing a reset, so that no port is held by a connection that is gone.
//!
//! Unsafe: what the kernel reads and writes while a chain is in flight is the request, the address and the buffer of its
//! lane, and a constant. Lanes and request live until the process ends; a lane is touched only by the chain that has it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{DestinationSlot, Fixed};

use super::ring::{ClientRing, Event, Kind, name};
use super::wire::{Upgrade, upgrade_answer, upgrade_request};

/// Connections being opened at once.
const LANES: u32 = 256;
const ANSWER_BYTES: usize = 1024;
/// Nothing completed for so long: the server does not answer.
const STALL: Duration = Duration::from_secs(10);

static RESET_ON_CLOSE: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };

/// Why connections could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A step of one failed.
    Step {
        /// Which connection, in the order of opening.
        connection: u64,
        /// Which step.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The server did not upgrade one.
    Refused {
        /// Which connection, in the order of opening.
        connection: u64,
        /// What it said.
        answer: String,
    },
    /// Some got no answer for a while.
    Stalled {
        /// How many wait.
        waiting: usize,
        /// How many were opened before, those of a warm-up included.
        opened: u64,
    },
    /// The ring failed.
    Ring(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Step { connection, step, source } => {
                write!(f, "connection {connection}: {step}: {source}")
            }
            OpenError::Refused { connection, answer } => {
                write!(f, "connection {connection} was not upgraded: {answer}")
            }
            OpenError::Stalled { waiting, opened } => write!(
                f,
                "{waiting} connections got no answer for {} s after {opened} were opened: a worker that is full \
                 accepts no more and leaves its share in the backlog; use more workers",
                STALL.as_secs()
            ),
            OpenError::Ring(error) => write!(f, "the client's ring: {error}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Step { source, .. } | OpenError::Ring(source) => Some(source),
            OpenError::Refused { .. } | OpenError::Stalled { .. } => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        OpenError::Ring(error)
    }
}

/// The place of one connection that is being opened.
struct Lane {
    connection: u64,
    to: libc::sockaddr_in,
    answer: [u8; ANSWER_BYTES],
    filled: usize,
}

/// Opens connections to one server, each at most once answered.
pub struct Opener {
    lanes: &'static mut [Lane],
    free: Vec<u32>,
    request: &'static [u8],
    port: u16,
    connections_per_address: u64,
    started: u64,
    events: Vec<Event>,
}

impl Opener {
    /// For the server that listens on `port` of all loopback addresses.
    pub fn new(port: u16, path: &str) -> io::Result<Self> {
        let lane = |_| Lane {
            connection: 0,
            to: address(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)),
            answer: [0; ANSWER_BYTES],
            filled: 0,
        };
        Ok(Opener {
            lanes: Vec::leak((0..LANES).map(lane).collect()),
            free: (0..LANES).collect(),
            request: Vec::leak(upgrade_request(&format!("localhost:{port}"), path)),
            port,
            connections_per_address: connections_per_address()?,
            started: 0,
            events: Vec::new(),
        })
    }

    /// Opens `count` connections in free slots of `ring` and leaves them idle.
    pub fn open(&mut self, ring: &mut ClientRing, count: u32) -> Result<(), OpenError> {
        let mut left = count;
        while left > 0 || self.free.len() < self.lanes.len() {
            while left > 0
                && let Some(lane) = self.free.pop()
            {
                self.start(ring, lane)?;
                left -= 1;
            }
            let mut events = std::mem::take(&mut self.events);
            ring.turn(STALL, &mut events)?;
            if events.is_empty() {
                let waiting = self.lanes.len() - self.free.len();
                return Err(OpenError::Stalled { waiting, opened: self.started - waiting as u64 });
            }
            for event in events.drain(..) {
                self.on_event(ring, event)?;
            }
            self.events = events;
        }
        Ok(())
    }

    fn start(&mut self, ring: &mut ClientRing, number: u32) -> io::Result<()> {
        let slot = ring.take_slot();
        let lane = &mut self.lanes[number as usize];
        lane.connection = self.started;
        lane.filled = 0;
        lane.to =
            address(SocketAddrV4::new(nth_loopback(self.started / self.connections_per_address), self.port));
        self.started += 1;
        let place = DestinationSlot::try_from_slot_target(slot).expect("a slot is a small number");
        let step = |entry: Entry, kind| {
            entry.user_data(name(kind, number, slot)).flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
        };
        let chain = [
            step(
                opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).file_index(Some(place)).build(),
                Kind::Socket,
            ),
            step(
                opcode::SetSockOpt::new(
                    Fixed(slot),
                    libc::SOL_SOCKET as u32,
                    libc::SO_LINGER as u32,
                    (&raw const RESET_ON_CLOSE).cast(),
                    size_of::<libc::linger>() as u32,
                )
                .build(),
                Kind::Linger,
            ),
            step(
                opcode::Connect::new(
                    Fixed(slot),
                    (&raw const lane.to).cast(),
                    size_of::<libc::sockaddr_in>() as u32,
                )
                .build(),
                Kind::Connect,
            ),
            step(
                opcode::Send::new(Fixed(slot), self.request.as_ptr(), self.request.len() as u32)
                    .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
                    .build(),
                Kind::Request,
            ),
            receive(lane, number, slot),
        ];
        // SAFETY: see the module's doc.
        unsafe { ring.push(&chain) }
    }

    fn on_event(&mut self, ring: &mut ClientRing, event: Event) -> Result<(), OpenError> {
        let lane = match event.kind {
            Kind::Idle => {
                ring.note_disturbed(event.result);
                return Ok(());
            }
            Kind::Socket | Kind::Linger | Kind::Connect | Kind::Request | Kind::Answer => {
                &mut self.lanes[event.lane as usize]
            }
            Kind::Ask | Kind::Echo => return Ok(()),
        };
        let connection = lane.connection;
        if event.result == -libc::ECANCELED {
            // A step before this one failed, which has a completion of its own.
            return Ok(());
        }
        if event.result < 0 || event.kind != Kind::Answer {
            let source = match event.result {
                0.. => io::ErrorKind::WriteZero.into(),
                errno => io::Error::from_raw_os_error(-errno),
            };
            return Err(OpenError::Step { connection, step: step_name(event.kind), source });
        }
        lane.filled += event.result as usize;
        let (answer, is_full) = (&lane.answer[..lane.filled], lane.filled == ANSWER_BYTES);
        match upgrade_answer(answer) {
            Upgrade::NeedMore if event.result > 0 && !is_full => {
                let more = receive(lane, event.lane, event.slot);
                // SAFETY: see the module's doc.
                unsafe { ring.push(&[more])? };
                Ok(())
            }
            Upgrade::Complete => {
                self.free.push(event.lane);
                Ok(ring.arm_idle(event.slot)?)
            }
            Upgrade::NeedMore | Upgrade::Refused => {
                let answer = String::from_utf8_lossy(answer).lines().next().unwrap_or("closed").into();
                Err(OpenError::Refused { connection, answer })
            }
        }
    }
}

/// A receive into what is left of the lane's buffer.
fn receive(lane: &mut Lane, number: u32, slot: u32) -> Entry {
    let rest = &mut lane.answer[lane.filled..];
    opcode::Recv::new(Fixed(slot), rest.as_mut_ptr(), rest.len() as u32).build().user_data(name(
        Kind::Answer,
        number,
        slot,
    ))
}

fn step_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Socket => "socket",
        Kind::Linger => "linger",
        Kind::Connect => "connect",
        Kind::Request => "sending the request",
        Kind::Answer => "receiving the answer",
        Kind::Idle | Kind::Ask | Kind::Echo => "not a step of opening",
    }
}

/// Loopback addresses one after the other; each gives a range of ports of its own.
fn nth_loopback(n: u64) -> Ipv4Addr {
    let (high, low) = (n / 200, n % 200);
    assert!(high < 200, "40,000 addresses are enough");
    Ipv4Addr::new(127, 1, high as u8, 1 + low as u8)
}

/// Half of the ports that the kernel gives by itself: near the end of the range it searches for long.
fn connections_per_address() -> io::Result<u64> {
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    let text = std::fs::read_to_string(path)?;
    let ports: Vec<u64> = text.split_whitespace().filter_map(|port| port.parse().ok()).collect();
    match ports[..] {
        [first, last] if last >= first => Ok(((last - first) / 2).max(1)),
        _ => Err(io::Error::other(format!("{path} holds no range: {text:?}"))),
    }
}

fn address(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
        sin_zero: [0; 8],
    }
}
