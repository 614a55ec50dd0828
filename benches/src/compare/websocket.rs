//! The scenarios of WebSockets.

use std::fmt;
use std::io;

use super::Options;
use super::scenario::{Measured, measured};
use crate::contestant::Service;
use crate::load::ws::{self, Broadcast, Content, Echo};
use crate::memory;
use crate::process::Server;
use crate::table::Figure;

/// A load of WebSocket messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WsScenario {
    /// `ws-echoN`: N connections, one text of 64 bytes at a time on each.
    Echo(usize),
    /// `ws-largeKIB`: 16 MiB of such texts at a time, at most 64 connections.
    Large(usize),
    /// `ws-deflateKIB`: the same, compressed.
    Deflate(usize),
    /// `ws-broadcastN`: a room of N, one text of 64 bytes at a time, then 32 of them in one write.
    Broadcast(usize),
    /// `ws-idleN`: the memory of N idle ones.
    Idle(usize),
    /// `ws-idle-roomN`: the same, members of a room.
    IdleRoom(usize),
}

/// Bytes of a small message.
const SMALL_BYTES: usize = 64;
/// Messages that a publisher sends in one write.
pub const COALESCED: u32 = 32;
/// Bytes under way in the scenarios of large messages, and the most connections that share them.
const LARGE_BYTES: usize = 16 << 20;
const LARGE_CONNECTIONS_MAX: usize = 64;
const WARMUP_CONNECTIONS: usize = 64;
const ECHO: &str = "/ws";
const ROOM: &str = "/room";

impl fmt::Display for WsScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WsScenario::Echo(n) => write!(f, "ws-echo{n}"),
            WsScenario::Large(kib) => write!(f, "ws-large{kib}"),
            WsScenario::Deflate(kib) => write!(f, "ws-deflate{kib}"),
            WsScenario::Broadcast(n) => write!(f, "ws-broadcast{n}"),
            WsScenario::Idle(n) => write!(f, "ws-idle{n}"),
            WsScenario::IdleRoom(n) => write!(f, "ws-idle-room{n}"),
        }
    }
}

impl WsScenario {
    /// The one of this name, if there is one.
    pub(super) fn named(kind: &str, number: usize) -> Option<Self> {
        match kind {
            "ws-echo" => Some(WsScenario::Echo(number)),
            "ws-large" => Some(WsScenario::Large(number)),
            "ws-deflate" => Some(WsScenario::Deflate(number)),
            "ws-broadcast" => Some(WsScenario::Broadcast(number)),
            "ws-idle" => Some(WsScenario::Idle(number)),
            "ws-idle-room" => Some(WsScenario::IdleRoom(number)),
            _ => None,
        }
    }

    /// What a server is started for.
    pub(super) fn service(self) -> Service {
        if matches!(self, WsScenario::Deflate(_)) { Service::WebsocketDeflate } else { Service::Websocket }
    }

    fn path(self) -> &'static str {
        match self {
            WsScenario::Echo(_) | WsScenario::Large(_) | WsScenario::Deflate(_) | WsScenario::Idle(_) => ECHO,
            WsScenario::Broadcast(_) | WsScenario::IdleRoom(_) => ROOM,
        }
    }

    /// Whether `server` upgrades where this scenario asks for it.
    pub(super) fn is_served_by(self, server: &Server) -> io::Result<bool> {
        let deflate = self.service() == Service::WebsocketDeflate;
        ws::is_served(server.addr(), self.path(), deflate).map_err(io::Error::other)
    }

    /// Puts the load on `server` and reads the figures.
    pub(super) fn measure(self, options: &Options, server: &Server) -> io::Result<Vec<Figure>> {
        match self {
            WsScenario::Echo(n) => echo(options, server, n, Content::text(SMALL_BYTES)),
            WsScenario::Large(kib) => {
                echo(options, server, large_connections(kib), Content::text(kib * 1024))
            }
            WsScenario::Deflate(kib) => {
                let content = Content { deflate: true, ..Content::text(kib * 1024) };
                echo(options, server, large_connections(kib), content)
            }
            WsScenario::Broadcast(n) => broadcast(options, server, n),
            WsScenario::Idle(n) | WsScenario::IdleRoom(n) => idle(server, self.path(), n),
        }
    }
}

