//! Through the library: appending without a sync, and reading sealed segments.
//!
//! Unsafe: one call over a descriptor that the function has open, and memory that is mapped, touched and unmapped in one function.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sws::Log;
use sws::content::log::{Acks, Entry, FetchMax, Flush, ProduceOptions, TopicConfig};
use sws::runtime::{Runtime, go};

use crate::log_client::payload;
use crate::log_client::protocol::TOPIC;
use crate::log_storage::clock;

/// Records of one batch.
const BATCH_RECORDS: usize = 256;
const PAGE_BYTES: usize = 4096;
/// Bytes of a record's payload.
const PAYLOAD_BYTES: usize = 1024;
/// Bytes of one call of the plain loops.
pub const PIECE_BYTES: usize = BATCH_RECORDS * PAYLOAD_BYTES;
/// Of so many batches the last waits until it is written, so that the queue has room for the others.
const BATCHES_PER_WAIT: usize = 8;
/// Fibers that append at the same time, where each waits.
const FIBERS: usize = 4;

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// The log, each batch awaited until it is written.
    Written,
    /// The log, hardly any batch awaited.
    None,
    /// A loop of writes.
    Plain,
    /// `dd`.
    Dd,
}

impl Append {
    /// All, in the order of the table.
    pub const ALL: [Append; 4] = [Append::Written, Append::None, Append::Plain, Append::Dd];

    /// The name of the row.
    pub fn name(self) -> &'static str {
        match self {
            Append::Written => "sws, acks: written",
            Append::None => "sws, acks: none",
            Append::Plain => "loop of writes",
            Append::Dd => "dd",
        }
    }
}

/// Where what is appended, or read, is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// In the page cache.
    Cache,
    /// On the disk: all of it at the end of appending, none of it elsewhere when reading begins.
    Disk,
}

impl Medium {
    /// Both.
    pub const ALL: [Medium; 2] = [Medium::Cache, Medium::Disk];

    /// In a heading.
    pub fn name(self) -> &'static str {
        match self {
            Medium::Cache => "in the page cache",
            Medium::Disk => "on the disk",
        }
    }
}

/// Bytes that were handled, the time, and this process's CPU time.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// Bytes of payload, or of the file.
    pub bytes: u64,
    /// From the first call to the end of the last.
    pub elapsed: Duration,
    /// Zero where another process did it.
    pub cpu: Duration,
}

fn timed(work: impl FnOnce() -> io::Result<u64>) -> io::Result<Took> {
    let (begin, cpu) = (Instant::now(), clock::process_cpu()?);
    let bytes = work()?;
    Ok(Took { bytes, elapsed: begin.elapsed(), cpu: clock::process_cpu()? - cpu })
}

/// Appends so many bytes of payload in a new folder.
pub fn append(who: Append, medium: Medium, dir: &Path, bytes: u64) -> io::Result<Took> {
    let pieces = bytes.div_ceil(PIECE_BYTES as u64) as usize;
    let path = dir.join("plain");
    match who {
        Append::Written => append_log(dir, medium, pieces, FIBERS),
        Append::None => append_log(dir, medium, pieces, 1),
        Append::Plain => {
            let piece = payload(PIECE_BYTES).into_bytes();
            let mut file = File::create(path)?;
            timed(|| {
                (0..pieces).try_for_each(|_| file.write_all(&piece))?;
                if medium == Medium::Disk {
                    file.sync_data()?;
                }
                Ok((pieces * PIECE_BYTES) as u64)
            })
        }
        Append::Dd => {
            let mut command = Command::new("dd");
            command
                .arg("if=/dev/zero")
                .arg(format!("of={}", path.display()))
                .arg(format!("bs={PIECE_BYTES}"));
            if medium == Medium::Disk {
                command.arg("conv=fdatasync");
            }
            command.arg(format!("count={pieces}")).stdin(Stdio::null()).stderr(Stdio::null());
            let mut took = timed(|| match command.status()?.success() {
                true => Ok((pieces * PIECE_BYTES) as u64),
                false => Err(io::Error::other("dd failed")),
            })?;
            took.cpu = Duration::ZERO;
            Ok(took)
        }
    }
}

fn append_log(dir: &Path, medium: Medium, pieces: usize, fibers: usize) -> io::Result<Took> {
    let (log, _) = Log::open(dir).map_err(io::Error::other)?;
    let runtime = Runtime::new(Default::default()).map_err(io::Error::other)?;
    runtime.block_on_fiber(move || {
        log.create_topic(TOPIC, TopicConfig::default().flush(Flush::OnRequest)).map_err(io::Error::other)?;
        let took = timed(|| {
            let producers: Vec<_> = (0..fibers)
                .map(|number| {
                    let (log, share) = (log.clone(), pieces / fibers + usize::from(number < pieces % fibers));
                    go("append", move || produce(&log, share, fibers == 1))
                })
                .collect();
            for producer in producers {
                producer.join().map_err(|error| io::Error::other(error.to_string()))??;
            }
            if medium == Medium::Disk {
                log.flush(TOPIC).map_err(io::Error::other)?;
            }
            Ok((pieces * PIECE_BYTES) as u64)
        });
        log.close();
        took
    })
}

