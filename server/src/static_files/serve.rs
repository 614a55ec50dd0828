//! [`ServeDir`]: the files of a folder, over HTTP.
//!
//! ```text
//! path of the request ─▶ resolve ─▶ open below the root ─▶ metadata ─▶ conditions ─▶ range ─▶ read or stream
//!                          400        404                   308 (a folder)  304, 412     416
//! ```
//!
//! Every step that reaches the disk is an operation on the ring and suspends the handler's fiber. The kernel checks each
//! step of a path against the root while it walks, so a link that leads out is not followed, whenever it was made.

use super::conditional::{Conditions, ETag, Outcome, Validators, last_modified};
use super::media::media_type;
use super::path::resolve;
use super::range::{RangeOutcome, content_range, content_range_unsatisfied, evaluate};
use crate::body::{Body, FileBody, FileSource};
use crate::context::Context;
use crate::handler::Handler;
use crate::request::Request;
use crate::response::Response;
use crate::router::Router;
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED,
    LOCATION, RETRY_AFTER,
};
use http::{Method, StatusCode};
use std::borrow::Cow;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};
use sws_runtime::fs::{Dir, File, Metadata, Symlinks};

/// The methods that files answer.
const ALLOWED: &str = "GET, HEAD, OPTIONS";
/// The page for what is not there, in the root of the folder.
const NOT_FOUND_PAGE: &str = "404.html";
/// A file, or the part of it that was asked for, up to this size is read at once and whole.
const WHOLE_BYTES_MAX: u64 = 64 * 1024;

/// A folder whose files are served: a handler for GET and HEAD.
///
/// In a [`fallback`](Router::fallback) it serves the path of the request, on a route that ends with `{*name}` what that took of
/// it, and on any other route the folder itself. [`Router::serve_dir`] is the short form.
///
/// - A folder is served by its `index.html`; its path without the slash at the end is redirected (308) to the one with it.
/// - What is not there is a 404, with the `404.html` of the root where there is one. So are names that begin with a dot
///   (but `.well-known`), what is neither a file nor a folder, what may not be read, and links that lead out of the folder. A
///   path with dot segments, NUL or encoded slashes is a 400.
/// - Answers have `ETag` (strong, of length and time of change), `Last-Modified` and `Accept-Ranges`; conditional requests
///   and requests of one range are answered as RFC 9110 says.
/// - A file that becomes shorter while it is sent ends the connection, so that nobody takes the part for the whole.
///
/// It is cheap to clone and can be shared by all workers.
///
/// ```
/// use sws::{Router, ServeDir, TestClient};
///
/// # let path = std::env::temp_dir().join(format!("sws-doc-serve-{}", std::process::id()));
/// # std::fs::create_dir_all(&path)?;
/// std::fs::write(path.join("hello.txt"), "Hello, World!")?;
///
/// let files = ServeDir::new(&path)?;
/// let client = TestClient::new(Router::new().get("/api", || "an answer").fallback(files));
/// let response = client.get("/hello.txt").header("Range", "bytes=0-4").send();
/// assert_eq!(response.status(), 206);
/// assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
/// assert_eq!(response.text(), "Hello");
/// assert_eq!(client.get("/%2e%2e/etc/passwd").send().status(), 400);
/// # std::fs::remove_dir_all(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct ServeDir {
    root: Arc<Root>,
    index: Arc<str>,
    cache_control: Option<HeaderValue>,
    symlinks: Symlinks,
}

struct Root {
    path: PathBuf,
    /// Opened on the ring by the first request.
    dir: OnceLock<Dir>,
}

impl ServeDir {
    /// Serves the folder at `path`. It is looked at here, so that a mistake is known at the start; it stays the same folder
    /// when the working directory changes.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `PermissionDenied` and what else the file system says.
    pub fn new(path: impl AsRef<Path>) -> io::Result<ServeDir> {
        let path = path.as_ref().canonicalize()?;
        std::fs::read_dir(&path)?;
        Ok(ServeDir {
            root: Arc::new(Root { path, dir: OnceLock::new() }),
            index: Arc::from("index.html"),
            cache_control: None,
            symlinks: Symlinks::FollowBeneath,
        })
    }

