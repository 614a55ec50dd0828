//! WebSockets that are held open without a word, by plain blocking calls.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::WsError;
use super::script::{Content, Progress, Script, scripts};
use crate::load::loopback_source;
use crate::sys::{connect_from, connect_in_segments, read};
use crate::ws::{HEAD_END, check_upgrade, upgrade_request};

/// Idle WebSockets, from as many loopback source addresses as their ports require.
pub struct WsIdleSet {
    streams: Vec<TcpStream>,
    script: Script,
}

/// The longest head of an answer to an upgrade.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a segment over Ethernet.
const SEGMENT_BYTES: i32 = 1448;
/// Bytes of the messages.
const PAYLOAD_BYTES: usize = 64;

impl WsIdleSet {
    /// Opens `count` WebSockets at `path`, one after the other.
    pub fn open(addr: SocketAddr, path: &str, count: usize) -> Result<Self, WsError> {
        let script = scripts(addr, path, &Content::text(PAYLOAD_BYTES))?.swap_remove(0);
        let mut streams = Vec::with_capacity(count);
        for index in 0..count {
            let stream = connected(index, addr)?;
            upgrade(&stream, addr, path, false)?;
            streams.push(stream);
        }
        Ok(WsIdleSet { streams, script })
    }

    /// As [`open`](WsIdleSet::open), for those that will not read: with segments as over a network, so that the kernel keeps
    /// little for each.
    pub fn open_in_segments(addr: SocketAddr, path: &str, count: usize) -> Result<Self, WsError> {
        let script = scripts(addr, path, &Content::text(PAYLOAD_BYTES))?.swap_remove(0);
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = connect_in_segments(addr, SEGMENT_BYTES)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            upgrade(&stream, addr, path, false)?;
            streams.push(stream);
        }
        Ok(WsIdleSet { streams, script })
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// True if none is held.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Lets every `step`-th have one message echoed.
    pub fn echo(&self, step: usize) -> Result<(), WsError> {
        self.streams.iter().step_by(step).try_for_each(|mut stream| {
            stream.write_all(&self.script.ask)?;
            self.receive(stream)
        })
    }

    /// Lets the first publish one message, which every one must be sent.
    pub fn publish(&self) -> Result<(), WsError> {
        let Some(mut publisher) = self.streams.first() else { return Ok(()) };
        publisher.write_all(&self.script.ask)?;
        self.streams.iter().try_for_each(|stream| self.receive(stream))
    }

    fn receive(&self, stream: &TcpStream) -> Result<(), WsError> {
        let mut progress = Progress::default();
        let mut buffer = [0; 4096];
        loop {
            let got = read(stream, &mut buffer)?;
            if got == 0 {
                return Err(WsError::Closed);
            }
            if progress.take(&buffer[..got], &self.script)?.whole {
                return Ok(());
            }
        }
    }
}

/// Connection `index` of a set, with a bound on how long a read may take.
pub(super) fn connected(index: usize, addr: SocketAddr) -> Result<TcpStream, WsError> {
    let stream = connect_from(loopback_source(index, addr), addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Upgrades a connection.
pub(super) fn upgrade(
    mut stream: &TcpStream,
    addr: SocketAddr,
    path: &str,
    deflate: bool,
) -> Result<(), WsError> {
    stream.write_all(&upgrade_request(addr, path, deflate))?;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while memchr::memmem::find(&head, HEAD_END).is_none() {
        let got = read(stream, &mut buffer)?;
        if got == 0 || head.len() > HEAD_BYTES_MAX {
            return Err(WsError::Closed);
        }
        head.extend_from_slice(&buffer[..got]);
    }
    check_upgrade(&head, deflate)?;
    if head.ends_with(HEAD_END) { Ok(()) } else { Err(WsError::Unasked) }
}
