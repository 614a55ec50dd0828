//! The least that sending a file takes without copying it through this process: a head, and `sendfile` until all is sent, or the same by
//! splices of a ring, over a pipe.
//!
//! Unsafe: calls and operations over descriptors that the function's borrows keep open, and that name no other memory.

use io_uring::types::Fd;
use io_uring::{IoUring, opcode, squeue};
use std::env;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use crate::process::{self, Server};

/// How the file gets to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By `sendfile(2)`.
    Sendfile,
    /// By `IORING_OP_SPLICE` into a pipe, and out of it.
    Splice,
}

impl Way {
    fn mark(self) -> &'static str {
        match self {
            Way::Sendfile => "--serve-by-sendfile",
            Way::Splice => "--serve-by-splice",
        }
    }
}

/// Bytes of the pipe: as many as one may have without privileges.
const PIPE_BYTES: u32 = 1 << 20;

/// Serves, and never returns, if this process was started by [`start`]. Call it first in `main`.
pub fn serve_if_asked() {
    let mut args = env::args().skip(1);
    let mark = args.next();
    let ways = [Way::Sendfile, Way::Splice];
    let Some(way) = ways.into_iter().find(|way| mark.as_deref() == Some(way.mark())) else { return };
    let addr = args.next().and_then(|addr| addr.parse::<SocketAddr>().ok());
    let (Some(addr), Some(path)) = (addr, args.next()) else {
        eprintln!("{} ADDR PATH", way.mark());
        std::process::exit(2);
    };
    if let Err(error) = serve(way, addr, Path::new(&path)) {
        eprintln!("{path}: {error}");
        std::process::exit(1);
    }
}

/// Starts it on `cpus`.
pub fn start(way: Way, path: &Path, cpus: &[usize]) -> io::Result<Server> {
    let addr = process::free_address()?;
    let mut command = Command::new(env::current_exe()?);
    command.arg(way.mark()).arg(addr.to_string()).arg(path);
    Server::start(command, addr, cpus)
}

fn serve(way: Way, addr: SocketAddr, path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let mut splicer = Splicer::new()?;
    for stream in TcpListener::bind(addr)?.incoming() {
        let stream = stream?;
        // A client that goes is no reason to end.
        let _ = answer(&stream, &file, |at, len| match way {
            Way::Sendfile => send_file(&stream, &file, at, len),
            Way::Splice => splicer.send(&stream, &file, at, len),
        });
    }
    Ok(())
}

/// Answers with the file; `send` sends a part of it from an offset on, and says how much that was.
fn answer(
    mut stream: &TcpStream,
    file: &File,
    mut send: impl FnMut(u64, u64) -> io::Result<u64>,
) -> io::Result<()> {
    if stream.read(&mut [0; 4096])? == 0 {
        return Ok(());
    }
    let len = file.metadata()?.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut at = 0;
    while at < len {
        match send(at, len - at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            sent => at += sent,
        }
    }
    Ok(())
}

fn send_file(stream: &TcpStream, file: &File, at: u64, len: u64) -> io::Result<u64> {
    let mut at = at as libc::off_t;
    // SAFETY: both descriptors are open, as the borrows say, and `at` outlives the call, which advances it.
    let sent = unsafe { libc::sendfile(stream.as_raw_fd(), file.as_raw_fd(), &mut at, len as usize) };
    u64::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// A ring and a pipe.
struct Splicer {
    ring: IoUring,
    reader: PipeReader,
    writer: PipeWriter,
}

impl Splicer {
    fn new() -> io::Result<Splicer> {
        let (reader, writer) = io::pipe()?;
        // SAFETY: names no memory; the descriptor is open.
        if unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(8)?;
        Ok(Splicer { ring, reader, writer })
    }

    fn send(&mut self, stream: &TcpStream, file: &File, at: u64, len: u64) -> io::Result<u64> {
        let len = len.min(u64::from(PIPE_BYTES)) as u32;
        let [file, writer, reader, stream] =
            [file.as_raw_fd(), self.writer.as_raw_fd(), self.reader.as_raw_fd(), stream.as_raw_fd()].map(Fd);
        let fill = opcode::Splice::new(file, at as i64, writer, -1, len).build();
        let mut filled = self.run(&fill.user_data(0))?;
        let sent = u64::from(filled);
        while filled > 0 {
            let drain = opcode::Splice::new(reader, -1, stream, -1, filled).build();
            filled -= self.run(&drain.user_data(1))?;
        }
        Ok(sent)
    }

    /// Runs one operation; what it returns.
    fn run(&mut self, entry: &squeue::Entry) -> io::Result<u32> {
        // SAFETY: a splice names descriptors only, which are open until it has completed, below.
        unsafe { self.ring.submission().push(entry) }.map_err(io::Error::other)?;
        self.ring.submit_and_wait(1)?;
        let result = self.ring.completion().next().map_or(0, |completion| completion.result());
        u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
    }
}