fn produce(log: &Log, batches: usize, hardly_waits: bool) -> io::Result<()> {
    let payload = payload(PAYLOAD_BYTES);
    let entries = vec![Entry::text(&payload); BATCH_RECORDS];
    for batch in 1..=batches {
        let waits = !hardly_waits || batch % BATCHES_PER_WAIT == 0 || batch == batches;
        let acks = if waits { Acks::Written } else { Acks::None };
        let options = ProduceOptions::default().acks(acks);
        log.produce_batch(TOPIC, &entries, options).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Fills a log with so many bytes of payload, in segments of a size.
pub fn fill(dir: &Path, bytes: u64, segment_bytes: u64) -> io::Result<()> {
    let (log, _) = Log::open(dir).map_err(io::Error::other)?;
    let runtime = Runtime::new(Default::default()).map_err(io::Error::other)?;
    runtime.block_on_fiber(move || {
        let config = TopicConfig::default().flush(Flush::OnRequest).segment_bytes(segment_bytes);
        log.create_topic(TOPIC, config).map_err(io::Error::other)?;
        produce(&log, bytes.div_ceil(PIECE_BYTES as u64) as usize, true)?;
        log.flush(TOPIC).map_err(io::Error::other)?;
        log.close();
        Ok(())
    })
}

/// Has the page cache forget the segments of a log.
pub fn forget(dir: &Path) -> io::Result<()> {
    for path in segments(dir)? {
        let file = File::open(path)?;
        // SAFETY: takes no pointers; the descriptor is open.
        match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
            0 => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
    Ok(())
}

/// Touches free memory and gives it back. Where a host takes free memory of its guests back, the first use of a page costs a fault
/// there, and pages of a file that come from such memory would cost whoever reads first more than all others.
pub fn touch_memory(bytes: u64) -> io::Result<()> {
    let len = bytes as usize;
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches no other memory; nothing outside of it is written, and
    // nobody has it when it is unmapped.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let begin = libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if begin == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // In large pages, as a host backs it.
        libc::madvise(begin, len, libc::MADV_HUGEPAGE);
        for at in (0..len).step_by(PAGE_BYTES) {
            begin.cast::<u8>().add(at).write_volatile(1);
        }
        libc::munmap(begin, len);
    }
    Ok(())
}

/// Reads the whole log through fetches of 1 MB: bytes as they are stored.
pub fn fetch(dir: &Path) -> io::Result<Took> {
    read_log(dir, |log| {
        let (mut at, mut bytes) = (0, 0);
        loop {
            let records = log.fetch(TOPIC, 0, at, FetchMax::default()).map_err(io::Error::other)?;
            if records.is_empty() {
                return Ok(bytes);
            }
            bytes += records.encoded().map(|piece| piece.len() as u64).sum::<u64>();
            at = records.next;
        }
    })
}

/// Reads the sealed segments of a log as they are stored, on its ring and in pieces of so many bytes. Who sends them on does so.
pub fn fetch_stored(dir: &Path, piece_bytes: usize) -> io::Result<Took> {
    read_log(dir, move |log| {
        let (mut buffer, mut at, mut bytes) = (vec![0; piece_bytes], 0, 0);
        while let Some(stored) = log.fetch_stored(TOPIC, 0, at, u64::MAX).map_err(io::Error::other)? {
            let mut read = 0;
            while read < stored.len {
                let most = piece_bytes.min((stored.len - read) as usize);
                match stored.file.read_at(&mut buffer[..most], stored.position + read)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    got => read += got as u64,
                }
            }
            (at, bytes) = (stored.next, bytes + read);
        }
        Ok(bytes)
    })
}

fn read_log(dir: &Path, read: impl FnOnce(&Log) -> io::Result<u64> + 'static) -> io::Result<Took> {
    let (log, _) = Log::open(dir).map_err(io::Error::other)?;
    let runtime = Runtime::new(Default::default()).map_err(io::Error::other)?;
    runtime.block_on_fiber(move || {
        let took = timed(|| read(&log));
        log.close();
        took
    })
}

/// The files of the segments of a log.
pub fn segments(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir.join(TOPIC).join("0"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads the same files by a plain loop, in pieces of so many bytes.
pub fn read_plain(dir: &Path, piece_bytes: usize) -> io::Result<Took> {
    let paths = segments(dir)?;
    timed(|| {
        let (mut buffer, mut bytes) = (vec![0; piece_bytes], 0);
        for path in paths {
            let file = File::open(path)?;
            let mut at = 0;
            loop {
                match file.read_at(&mut buffer, at)? {
                    0 => break,
                    got => at += got as u64,
                }
            }
            bytes += at;
        }
        Ok(bytes)
    })
}

/// Reads an answer of HTTP to its end: how many bytes came.
pub fn download(addr: std::net::SocketAddr, path: &str, buffer: &mut [u8]) -> io::Result<u64> {
    let mut stream = std::net::TcpStream::connect(addr)?;
    // In one write: a server that reads once is to have all of it.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let first = stream.read(buffer)?;
    if !buffer[..first].starts_with(b"HTTP/1.1 200 ") {
        return Err(io::Error::other(format!("{path} is not given")));
    }
    let mut bytes = first as u64;
    loop {
        match stream.read(buffer)? {
            0 => return Ok(bytes),
            got => bytes += got as u64,
        }
    }
}