    /// The name of the file that answers for its folder, instead of `index.html`.
    #[must_use]
    pub fn index(mut self, name: &str) -> ServeDir {
        self.index = Arc::from(name);
        self
    }

    /// The value of `Cache-Control` on files; without it there is no such field.
    #[must_use]
    pub fn cache_control(mut self, value: HeaderValue) -> ServeDir {
        self.cache_control = Some(value);
        self
    }

    /// What is done with symbolic links: those that stay in the folder are followed unless this says otherwise.
    #[must_use]
    pub fn symlinks(mut self, symlinks: Symlinks) -> ServeDir {
        self.symlinks = symlinks;
        self
    }

    /// The folder, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.root.path
    }

    fn answer(&self, ctx: &Context) -> Response {
        let request = ctx.request();
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Response::new(StatusCode::NO_CONTENT).with_header(ALLOW, ALLOWED),
            _ => return Response::reason(StatusCode::METHOD_NOT_ALLOWED).with_header(ALLOW, ALLOWED),
        }
        let Some(path) = served_path(ctx.route(), request.path()) else { return redirect_to_folder(request) };
        let answer = self.find(request, path);
        answer.or_else(|refusal| self.refuse(refusal, request)).unwrap_or_else(failed)
    }

    /// Answers a GET or HEAD with the file of a name that is known to be good, for who has found it by other means than the path.
    pub(crate) fn answer_file(&self, request: &Request, name: &str, cache_control: HeaderValue) -> Response {
        let answer = self.open(name).map_err(Refusal::from).and_then(|(file, metadata)| {
            if !metadata.is_file() {
                return Err(Refusal::NotFound);
            }
            Ok(self.file(request, name, file, &metadata)?)
        });
        match answer {
            Ok(response) => response.with_header(CACHE_CONTROL, cache_control),
            Err(Refusal::NotFound) => Response::reason(StatusCode::NOT_FOUND),
            Err(Refusal::Status(status)) => Response::reason(status),
            Err(Refusal::Failed(error)) => failed(error),
        }
    }

    fn find(&self, request: &Request, raw_path: &str) -> Result<Response, Refusal> {
        let path = resolve(raw_path).map_err(|reject| match reject.status() {
            StatusCode::NOT_FOUND => Refusal::NotFound,
            status => Refusal::Status(status),
        })?;
        let is_folder = path.is_folder();
        let name = match (is_folder, path.as_str()) {
            (false, file) => Cow::Borrowed(file),
            (true, "") => Cow::Borrowed(&*self.index),
            (true, folder) => Cow::Owned(format!("{folder}/{}", self.index)),
        };
        let (file, metadata) = self.open(&name)?;
        if metadata.is_file() {
            Ok(self.file(request, &name, file, &metadata)?)
        } else if metadata.is_dir() && !is_folder {
            Ok(redirect_to_folder(request))
        } else {
            Err(Refusal::NotFound)
        }
    }

    fn open(&self, name: &str) -> io::Result<(File, Metadata)> {
        let file = self.dir()?.open_beneath(name, self.symlinks)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    }

    fn dir(&self) -> io::Result<&Dir> {
        if let Some(dir) = self.root.dir.get() {
            return Ok(dir);
        }
        let dir = Dir::open(&self.root.path)?;
        Ok(self.root.dir.get_or_init(|| dir))
    }

    /// A file, or as much of it as the client has not and wants.
    fn file(&self, request: &Request, name: &str, file: File, metadata: &Metadata) -> io::Result<Response> {
        let len = metadata.len();
        let validators = validators(len, metadata.modified(), SystemTime::now());
        let (if_match, if_none_match) = (joined(request, "if-match"), joined(request, "if-none-match"));
        let conditions = Conditions {
            if_match: if_match.as_deref(),
            if_none_match: if_none_match.as_deref(),
            if_modified_since: request.header_bytes("if-modified-since"),
            if_unmodified_since: request.header_bytes("if-unmodified-since"),
        };
        match conditions.evaluate(request.method(), &validators) {
            Outcome::Proceed => {}
            Outcome::NotModified => {
                return Ok(self.with_validators(Response::new(StatusCode::NOT_MODIFIED), &validators));
            }
            Outcome::PreconditionFailed => return Ok(Response::reason(StatusCode::PRECONDITION_FAILED)),
        }
        // RFC 9110, 14.2: Range is for GET alone.
        let range = request.header_bytes("range").filter(|_| *request.method() == Method::GET);
        let outcome = evaluate(range, request.header_bytes("if-range"), len, &validators);
        let (start, end) = match outcome {
            RangeOutcome::Whole => (0, len),
            RangeOutcome::Partial { start, end } => (start, end),
            RangeOutcome::Unsatisfiable => {
                return Ok(Response::reason(StatusCode::RANGE_NOT_SATISFIABLE)
                    .with_header(CONTENT_RANGE, content_range_unsatisfied(len)));
            }
        };
        let body = body(file, start, end - start, *request.method() == Method::HEAD)?;
        let mut response = self.with_validators(with_media_type(name, body), &validators);
        response.append(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if let RangeOutcome::Partial { start, end } = outcome {
            response.set_status(StatusCode::PARTIAL_CONTENT);
            response.set_header(CONTENT_RANGE, content_range(start, end, len));
        }
        Ok(response)
    }

    fn with_validators(&self, mut response: Response, validators: &Validators) -> Response {
        response.set_header(ETAG, validators.etag.as_str());
        if let Some(date) = validators.modified_unix_seconds.and_then(last_modified) {
            response.set_header(LAST_MODIFIED, date);
        }
        if let Some(value) = &self.cache_control {
            response.append(CACHE_CONTROL, value.clone());
        }
        response
    }

    /// Answers what cannot be served; with the page of the folder, if it is not there and that is.
    fn refuse(&self, refusal: Refusal, request: &Request) -> io::Result<Response> {
        match refusal {
            Refusal::Status(status) => Ok(Response::reason(status)),
            Refusal::Failed(error) => Err(error),
            Refusal::NotFound => {
                let page = match self.open(NOT_FOUND_PAGE) {
                    Ok((file, metadata)) if metadata.is_file() => (file, metadata.len()),
                    Ok(_) => return Ok(Response::reason(StatusCode::NOT_FOUND)),
                    Err(error) if is_absent(&error) => return Ok(Response::reason(StatusCode::NOT_FOUND)),
                    Err(error) => return Err(error),
                };
                let body = body(page.0, 0, page.1, *request.method() == Method::HEAD)?;
                Ok(with_media_type(NOT_FOUND_PAGE, body).with_status(StatusCode::NOT_FOUND))
            }
        }
    }
}

