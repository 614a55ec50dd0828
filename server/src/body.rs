//! Bodies, in both directions.
//!
//! [`RequestBody`] is what a handler reads, [`Body`] is what a [`Response`](crate::Response) carries. Neither knows a
//! socket: the connection stands behind the two private traits `BodySource` (what the peer sends, with
//! back-pressure) and `FileSource` (a file read in pieces), and hands a [`BodyWriter`] to a streaming body.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

use bytes::{Buf, Bytes};
use http::StatusCode;
use sws_runtime::{LargeBlock, acquire_large, release_large};

/// The most bytes that [`Context::body_bytes`](crate::Context::body_bytes) and the extractors built on it hold in
/// memory, unless [`Context::set_body_bytes_max`](crate::Context::set_body_bytes_max) says otherwise: 2 MiB.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of a body up to which it is read into memory of its own; beyond, into blocks of the worker's pool.
const SMALL_BYTES_MAX: u64 = 64 * 1024;

/// Bytes moved per step from a file to a writer.
const COPY_BYTES: usize = 16 * 1024;

/// Where the bytes of a request body come from while the peer is still sending them.
///
/// `read` returns 0 at the end of the body and suspends the calling fiber while there is nothing to read. Errors are
/// either a [`BodyError`] turned into an [`io::Error`], or one of the kinds that [`BodyError::from`] names.
pub(crate) trait BodySource {
    /// Moves the next bytes of the body into `buf`.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// The bytes still to come, where the framing says so.
    fn remaining_hint(&self) -> Option<u64>;
}

/// Reads from one offset of an open file; the calling fiber is suspended until the bytes are there.
pub(crate) trait FileSource: Send {
    /// Reads at most `len` bytes at `offset`, behind what `buf` has; 0 means the end of the file.
    fn read_into(&mut self, buf: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<usize>;

    /// The file itself, if it is one.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// The body of a request, read once, as [`std::io::Read`] or whole.
///
/// Reading suspends the handler until the peer has sent more, and what is not read is not taken from the socket: that
/// is the back-pressure. After a cancellation every read fails with [`BodyError::Cancelled`]; the bytes already
/// copied into the caller's buffer stay there.
///
/// ```
/// use std::io::Read;
/// use sws::{Context, Router, TestClient};
///
/// fn count(ctx: &mut Context) -> std::io::Result<String> {
///     let mut buf = [0; 4];
///     let mut total = 0;
///     loop {
///         match ctx.body().read(&mut buf)? {
///             0 => return Ok(format!("{total} bytes")),
///             n => total += n,
///         }
///     }
/// }
///
/// let client = TestClient::new(Router::new().post("/count", count));
/// assert_eq!(client.post("/count").body("hello, world").send().text(), "12 bytes");
/// ```
#[derive(Default)]
pub struct RequestBody {
    kind: Kind,
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Memory(Bytes),
    Stream(Box<dyn BodySource>),
}

impl RequestBody {
    /// A body without bytes.
    pub const fn empty() -> Self {
        Self { kind: Kind::Empty }
    }

    /// A body that is read from the connection as it arrives.
    pub(crate) fn from_source(source: Box<dyn BodySource>) -> Self {
        Self { kind: Kind::Stream(source) }
    }

    /// The bytes still to be read, or `None` where the peer did not say (chunked).
    pub fn remaining(&self) -> Option<u64> {
        match &self.kind {
            Kind::Empty => Some(0),
            Kind::Memory(bytes) => Some(bytes.len() as u64),
            Kind::Stream(source) => source.remaining_hint(),
        }
    }

    /// Reads what is left of the body into memory, at most `bytes_max` bytes.
    ///
    /// A declared length over the limit is refused before anything is read. The body is empty afterwards.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] over the limit, otherwise what the connection reports.
    pub fn read_whole(&mut self, bytes_max: usize) -> Result<Bytes, BodyError> {
        if self.remaining().is_some_and(|left| left > bytes_max as u64) {
            return Err(BodyError::TooLarge { bytes_max });
        }
        match &mut self.kind {
            Kind::Empty => Ok(Bytes::new()),
            Kind::Memory(bytes) => Ok(std::mem::take(bytes)),
            Kind::Stream(_) => self.read_stream(bytes_max),
        }
    }

    /// Reads to the end: into a small buffer, and beyond that into blocks of the worker's pool, whose number is bounded.
    fn read_stream(&mut self, bytes_max: usize) -> Result<Bytes, BodyError> {
        let mut small = Vec::new();
        self.take(SMALL_BYTES_MAX).read_to_end(&mut small)?;
        if small.len() > bytes_max {
            return Err(BodyError::TooLarge { bytes_max });
        }
        if (small.len() as u64) < SMALL_BYTES_MAX {
            self.kind = Kind::Empty;
            return Ok(Bytes::from(small));
        }
        let mut blocks = vec![acquire_large().ok_or(BodyError::NoMemory)?];
        let mut len = small.len();
        blocks[0].extend_from_slice(&small);
        loop {
            let mut block = match blocks.last_mut() {
                Some(block) if block.len() < block.capacity() => blocks.pop().ok_or(BodyError::NoMemory)?,
                _ => acquire_large().ok_or(BodyError::NoMemory)?,
            };
            let room = (block.capacity() - block.len()) as u64;
            let count = self.take(room).read_to_end(&mut block)?;
            len += count;
            blocks.push(block);
            if len > bytes_max {
                return Err(BodyError::TooLarge { bytes_max });
            }
            if (count as u64) < room {
                break;
            }
        }
        self.kind = Kind::Empty;
        Ok(join(blocks, len))
    }
}

/// One piece of memory out of blocks: the block itself if there is one.
fn join(mut blocks: Vec<LargeBlock>, len: usize) -> Bytes {
    if blocks.len() == 1
        && let Some(block) = blocks.pop()
    {
        return Bytes::from_owner(Whole(block));
    }
    let mut whole = Vec::with_capacity(len);
    for block in blocks {
        whole.extend_from_slice(&block);
        release_large(block);
    }
    Bytes::from(whole)
}

/// A body in a block of its own.
struct Whole(LargeBlock);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Read for RequestBody {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Empty => Ok(0),
            Kind::Memory(bytes) => {
                let count = bytes.len().min(buf.len());
                buf[..count].copy_from_slice(&bytes[..count]);
                bytes.advance(count);
                Ok(count)
            }
            Kind::Stream(source) => source.read(buf),
        }
    }
}

