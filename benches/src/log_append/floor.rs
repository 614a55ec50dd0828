//! The least that sending a file takes: a head, and `sendfile` until all is sent.
//!
//! Unsafe: one call over two descriptors that the function's borrows keep open.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use crate::process::{self, Server};

const MARK: &str = "--serve-by-sendfile";

/// Serves, and never returns, if this process was started by [`start`]. Call it first in `main`.
pub fn serve_if_asked() {
    let mut args = env::args().skip(1);
    if args.next().as_deref() != Some(MARK) {
        return;
    }
    let addr = args.next().and_then(|addr| addr.parse::<SocketAddr>().ok());
    let (Some(addr), Some(path)) = (addr, args.next()) else {
        eprintln!("{MARK} ADDR PATH");
        std::process::exit(2);
    };
    if let Err(error) = serve(addr, Path::new(&path)) {
        eprintln!("{path}: {error}");
        std::process::exit(1);
    }
}

/// Starts it on `cpus`.
pub fn start(path: &Path, cpus: &[usize]) -> io::Result<Server> {
    let addr = process::free_address()?;
    let mut command = Command::new(env::current_exe()?);
    command.arg(MARK).arg(addr.to_string()).arg(path);
    Server::start(command, addr, cpus)
}

fn serve(addr: SocketAddr, path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    for stream in TcpListener::bind(addr)?.incoming() {
        // A client that goes is no reason to end.
        let _ = answer(&stream?, &file);
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, file: &File) -> io::Result<()> {
    if stream.read(&mut [0; 4096])? == 0 {
        return Ok(());
    }
    let len = file.metadata()?.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut at: libc::off_t = 0;
    while (at as u64) < len {
        // SAFETY: both descriptors are open, as the borrows say, and `at` outlives the call, which advances it.
        let sent = unsafe {
            libc::sendfile(stream.as_raw_fd(), file.as_raw_fd(), &mut at, (len - at as u64) as usize)
        };
        if sent <= 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