impl fmt::Debug for ServeDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeDir")
            .field("path", &self.root.path)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// Marks a handler that is a [`ServeDir`].
#[derive(Debug)]
pub struct ByServeDir;

impl Handler<ByServeDir> for ServeDir {
    fn call(&self, ctx: &mut Context) -> Response {
        self.answer(ctx)
    }
}

impl Router {
    /// Serves a folder under a prefix, which may be `/`.
    ///
    /// ```
    /// use sws::{Router, ServeDir, TestClient};
    ///
    /// # let path = std::env::temp_dir().join(format!("sws-doc-serve-dir-{}", std::process::id()));
    /// # std::fs::create_dir_all(&path)?;
    /// std::fs::write(path.join("index.html"), "<p>Hello")?;
    ///
    /// let client = TestClient::new(Router::new().serve_dir("/docs", ServeDir::new(&path)?));
    /// assert_eq!(client.get("/docs/").send().text(), "<p>Hello");
    /// assert_eq!(client.get("/docs").send().header("location"), Some("/docs/"));
    /// # std::fs::remove_dir_all(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn serve_dir(self, prefix: &str, dir: ServeDir) -> Router {
        let prefix = prefix.trim_end_matches('/');
        let router = match prefix {
            "" => self,
            prefix => self.get(prefix, dir.clone()),
        };
        router.get(&format!("{prefix}/"), dir.clone()).get(&format!("{prefix}/{{*path}}"), dir)
    }
}

/// Why there is no file to answer with.
enum Refusal {
    NotFound,
    Status(StatusCode),
    Failed(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        if is_absent(&error) { Refusal::NotFound } else { Refusal::Failed(error) }
    }
}

