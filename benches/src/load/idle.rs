//! Connections that asked once and are then held open without a word.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::AnswerReader;
use super::connection::{AskError, request};
use crate::sys::connect_from;

/// Idle keep-alive connections, from as many loopback source addresses as their ports require.
pub struct IdleSet {
    streams: Vec<TcpStream>,
    ask: Vec<u8>,
}

/// Connections per source address: less than any usual range of ephemeral ports.
const PER_SOURCE: usize = 5_000;
const PATIENCE: Duration = Duration::from_secs(5);

impl IdleSet {
    /// Opens `count` connections; each asks for `path` once and is answered before the next is opened.
    pub fn open(addr: SocketAddr, path: &str, count: usize) -> Result<Self, AskError> {
        let mut set = IdleSet { streams: Vec::with_capacity(count), ask: request(addr, path) };
        for index in 0..count {
            let stream = connect_from(loopback_source(index, addr), addr)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            ask(&stream, &set.ask)?;
            set.streams.push(stream);
        }
        Ok(set)
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// True if none is held.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Lets every `step`-th connection ask once more.
    pub fn ask_again(&self, step: usize) -> Result<(), AskError> {
        self.streams.iter().step_by(step).try_for_each(|stream| ask(stream, &self.ask))
    }
}

/// The address from which connection `index` comes, where `addr` is on the loopback: one has too few ports for all.
pub fn loopback_source(index: usize, addr: SocketAddr) -> Option<IpAddr> {
    let last = 2 + index / PER_SOURCE;
    assert!(last < 255, "more connections than 127.0.0.0/24 has room for");
    addr.ip().is_loopback().then_some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last as u8)))
}

fn ask(mut stream: &TcpStream, ask: &[u8]) -> Result<(), AskError> {
    stream.write_all(ask)?;
    let mut reader = AnswerReader::default();
    let mut buffer = [0; 4096];
    loop {
        let got = stream.read(&mut buffer)?;
        if got == 0 {
            return Err(AskError::Closed);
        }
        if reader.read(&buffer[..got])? > 0 {
            return Ok(());
        }
    }
}