impl From<Bytes> for RequestBody {
    /// A body that is already in memory: middleware that read the body puts it back with this.
    fn from(bytes: Bytes) -> Self {
        Self { kind: Kind::Memory(bytes) }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("remaining", &self.remaining()).finish()
    }
}

/// Why a request body could not be read; as a response it is the status that [`BodyError::status`] names.
///
/// ```
/// use sws::{BodyError, Bytes, Context, Router, TestClient};
///
/// fn upload(ctx: &mut Context) -> Result<Bytes, BodyError> {
///     ctx.body().read_whole(5)
/// }
///
/// let client = TestClient::new(Router::new().post("/", upload));
/// assert_eq!(client.post("/").body("small").send().status(), 200);
/// assert_eq!(client.post("/").body("too large").send().status(), 413);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The body is larger than the limit of the one who reads it: 413.
    TooLarge {
        /// The limit, in bytes.
        bytes_max: usize,
    },
    /// The peer broke the framing or closed before the end: 400.
    Malformed,
    /// The peer sent too slowly: 408.
    TimedOut,
    /// The peer is gone or the server drains; no answer will be read: 503.
    Cancelled,
    /// The worker's blocks for large bodies are all in use: 503 with Retry-After.
    NoMemory,
    /// The connection failed otherwise: 500.
    Failed(io::ErrorKind),
}

impl BodyError {
    /// The status that answers this error.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Cancelled | Self::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn kind(self) -> io::ErrorKind {
        match self {
            Self::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            Self::Malformed => io::ErrorKind::InvalidData,
            Self::TimedOut => io::ErrorKind::TimedOut,
            Self::Cancelled => io::ErrorKind::ConnectionAborted,
            Self::NoMemory => io::ErrorKind::OutOfMemory,
            Self::Failed(kind) => kind,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes_max } => write!(f, "the request body is larger than {bytes_max} bytes"),
            Self::Malformed => f.write_str("the request body is malformed or ends early"),
            Self::TimedOut => f.write_str("the request body did not arrive in time"),
            Self::Cancelled => f.write_str("the request was cancelled"),
            Self::NoMemory => f.write_str("no room for the request body now"),
            Self::Failed(kind) => write!(f, "the request body could not be read: {kind}"),
        }
    }
}

impl Error for BodyError {}

impl From<io::Error> for BodyError {
    /// Finds the `BodyError` inside `error`, or reads its kind: `InvalidData` and `UnexpectedEof` are malformed,
    /// `TimedOut` is timed out, and a connection that is gone is cancelled.
    fn from(error: io::Error) -> Self {
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<BodyError>()) {
            return *inner;
        }
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Malformed,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Self::Cancelled
            }
            kind => Self::Failed(kind),
        }
    }
}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        io::Error::new(error.kind(), error)
    }
}