/// Whether an error of opening says that there is nothing to be served by that name.
fn is_absent(error: &io::Error) -> bool {
    // A socket, a device without its driver, and links that go round in circles have no kind.
    const ENXIO: i32 = 6;
    const ENODEV: i32 = 19;
    const ELOOP: i32 = 40;
    matches!(error.raw_os_error(), Some(ENXIO | ENODEV | ELOOP))
        || matches!(
            error.kind(),
            ErrorKind::NotFound
                | ErrorKind::NotADirectory
                | ErrorKind::PermissionDenied
                | ErrorKind::CrossesDevices
                | ErrorKind::InvalidFilename
        )
}

/// What is over soon is a 503: no descriptor or memory left, a cancellation, a file that became shorter while it was read.
/// Otherwise the disk failed.
fn failed(error: io::Error) -> Response {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let is_passing = matches!(error.raw_os_error(), None | Some(ENFILE | EMFILE))
        || matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::WouldBlock);
    match is_passing {
        true => Response::reason(StatusCode::SERVICE_UNAVAILABLE).with_header(RETRY_AFTER, "1"),
        false => Response::internal_error(),
    }
}

/// What of a path is looked up: without a route all of it; on a route that takes the rest, that rest with the slash before it,
/// so that an empty name at its beginning is seen; on another route the folder, which `None` says to redirect to.
fn served_path<'a>(pattern: Option<&str>, path: &'a str) -> Option<&'a str> {
    let Some((before, last)) = pattern.and_then(|pattern| pattern.rsplit_once('/')) else {
        return Some(path);
    };
    if last.starts_with("{*") {
        // Each segment of a pattern matches one of the path, so the slashes before the rest are as many in both.
        let slashes = before.bytes().filter(|&byte| byte == b'/').count();
        path.match_indices('/').nth(slashes).map(|(at, _)| &path[at..])
    } else {
        path.ends_with('/').then_some("/")
    }
}

/// 308 to the same path with a slash at the end; the query stays.
fn redirect_to_folder(request: &Request) -> Response {
    let query = request.query().map_or_else(String::new, |query| format!("?{query}"));
    Response::new(StatusCode::PERMANENT_REDIRECT).with_header(LOCATION, format!("{}/{query}", request.path()))
}

/// What tells this state of a file from others. A time in the future is none (RFC 9110, 8.8.2.1).
fn validators(len: u64, modified: SystemTime, now: SystemTime) -> Validators {
    let (seconds, nanoseconds) = match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => (since.as_secs() as i64, since.subsec_nanos()),
        Err(before) => (-(before.duration().as_secs() as i64), before.duration().subsec_nanos()),
    };
    let modified_unix_seconds = u64::try_from(seconds).ok().filter(|_| modified <= now);
    Validators { etag: ETag::new(len, seconds, nanoseconds), modified_unix_seconds }
}

/// All values of a field that is a list, as one list.
pub(crate) fn joined<'a>(request: &'a Request, name: &str) -> Option<Cow<'a, [u8]>> {
    let first = request.header_bytes(name)?;
    let mut others =
        request.header_list().filter(|(held, _)| held.eq_ignore_ascii_case(name)).skip(1).peekable();
    if others.peek().is_none() {
        return Some(Cow::Borrowed(first));
    }
    let mut list = first.to_vec();
    for (_, value) in others {
        list.extend_from_slice(b", ");
        list.extend_from_slice(value);
    }
    Some(Cow::Owned(list))
}

fn with_media_type(name: &str, body: Body) -> Response {
    match media_type(name) {
        Cow::Borrowed(known) => Response::with_type(known, body),
        Cow::Owned(rare) => Response::default().with_header(CONTENT_TYPE, rare).with_body(body),
    }
}

/// `len` bytes of a file: read here if they are few, otherwise while they are sent, and not at all for HEAD.
fn body(file: File, offset: u64, len: u64, is_head: bool) -> io::Result<Body> {
    if len == 0 {
        return Ok(Body::Empty);
    }
    if len > WHOLE_BYTES_MAX || is_head {
        return Ok(Body::File(FileBody { source: Box::new(OpenFile(file)), offset, len }));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(Body::Bytes(Bytes::from(bytes)))
}

/// A file as the source of a body.
struct OpenFile(File);

impl FileSource for OpenFile {
    fn read_into(&mut self, buf: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<usize> {
        self.0.read_into(buf, len, offset)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
