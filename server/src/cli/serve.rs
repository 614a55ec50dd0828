//! `sws serve DIR`.

use super::serve_site;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use sws::content::log::OpenError;
use sws::content::site::SiteError;
use sws::http::HeaderValue;
use sws::http1::HeadLimits;
use sws::runtime::fs::Symlinks;
use sws::runtime::{Config, Limits};
use sws::{HttpLimits, Router, ServeDir, ServeError, Server};

/// The most workers: more threads than a machine has cores help nobody.
const WORKERS_MAX: u64 = 1024;
/// The most connections of a worker.
const CONNECTIONS_MAX: u64 = 1 << 20;

/// What is served, where, and within which bounds.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// The folder. One with a folder `content` in it is a site, which is kept live; any other is served as it is.
    pub dir: PathBuf,
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
    /// IO threads, each with a ring and connections of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_most(WORKERS_MAX))]
    pub workers: u64,
    /// Serve /healthz and /metrics on this address.
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Connections of each worker [default: what the process limits allow].
    #[arg(long, value_name = "N", value_parser = at_most(CONNECTIONS_MAX))]
    connections: Option<u64>,
    /// Seconds between an answer and the next request before a connection is closed.
    #[arg(long, value_name = "SECS", default_value = "75", value_parser = seconds)]
    idle_timeout: Duration,
    /// Seconds from the first byte of a request's head to its last.
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = seconds)]
    head_timeout: Duration,
    /// Seconds without any byte of a request's body.
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = seconds)]
    body_timeout: Duration,
    /// Seconds without progress of an answer that is being sent.
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = seconds)]
    write_timeout: Duration,
    /// Seconds that what runs has to finish after SIGINT or SIGTERM.
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = seconds)]
    drain_timeout: Duration,
    /// Bytes of a request's head, at most 65535.
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024, value_parser = RangedU64ValueParser::<u64>::new().range(256..=65_535))]
    head_limit: u64,
    /// Bytes of a request's body that are held in memory.
    #[arg(long, value_name = "BYTES", default_value_t = sws::BODY_BYTES_MAX)]
    body_limit: usize,
    /// The value of Cache-Control on files.
    #[arg(long, value_name = "VALUE", value_parser = HeaderValue::from_str)]
    cache_control: Option<HeaderValue>,
    /// The file that answers for its folder.
    #[arg(long, value_name = "NAME", default_value = "index.html")]
    index: String,
    /// Refuse symbolic links, also those that stay in the folder.
    #[arg(long)]
    no_symlinks: bool,
    /// Of a site: the folder of its log [default: DIR.data, beside it].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Of a site: show drafts too.
    #[arg(long)]
    pub drafts: bool,
    /// Of a site: the bearer token of who may do everything, but write to the topic `site`, which the server alone does.
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
}

fn at_most(most: u64) -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=most)
}

/// A time of more than nothing, in seconds, with or without a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match time {
        Some(time) if !time.is_zero() => Ok(time),
        Some(_) | None => Err("a number of seconds over 0 is wanted".to_owned()),
    }
}

