//! An example as a child process, and the clients that talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running example. Dropped before it has ended, it is killed.
pub struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub stdin: Option<ChildStdin>,
}

/// The examples lie beside the folder of the test programs.
fn path(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its path");
    let profile = own.parent().and_then(|deps| deps.parent()).expect("a test lies in a profile's folder");
    let path = profile.join("examples").join(name);
    assert!(path.exists(), "{name} is not built: run `cargo test -p examples` without `--test`");
    path
}

impl Program {
    pub fn start(name: &str, args: &[&str]) -> Program {
        let mut child = Command::new(path(name))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("an example starts");
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        Program { stdin: child.stdin.take(), child, stdout }
    }

    /// The next line that it prints, with its end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it prints text");
        line
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn say(&mut self, text: &str) {
        self.stdin.as_mut().expect("its stdin is open").write_all(text.as_bytes()).expect("it reads");
    }

    /// Waits until it has ended by itself, as a program that has done its work.
    pub fn ended(mut self) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return assert!(status.success(), "it ended with {status}");
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended is not killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An example that listens.
pub struct Server {
    pub program: Program,
    pub addr: SocketAddr,
}

impl Server {
    /// Starts an example on a free port.
    pub fn start(name: &str) -> Server {
        Server::start_with(name, &["--listen", "127.0.0.1:0"])
    }

    /// Starts an example where another has listened.
    pub fn start_on(name: &str, addr: SocketAddr) -> Server {
        Server::start_with(name, &["--listen", &addr.to_string()])
    }

    /// Starts an example with a command line of its own.
    pub fn start_with(name: &str, args: &[&str]) -> Server {
        let mut program = Program::start(name, args);
        let line = program.line();
        let addr = line.trim_end().strip_prefix("listening on ").expect("it says where it listens");
        Server { addr: addr.trim_start_matches("http://").parse().expect("an address"), program }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Sends one request on a connection of its own, and waits for the answer.
    pub fn ask(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        let mut stream = self.send(method, target, headers, body);
        Answer::read(&mut stream)
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "", b"")
    }

    /// Sends one request, and leaves the answer to be read.
    pub fn send(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        let len = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: example\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).expect("it takes the head");
        stream.write_all(body).expect("it takes the body");
        stream
    }

    /// Ends it as an operator does; it must end well.
    pub fn stop(self) {
        terminate(self.program.id());
        self.program.ended();
    }
}

/// Sends SIGTERM to one process.
fn terminate(id: u32) {
    let status = Command::new("sh").args(["-c", &format!("kill -TERM {id}")]).status().expect("a shell");
    assert!(status.success(), "the process is there");
}

/// A whole answer of a connection that closes behind it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn read(stream: &mut TcpStream) -> Answer {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer, then the end");
        let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..split].to_vec()).expect("a head is text");
        let body = bytes.split_off(split + 4);
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let is_chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
        Answer { status, head, body: if is_chunked { dechunk(&body) } else { body } }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// The bytes of a chunked body, which must be complete.
fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk's size");
        let size = std::str::from_utf8(&rest[..end]).expect("a size is text");
        let size = usize::from_str_radix(size, 16).expect("a size is hexadecimal");
        rest = &rest[end + 2..];
        body.extend_from_slice(&rest[..size]);
        assert_eq!(&rest[size..size + 2], b"\r\n");
        rest = &rest[size + 2..];
        if size == 0 {
            assert!(rest.is_empty(), "nothing follows the last chunk");
            return body;
        }
    }
}
