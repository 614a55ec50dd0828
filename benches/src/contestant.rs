//! The servers that are compared, and how each is started.
//!
//! Those of this crate run inside the measuring program: it starts itself again with
//! `--serve-as-contestant NAME SERVICE ADDR`, which [`serve_if_asked`] takes before anything else. So one build holds
//! all of them, and none can be stale.

use std::env;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::floor::{self, Mode};
use crate::process::{self, Server};
use crate::{peers, sys, ws_floor, ws_peers};

/// A server under measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Contestant {
    /// The floor over io_uring.
    FloorUring,
    /// The floor over io_uring with the kernel's minimum wait.
    FloorUringMinwait,
    /// The floor over io_uring, connections held by polls.
    FloorUringPoll,
    /// The floor over edge-triggered epoll.
    FloorEpoll,
    /// The floor over level-triggered epoll.
    FloorRwEpoll,
    /// hyper on one thread.
    Hyper,
    /// axum on one thread.
    Axum,
    /// tokio-tungstenite on one thread.
    Tungstenite,
    /// fastwebsockets over hyper on one thread.
    Fastwebsockets,
    /// The example `bench_server` of this workspace.
    Sws,
}

/// What a server is started for. The floors have a loop of its own for each; others serve several at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// Requests and answers.
    Http,
    /// WebSockets at `/ws` and `/room`.
    Websocket,
    /// The same, with permessage-deflate.
    WebsocketDeflate,
}

const MARK: &str = "--serve-as-contestant";

/// Serves, and never returns, if this process was started as a contestant. Call it first in `main`.
pub fn serve_if_asked() {
    let mut args = env::args().skip(1);
    if args.next().as_deref() != Some(MARK) {
        return;
    }
    let contestant = args.next().and_then(|name| Contestant::from_str(&name, false).ok());
    let service = args.next().and_then(|name| Service::from_str(&name, false).ok());
    let addr = args.next().and_then(|addr| addr.parse().ok());
    let (Some(contestant), Some(service), Some(addr)) = (contestant, service, addr) else {
        eprintln!("{MARK} NAME SERVICE ADDR");
        std::process::exit(2);
    };
    if let Err(error) = sys::listen(addr).and_then(|listener| contestant.serve(service, listener)) {
        eprintln!("{contestant}: {error}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

impl Contestant {
    /// True for those whose CPU time is the physical reference.
    pub fn is_floor(self) -> bool {
        self.floor_mode().is_some()
    }

    /// Whether it has what a service asks for.
    pub fn serves(self, service: Service) -> bool {
        match self {
            Contestant::FloorUring
            | Contestant::FloorUringMinwait
            | Contestant::FloorUringPoll
            | Contestant::FloorEpoll
            | Contestant::FloorRwEpoll => service != Service::WebsocketDeflate,
            Contestant::Hyper | Contestant::Axum => service == Service::Http,
            Contestant::Tungstenite | Contestant::Fastwebsockets => service == Service::Websocket,
            Contestant::Sws => true,
        }
    }

    /// Starts it for `service` on `cpus`, at a free address. `sws` is the program to run for [`Contestant::Sws`].
    pub fn start(self, service: Service, sws: &Path, cpus: &[usize]) -> io::Result<Server> {
        let addr = process::free_address()?;
        let mut command;
        if self == Contestant::Sws {
            command = Command::new(sws);
            command.arg("--listen").arg(addr.to_string());
            if service == Service::WebsocketDeflate {
                command.arg("--deflate");
            }
        } else {
            command = Command::new(env::current_exe()?);
            command.args([MARK, &self.to_string(), &service.to_string(), &addr.to_string()]);
        }
        Server::start(command, addr, cpus)
    }

    fn serve(self, service: Service, listener: TcpListener) -> io::Result<()> {
        match (self.floor_mode(), self, service) {
            (Some(mode), _, Service::Http) => floor::serve(mode, listener),
            (Some(mode), _, Service::Websocket) => ws_floor::serve(mode, listener),
            (None, Contestant::Hyper, Service::Http) => peers::serve_hyper(listener),
            (None, Contestant::Axum, Service::Http) => peers::serve_axum(listener),
            (None, Contestant::Tungstenite, Service::Websocket) => ws_peers::serve_tungstenite(listener),
            (None, Contestant::Fastwebsockets, Service::Websocket) => {
                ws_peers::serve_fastwebsockets(listener)
            }
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, format!("it does not serve {service} here"))),
        }
    }

    fn floor_mode(self) -> Option<Mode> {
        match self {
            Contestant::FloorUring => Some(Mode::Uring),
            Contestant::FloorUringMinwait => Some(Mode::UringMinwait),
            Contestant::FloorUringPoll => Some(Mode::UringPoll),
            Contestant::FloorEpoll => Some(Mode::Epoll),
            Contestant::FloorRwEpoll => Some(Mode::RwEpoll),
            Contestant::Hyper
            | Contestant::Axum
            | Contestant::Tungstenite
            | Contestant::Fastwebsockets
            | Contestant::Sws => None,
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no contestant is hidden");
        f.write_str(value.get_name())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no service is hidden");
        f.write_str(value.get_name())
    }
}

/// Where `cargo build --release -p examples --example bench_server` puts its program, seen from this one.
pub fn default_sws() -> PathBuf {
    let exe = env::current_exe().unwrap_or_default();
    let profile_folder = exe.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    profile_folder.unwrap_or(Path::new("")).join("examples/bench_server")
}