fn large_connections(kib: usize) -> usize {
    (LARGE_BYTES / (kib * 1024)).clamp(1, LARGE_CONNECTIONS_MAX)
}

fn echo(options: &Options, server: &Server, connections: usize, content: Content) -> io::Result<Vec<Figure>> {
    let plan =
        Echo { path: ECHO.into(), connections, content, warmup: options.warmup, duration: options.duration };
    let measured = measured(server, |edge| ws::echo(server.addr(), &plan, edge).map_err(io::Error::other))?;
    let us = |q| measured.report.latency.quantile(q).as_secs_f64() * 1e6;
    let cpu = measured.cpu_us_per_answer();
    Ok(vec![
        Figure::new("CPU us/message", cpu, 2).against_floor(),
        Figure::new("of it user", cpu * measured.user_share, 2),
        Figure::new("messages/s", measured.report.rate(), 0),
        Figure::new("p50 us", us(0.5), 0),
        Figure::new("p99 us", us(0.99), 0).against_floor(),
        Figure::new("p99.9 us", us(0.999), 0),
        Figure::new("core busy %", busy_percent(&measured), 0),
    ])
}

fn broadcast(options: &Options, server: &Server, members: usize) -> io::Result<Vec<Figure>> {
    let deliver = |messages| {
        let plan = Broadcast {
            path: ROOM.into(),
            members,
            publishers: 1,
            content: Content::text(SMALL_BYTES).times(messages),
            warmup: options.warmup,
            duration: options.duration,
        };
        measured(server, |edge| ws::broadcast(server.addr(), &plan, edge).map_err(io::Error::other))
    };
    let (single, coalesced) = (deliver(1)?, deliver(COALESCED)?);
    let p99 = |measured: &Measured| measured.report.latency.quantile(0.99).as_secs_f64() * 1e6;
    Ok(vec![
        Figure::new("one by one: CPU us/delivery", single.cpu_us_per_answer(), 2).against_floor(),
        Figure::new("deliveries/s", single.report.rate(), 0),
        Figure::new("p99 us", p99(&single), 0).against_floor(),
        Figure::new("core busy %", busy_percent(&single), 0),
        Figure::new("32 at once: CPU us/delivery", coalesced.cpu_us_per_answer(), 3).against_floor(),
        Figure::new("deliveries/s", coalesced.report.rate(), 0),
        Figure::new("p99 us", p99(&coalesced), 0).against_floor(),
        Figure::new("core busy %", busy_percent(&coalesced), 0),
        Figure::new("deliveries/s, 32 / one", coalesced.report.rate() / single.report.rate(), 1),
    ])
}

/// How busy the server's core was: where it is far below 100, the load was the slower of the two.
fn busy_percent(measured: &Measured) -> f64 {
    measured.cpu.as_secs_f64() / measured.report.elapsed.as_secs_f64() * 100.0
}

fn idle(server: &Server, path: &str, connections: usize) -> io::Result<Vec<Figure>> {
    let plan = memory::Plan { path: path.into(), connections, warmup_connections: WARMUP_CONNECTIONS };
    let report = memory::measure_websockets(server, &plan).map_err(io::Error::other)?;
    let mib = |reading: &memory::Reading| reading.rss_bytes as f64 / f64::from(1 << 20);
    Ok(vec![
        Figure::new("RSS bytes each", report.rss_bytes_per_connection(), 0),
        Figure::new("after a message to each", report.rss_bytes_per_active_connection(), 0),
        Figure::new("slab bytes each", report.slab_bytes_per_connection(), 0),
        Figure::new("RSS MiB, none open", mib(&report.before), 1),
        Figure::new("all idle", mib(&report.idle), 1),
    ])
}