/// A closure that writes a body piece by piece; see [`Response::stream`](crate::Response::stream).
pub type StreamFn = Box<dyn FnOnce(&mut BodyWriter<'_>) -> io::Result<()> + Send>;

/// The body of a response.
///
/// Every variant is `Send`, because a deferred response is made on one thread and sent by another.
///
/// ```
/// use sws::Body;
///
/// assert_eq!(Body::from("Hello").len(), Some(5)); // static: nothing is allocated
/// assert_eq!(Body::from(vec![1, 2, 3]).len(), Some(3));
/// assert_eq!(Body::stream(|out| std::io::Write::write_all(out, b"later")).len(), None);
/// ```
#[derive(Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// Bytes that live as long as the program.
    Static(&'static [u8]),
    /// Shared bytes.
    Bytes(Bytes),
    /// Owned bytes.
    Buffer(Vec<u8>),
    /// A range of an open file.
    File(FileBody),
    /// Written by a closure while it is sent.
    Stream(StreamFn),
}

impl Body {
    /// A body written by `write` while it is sent, without a known length.
    pub fn stream(write: impl FnOnce(&mut BodyWriter<'_>) -> io::Result<()> + Send + 'static) -> Self {
        Self::Stream(Box::new(write))
    }

    /// The number of bytes, or `None` for a stream.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Static(bytes) => Some(bytes.len() as u64),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Buffer(bytes) => Some(bytes.len() as u64),
            Self::File(file) => Some(file.len),
            Self::Stream(_) => None,
        }
    }

    /// Whether the body is known to have no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The bytes, where they are in memory.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Empty => Some(&[]),
            Self::Static(bytes) => Some(bytes),
            Self::Bytes(bytes) => Some(bytes),
            Self::Buffer(bytes) => Some(bytes),
            Self::File(_) | Self::Stream(_) => None,
        }
    }

    /// Writes the whole body to `out`: the way of a file and a stream alike.
    ///
    /// # Errors
    /// What `out`, the file or the streaming closure reports; `UnexpectedEof` where the file is shorter than it was.
    pub fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Empty => Ok(()),
            Self::Static(bytes) => out.write_all(bytes),
            Self::Bytes(bytes) => out.write_all(&bytes),
            Self::Buffer(bytes) => out.write_all(&bytes),
            Self::File(file) => file.write_to(out),
            Self::Stream(write) => write(&mut BodyWriter::new(out)),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Empty => "Empty",
            Self::Static(_) => "Static",
            Self::Bytes(_) => "Bytes",
            Self::Buffer(_) => "Buffer",
            Self::File(_) => "File",
            Self::Stream(_) => "Stream",
        };
        f.debug_struct(name).field("len", &self.len()).finish()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::Empty
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Static(text.as_bytes())
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Static(bytes)
    }
}

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::Static(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Buffer(text.into_bytes())
    }
}

impl From<Cow<'static, str>> for Body {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Buffer(bytes)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

/// A range of an open file, read while it is sent.
pub struct FileBody {
    pub(crate) source: Box<dyn FileSource>,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl FileBody {
    /// The number of bytes that will be sent.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn write_to(mut self, out: &mut dyn Write) -> io::Result<()> {
        let mut buf = Vec::new();
        while self.len > 0 {
            let want = usize::try_from(self.len).unwrap_or(usize::MAX).min(COPY_BYTES);
            buf.clear();
            let count = match self.source.read_into(&mut buf, want, self.offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            out.write_all(&buf)?;
            self.offset += count as u64;
            self.len -= count as u64;
        }
        Ok(())
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody").field("offset", &self.offset).field("len", &self.len).finish()
    }
}

/// Where a streaming body writes to.
///
/// `write` suspends the fiber while the peer does not read: that is the back-pressure. `flush` sends what is buffered
/// at once. An error means that the peer is gone; the closure should end with it.
///
/// ```
/// use std::io::Write;
/// use sws::{Response, Router, TestClient};
///
/// fn numbers() -> Response {
///     Response::stream("text/plain", |out| {
///         for n in 1..=3 {
///             writeln!(out, "{n}")?;
///             out.flush()?;
///         }
///         Ok(())
///     })
/// }
///
/// let client = TestClient::new(Router::new().get("/numbers", numbers));
/// assert_eq!(client.get("/numbers").send().text(), "1\n2\n3\n");
/// ```
pub struct BodyWriter<'a> {
    out: &'a mut dyn Write,
}

impl<'a> BodyWriter<'a> {
    /// A writer over `out`.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }
}

impl Write for BodyWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.out.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl fmt::Debug for BodyWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyWriter")
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
