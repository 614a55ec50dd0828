//! A topic at full rate, without and with members that have stopped reading: what those who read notice.
//!
//! Rounds of messages go to all members that read, each when the one before has reached all of them. The server is the measuring
//! program itself, started again as a child, as the contestants are.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use sws::websocket::{Message, Socket, SocketHandler, SocketOptions, WebSocketUpgrade};
use sws::{Overflow, Router};

use crate::load::Edge;
use crate::load::ws::{Broadcast, Content, WsIdleSet, broadcast};
use crate::process::{self, CpuTime, Server};
use crate::table::{Figure, Row};

const MARK: &str = "--serve-slow-peers";
const ROOM: &str = "/room";
/// Bytes that may wait for a member.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// Messages that fill what there is between the server and those who stopped. A round fits the output itself, before messages
/// wait and the policy chooses among them: the one that reads the filling gets it whole.
const FILLINGS: usize = 32;
const FILLING_MESSAGES: u32 = 3;
const FILLING_BYTES: usize = 16 * 1024;

const _: () = assert!(FILLING_MESSAGES as usize * FILLING_BYTES <= OUTPUT_BYTES_MAX / 4);

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Runs of each way, interleaved.
    pub runs: usize,
    /// Members that read.
    pub readers: usize,
    /// Members that have stopped.
    pub stopped: usize,
    /// Messages of a round; each reaches every member that reads before the next round.
    pub messages: u32,
    /// What becomes of messages for those who stopped.
    pub overflow: Overflow,
    /// Before measuring begins.
    pub warmup: Duration,
    /// The measured part.
    pub duration: Duration,
    /// Cores of the server.
    pub server_cpus: Vec<usize>,
}

struct Member;

impl SocketHandler for Member {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        if socket.subscribe(ROOM).is_err() {
            socket.abort();
        }
    }

    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        // Of the same key: with `KeepLatest`, one waits for each member.
        if sws::topics().publish(ROOM, sws::Publication::from(message).key(1)).is_err() {
            socket.abort();
        }
    }
}

/// Serves, and never returns, if this process was started to serve. Call it first in `main`.
pub fn serve_if_asked() {
    let mut args = env::args().skip(1);
    if args.next().as_deref() != Some(MARK) {
        return;
    }
    let overflow = args.next().and_then(|name| overflow_of(&name));
    let addr: Option<SocketAddr> = args.next().and_then(|addr| addr.parse().ok());
    let (Some(overflow), Some(addr)) = (overflow, addr) else {
        eprintln!("{MARK} OVERFLOW ADDR");
        std::process::exit(2);
    };
    if let Err(error) = serve(overflow, addr) {
        eprintln!("{error}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

/// A policy by its name, as a command line gives it.
pub fn overflow_of(name: &str) -> Option<Overflow> {
    Some(match name {
        "drop-oldest" => Overflow::DropOldest,
        "keep-latest" => Overflow::KeepLatest,
        "close" => Overflow::Close,
        _ => return None,
    })
}

fn name_of(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::DropOldest => "drop-oldest",
        Overflow::KeepLatest => "keep-latest",
        Overflow::Close | Overflow::Refuse => "close",
    }
}

fn serve(overflow: Overflow, addr: SocketAddr) -> Result<(), sws::ServeError> {
    let options = SocketOptions {
        overflow,
        output_bytes_max: OUTPUT_BYTES_MAX,
        // Those who stopped stay.
        ping_interval: None,
        pong_timeout: Duration::from_secs(3600),
        ..SocketOptions::default()
    };
    sws::Server::bind(addr)?.serve(move || {
        let options = options.clone();
        Router::new()
            .get(ROOM, move |upgrade: WebSocketUpgrade| upgrade.options(options.clone()).accept(Member))
    })
}

fn start(plan: &Plan) -> io::Result<Server> {
    let addr = process::free_address()?;
    let mut command = Command::new(env::current_exe()?);
    command.arg(MARK).arg(name_of(plan.overflow)).arg(addr.to_string());
    Server::start(command, addr, &plan.server_cpus)
}

/// Rows of one table: nobody has stopped, and some have.
pub fn measure(plan: &Plan) -> io::Result<Vec<Row>> {
    assert!(plan.runs > 0 && plan.readers > 0, "there is something to measure");
    let name = |stopped| format!("{} read, {stopped} stopped", plan.readers);
    let mut rows = vec![
        Row { name: name(0), is_floor: true, runs: Vec::new() },
        Row { name: name(plan.stopped), is_floor: false, runs: Vec::new() },
    ];
    for run in 0..plan.runs {
        for turn in 0..rows.len() {
            let at = (run + turn) % rows.len();
            let stopped = if at == 0 { 0 } else { plan.stopped };
            rows[at].runs.push(measure_one(plan, stopped).map_err(io::Error::other)?);
        }
    }
    Ok(rows)
}

fn measure_one(plan: &Plan, stopped: usize) -> Result<Vec<Figure>, Box<dyn std::error::Error + Send + Sync>> {
    let mut server = start(plan)?;
    let held = WsIdleSet::open_in_segments(server.addr(), ROOM, stopped)?;
    let rounds = |members, content, warmup, duration| Broadcast {
        path: ROOM.into(),
        members,
        publishers: 1,
        content,
        warmup,
        duration,
    };
    let before = server.rss_bytes()?;
    let filling = Content::text(FILLING_BYTES).times(FILLING_MESSAGES);
    for _ in 0..FILLINGS {
        // Two rounds: one before measuring, one of it.
        let report =
            broadcast(server.addr(), &rounds(1, filling, Duration::ZERO, Duration::ZERO), &mut |_| {})?;
        if report.errors.total() > 0 {
            return Err(format!("{report}").into());
        }
    }
    let content = Content::text(64).times(plan.messages);
    let (mut open, mut close) = (Ok(CpuTime::default()), Ok(CpuTime::default()));
    let rounds = rounds(plan.readers, content, plan.warmup, plan.duration);
    let report = broadcast(server.addr(), &rounds, &mut |edge| match edge {
        Edge::Open => open = server.cpu(),
        Edge::Close => close = server.cpu(),
    })?;
    if report.errors.total() > 0 || report.answers == 0 {
        return Err(format!("{report}").into());
    }
    let grown = server.rss_bytes()?.saturating_sub(before);
    drop(held);
    server.stop()?;
    let (spent, _) = close?.since(&open?);
    let us = |quantile| report.latency.quantile(quantile).as_secs_f64() * 1e6;
    Ok(vec![
        Figure::new("p50 us", us(0.5), 0).against_floor(),
        Figure::new("p99 us", us(0.99), 0).against_floor(),
        Figure::new("deliveries/s", report.rate(), 0),
        Figure::new("CPU us/delivery", spent.as_secs_f64() * 1e6 / report.answers as f64, 2).against_floor(),
        Figure::new("server grew by MB", grown as f64 / 1e6, 1),
    ])
}
