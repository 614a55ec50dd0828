//! Many WebSockets behind one ring.
//!
//! Ownership: the ring is used by this thread only. A send points into a script, and scripts are neither changed nor
//! dropped while one is in flight: `sends` counts them, and [`Client`]'s drop waits for it and for every receive, or
//! leaves scripts and buffers where they are.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use io_uring::types::Fd;
use io_uring::{cqueue, opcode};

use super::WsError;
use super::idle::{connected, upgrade};
use super::script::Script;
use crate::load::Errors;
use crate::ring::{BUFFER_GROUP, Ring};

const RECV: u64 = 0;
const SEND: u64 = 1;
/// As many as a broadcast may have members with something to read.
const BUFFERS: u16 = 8192;
/// So few that what is read of large messages stays in the cache until it is compared.
const BUFFERS_LARGE: u16 = 64;
const BUFFER_BYTES_LEAST: usize = 256;
const BUFFER_BYTES_MOST: usize = 64 * 1024;
const DROP_PATIENCE: Duration = Duration::from_secs(2);

/// WebSockets by index; one that erred is gone, and its error is counted.
pub struct Client {
    /// Always there until it is dropped.
    ring: Option<Ring>,
    sockets: Vec<Socket>,
    scripts: Vec<Script>,
    completions: Vec<cqueue::Entry>,
    /// Sends in flight.
    sends: usize,
    gone: usize,
    errors: Errors,
}

struct Socket {
    stream: TcpStream,
    /// A multishot recv is armed.
    armed: bool,
    gone: bool,
}

impl Client {
    /// Opens and upgrades `count` connections, one after the other.
    pub fn open(
        addr: SocketAddr,
        path: &str,
        count: usize,
        scripts: Vec<Script>,
        deflate: bool,
    ) -> Result<Self, WsError> {
        let answer_bytes = scripts.iter().map(Script::answer_bytes).max().unwrap_or_default();
        let buffer_bytes = answer_bytes.next_power_of_two().clamp(BUFFER_BYTES_LEAST, BUFFER_BYTES_MOST);
        let buffers = if buffer_bytes > 8 * 1024 { BUFFERS_LARGE } else { BUFFERS };
        let mut client = Client {
            ring: Some(Ring::new(buffers, buffer_bytes)?),
            sockets: Vec::with_capacity(count),
            scripts,
            completions: Vec::new(),
            sends: 0,
            gone: 0,
            errors: Errors::default(),
        };
        for index in 0..count {
            let stream = connected(index, addr)?;
            upgrade(&stream, addr, path, deflate)?;
            client.sockets.push(Socket { stream, armed: false, gone: false });
            client.arm(index)?;
        }
        Ok(client)
    }

    /// How many scripts there are.
    pub fn variants(&self) -> usize {
        self.scripts.len()
    }

    /// How many connections are gone.
    pub fn gone(&self) -> usize {
        self.gone
    }

    /// True if every connection is gone.
    pub fn all_gone(&self) -> bool {
        self.gone == self.sockets.len()
    }

    /// What went wrong so far.
    pub fn take_errors(&mut self) -> Errors {
        std::mem::take(&mut self.errors)
    }

    /// Sends a script's bytes on a connection in the next turn.
    pub fn send(&mut self, index: usize, variant: usize) -> io::Result<()> {
        if self.sockets[index].gone {
            return Ok(());
        }
        let ask = &self.scripts[variant].ask;
        let fd = self.sockets[index].stream.as_raw_fd();
        let send = opcode::Send::new(Fd(fd), ask.as_ptr(), ask.len() as u32)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(SEND | (index as u64) << 8);
        self.sends += 1;
        // SAFETY: it points into a script; the module says why that outlives the send.
        unsafe { ring(&mut self.ring).push(send) }
    }