/// Why nothing is served.
#[derive(Debug)]
pub enum Failure {
    /// What only a site can have was asked for a plain folder.
    NoSite(PathBuf),
    /// The folder.
    Folder(PathBuf, io::Error),
    /// The site.
    Site(SiteError),
    /// The log of the site, in this folder.
    Log(PathBuf, OpenError),
    /// The address that this option has named.
    Listen(&'static str, ServeError),
    /// The server.
    Serve(ServeError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Folder(path, error) => {
                write!(f, "cannot serve {}: ", path.display())?;
                match error.kind() {
                    ErrorKind::NotFound => f.write_str("there is no such folder"),
                    ErrorKind::NotADirectory => f.write_str("it is not a folder"),
                    ErrorKind::PermissionDenied => f.write_str("there is no permission to read it"),
                    _ => error.fmt(f),
                }
            }
            Failure::NoSite(dir) => write!(
                f,
                "{} has no folder `content`, so it is no site: --data, --drafts and --token say nothing of it",
                dir.display()
            ),
            Failure::Site(error) => error.fmt(f),
            Failure::Log(data, error) => {
                let hint = "stop it first, or name another folder (--data says where the log is)";
                f.write_str(&super::not_opened(data, error, hint))
            }
            Failure::Listen(option, error) => {
                error.fmt(f)?;
                match error {
                    ServeError::Address { .. } => write!(f, "; {option} wants one such as 127.0.0.1:8081"),
                    ServeError::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse => {
                        write!(f, "; {option} names another address")
                    }
                    _ => Ok(()),
                }
            }
            Failure::Serve(error) => error.fmt(f),
        }
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Failure {
        Failure::Serve(error)
    }
}

/// Serves until a signal ends it.
pub fn serve(args: &ServeArgs) -> Result<(), Failure> {
    if serve_site::is_site(&args.dir) {
        return serve_site::serve_site(args);
    }
    if args.data.is_some() || args.drafts || args.token.is_some() {
        // Somebody may think that it keeps others out.
        return Err(Failure::NoSite(args.dir.clone()));
    }
    let site = site(args).map_err(|error| Failure::Folder(args.dir.clone(), error))?;
    let server = bound(args)?;
    let line = announcement(&args.dir, &server);
    let missing = AtomicU64::new(args.workers);
    server.serve(move || {
        // Each worker makes its router when it is there itself; with the last one all are.
        if missing.fetch_sub(1, Ordering::Relaxed) == 1 {
            announce(&line);
        }
        Router::new().fallback(site.clone())
    })?;
    Ok(())
}

/// The server, listening.
pub fn bound(args: &ServeArgs) -> Result<Server, Failure> {
    let server = Server::bind(args.listen.as_str()).and_then(|server| server.workers(args.workers as usize));
    let mut server = server.map_err(|error| Failure::Listen("--listen", error))?;
    if let Some(addr) = &args.admin {
        server = server.admin(addr.as_str()).map_err(|error| Failure::Listen("--admin", error))?;
    }
    Ok(server.limits(http_limits(args)).config(config(args)))
}

fn site(args: &ServeArgs) -> io::Result<ServeDir> {
    let mut site = ServeDir::new(&args.dir)?.index(&args.index);
    if let Some(value) = &args.cache_control {
        site = site.cache_control(value.clone());
    }
    Ok(if args.no_symlinks { site.symlinks(Symlinks::Refuse) } else { site })
}

fn http_limits(args: &ServeArgs) -> HttpLimits {
    HttpLimits {
        head: HeadLimits { head_bytes_max: args.head_limit as usize, ..HeadLimits::default() },
        body_bytes_max: args.body_limit,
        head_timeout: args.head_timeout,
        body_timeout: args.body_timeout,
        idle_timeout: args.idle_timeout,
        write_timeout: args.write_timeout,
        ..HttpLimits::default()
    }
}

fn config(args: &ServeArgs) -> Config {
    let connections_max = args.connections.unwrap_or(0) as u32;
    Config {
        limits: Limits { connections_max, drain_timeout: args.drain_timeout, ..Limits::default() },
        ..Config::default()
    }
}

/// Says what is served where.
fn announcement(dir: &Path, server: &Server) -> String {
    let admin = server.admin_addr().map_or_else(String::new, |addr| format!(", admin on http://{addr}"));
    format!("serving {} on http://{}{admin}", dir.display(), server.addr())
}

/// Prints what is served.
pub fn announce(line: &str) {
    let mut out = io::stdout().lock();
    // A server whose output nobody reads serves all the same.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(seconds("2"), Ok(Duration::from_secs(2)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["0", "-1", "1s", "", "nan", "inf", "1e300"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn failures_name_the_folder_and_what_is_wrong() {
        let table = [
            (ErrorKind::NotFound, "cannot serve x/y: there is no such folder"),
            (ErrorKind::NotADirectory, "cannot serve x/y: it is not a folder"),
            (ErrorKind::PermissionDenied, "cannot serve x/y: there is no permission to read it"),
        ];
        for (kind, text) in table {
            assert_eq!(Failure::Folder("x/y".into(), kind.into()).to_string(), text);
        }
    }
}
