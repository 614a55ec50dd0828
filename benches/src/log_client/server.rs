//! The servers of the log's measurements, each with a folder of its own on the disk in question.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::compare::default_load_cpu;
use crate::process::{self, Server};
use crate::sys;
use clap::Args;

/// The name of Redis' program.
pub const REDIS: &str = "redis-server";

/// A folder that is deleted with all that is in it.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one in `parent`.
    pub fn create(parent: &Path, name: &str) -> io::Result<Folder> {
        let path = parent.join(format!("log-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let deleted = std::fs::remove_dir_all(&self.0);
        // What deleting leaves to the disk is not to be part of the next run.
        let synced = deleted.and_then(|()| File::open(self.0.parent().unwrap_or(Path::new("/")))?.sync_all());
        if let Err(error) = synced {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// A running server and its folder, which goes with it.
pub struct Running {
    /// The process.
    pub server: Server,
    /// Its data.
    pub folder: Folder,
}

/// Starts the example `log_server` over an empty log.
pub fn start_sws(program: &Path, parent: &Path, args: &[&str], cpus: &[usize]) -> io::Result<Running> {
    start_sws_over(program, Folder::create(parent, "sws")?, args, cpus)
}

/// Starts the example `log_server` over a log.
pub fn start_sws_over(program: &Path, folder: Folder, args: &[&str], cpus: &[usize]) -> io::Result<Running> {
    let addr = process::free_address()?;
    let mut command = Command::new(program);
    command.arg("--listen").arg(addr.to_string()).arg("--data").arg(folder.path()).args(args);
    Ok(Running { server: Server::start(command, addr, cpus)?, folder })
}

/// Starts Redis with a sync for each turn of its loop, and without the rewriting of its file, which would cost it time.
pub fn start_redis(parent: &Path, cpus: &[usize]) -> io::Result<Running> {
    let folder = Folder::create(parent, "redis")?;
    let addr = process::free_address()?;
    let mut command = Command::new(REDIS);
    let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
    command.args([
        "--bind",
        &ip,
        "--port",
        &port,
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ]);
    command.args(["--auto-aof-rewrite-percentage", "0", "--dir"]).arg(folder.path());
    Ok(Running { server: Server::start(command, addr, cpus)?, folder })
}

/// Whether Redis is installed.
pub fn has_redis() -> bool {
    Command::new(REDIS).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Where `cargo build --release -p examples --example log_server` puts its program, seen from this one.
pub fn default_sws() -> PathBuf {
    let exe = env::current_exe().unwrap_or_default();
    let profile_folder = exe.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    profile_folder.unwrap_or(Path::new("")).join("examples/log_server")
}

/// The option of what is measured on a disk.
#[derive(Args, Clone, Debug)]
pub struct DirArgs {
    /// A folder on the disk in question, not on a tmpfs [default: that of this program].
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl DirArgs {
    /// The folder.
    pub fn folder(self) -> io::Result<PathBuf> {
        // On a disk, unless it was built on none.
        self.dir.map_or_else(|| env::current_exe().map(|program| program.with_file_name("")), Ok)
    }
}

/// The options of what is measured at a server of its own, over a folder.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// The program of sws [default: examples/log_server beside this program].
    #[arg(long)]
    sws: Option<PathBuf>,
    #[command(flatten)]
    dir: DirArgs,
    /// Cores of the server.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    server_cpus: Vec<usize>,
    /// Core of this process [default: 1 where there are two].
    #[arg(long)]
    load_cpu: Option<usize>,
}

/// Where a server of its own is measured.
#[derive(Clone, Debug)]
pub struct Place {
    /// The program of sws.
    pub sws: PathBuf,
    /// A folder on the disk in question.
    pub dir: PathBuf,
    /// Cores of the server.
    pub server_cpus: Vec<usize>,
}

impl ServerArgs {
    /// Puts this process on its core; the server's program, folder and cores.
    pub fn place(self) -> io::Result<Place> {
        sys::pin_to_cpus(&[self.load_cpu.unwrap_or_else(default_load_cpu)])?;
        let sws = self.sws.unwrap_or_else(default_sws);
        Ok(Place { sws, dir: self.dir.folder()?, server_cpus: self.server_cpus })
    }
}

/// Records that the log has written so far, and the batches in which they were.
pub fn stats(addr: SocketAddr) -> io::Result<(u64, u64)> {
    let (status, body) = ask(addr, "GET", "/stats", "")?;
    let value: serde_json::Value = serde_json::from_str(&body)?;
    let number = |name: &str| value[name].as_u64();
    match (status, number("records"), number("commits")) {
        (200, Some(records), Some(commits)) => Ok((records, commits)),
        _ => Err(io::Error::other(format!("/stats answered {status} {body:?}"))),
    }
}

/// Makes a topic with these settings.
pub fn create_topic(addr: SocketAddr, topic: &str, config: &str) -> io::Result<()> {
    match ask(addr, "PUT", &format!("/topics/{topic}"), config)? {
        (200 | 201, _) => Ok(()),
        (status, body) => Err(io::Error::other(format!("{topic} was not made: {status} {body}"))),
    }
}

/// Asks once, on a connection of its own: the status and the body.
pub fn ask(addr: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr)?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}