    /// Waits for `count` completions (of reads; sends count, too) or for at most `timeout`, and calls `on_bytes` with the index, what was read, the scripts and the time of this
    /// turn; it says which script is to be sent on that connection.
    pub fn turn(
        &mut self,
        timeout: Duration,
        count: usize,
        mut on_bytes: impl FnMut(usize, &[u8], &[Script], Instant) -> Result<Option<usize>, WsError>,
    ) -> io::Result<()> {
        let mut completions = std::mem::take(&mut self.completions);
        ring(&mut self.ring).turn_within(timeout, count, &mut completions)?;
        let now = Instant::now();
        for completion in completions.drain(..) {
            let index = (completion.user_data() >> 8) as usize;
            if completion.user_data() & 0xff == SEND {
                self.on_sent(index, completion.result());
            } else if let Some(variant) = self.on_received(index, &completion, now, &mut on_bytes)? {
                self.send(index, variant)?;
            }
        }
        self.completions = completions;
        Ok(())
    }

    fn on_sent(&mut self, index: usize, result: i32) {
        self.sends -= 1;
        if result < 0 {
            self.give_up(index, &WsError::Io(io::Error::from_raw_os_error(-result)));
        }
    }

    fn on_received(
        &mut self,
        index: usize,
        completion: &cqueue::Entry,
        now: Instant,
        on_bytes: &mut impl FnMut(usize, &[u8], &[Script], Instant) -> Result<Option<usize>, WsError>,
    ) -> io::Result<Option<usize>> {
        let result = completion.result();
        let mut next = Ok(None);
        if let Some((id, bytes)) = ring(&mut self.ring).received(completion) {
            if !self.sockets[index].gone && result > 0 {
                next = on_bytes(index, bytes, &self.scripts, now);
            }
            ring(&mut self.ring).give_back(id);
        }
        self.sockets[index].armed = cqueue::more(completion.flags());
        let ended = match result {
            0 => Err(WsError::Closed),
            less if less < 0 && less != -libc::ENOBUFS => {
                Err(WsError::Io(io::Error::from_raw_os_error(-less)))
            }
            _ => next,
        };
        match ended {
            Err(error) => {
                self.give_up(index, &error);
                Ok(None)
            }
            Ok(next) => {
                if !self.sockets[index].armed && !self.sockets[index].gone {
                    self.arm(index)?;
                }
                Ok(next)
            }
        }
    }

    /// Ends all connections.
    pub fn give_all_up(&mut self) {
        (0..self.sockets.len()).for_each(|index| self.end(index));
    }

    fn give_up(&mut self, index: usize, error: &WsError) {
        if !self.sockets[index].gone {
            self.errors.add(error);
            self.end(index);
        }
    }

    fn end(&mut self, index: usize) {
        let socket = &mut self.sockets[index];
        if !socket.gone {
            socket.gone = true;
            self.gone += 1;
            // One that the peer has reset is ended already.
            drop(socket.stream.shutdown(Shutdown::Both));
        }
    }

    fn arm(&mut self, index: usize) -> io::Result<()> {
        let socket = &mut self.sockets[index];
        socket.armed = true;
        let recv = opcode::RecvMulti::new(Fd(socket.stream.as_raw_fd()), BUFFER_GROUP)
            .build()
            .user_data(RECV | (index as u64) << 8);
        // SAFETY: it points to nothing, and selects from the ring's buffers, which outlive it.
        unsafe { ring(&mut self.ring).push(recv) }
    }

    fn is_idle(&self) -> bool {
        self.sends == 0 && self.sockets.iter().all(|socket| !socket.armed)
    }
}

fn ring(ring: &mut Option<Ring>) -> &mut Ring {
    ring.as_mut().expect("only dropping takes it")
}

impl Drop for Client {
    fn drop(&mut self) {
        self.give_all_up();
        let end = Instant::now() + DROP_PATIENCE;
        while !self.is_idle() && Instant::now() < end {
            if self.turn(DROP_PATIENCE, 1, |_, _, _, _| Ok(None)).is_err() {
                break;
            }
        }
        let idle = self.is_idle();
        let Some(ring) = self.ring.take() else { return };
        if idle {
            // SAFETY: no receive is armed.
            unsafe { ring.retire() };
        } else {
            std::mem::forget(ring);
            std::mem::forget(std::mem::take(&mut self.scripts));
        }
    }
}
