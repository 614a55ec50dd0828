//! A site in a folder of its own, the program that serves it, and who listens.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// After this nothing comes any more, and the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A site's folder and the one of its log, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = Folder(std::env::temp_dir().join(format!("sws-site-{}-{number}", std::process::id())));
        folder.write("content/first.md", "---\ntitle: First\ntags: [rings]\n---\nThe first text.\n");
        folder.write("content/second.md", "---\ntitle: Second\n---\nAnother text.\n");
        folder.write("content/hidden.md", "---\ntitle: Hidden\ndraft: true\n---\nNot yet.\n");
        folder.write("static/data.txt", "0123456789");
        folder.write(
            "site.json",
            r#"{ "title": "Test", "topics": { "chat": { "access": "write" }, "inner": { "access": "none" } } }"#,
        );
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join("site").join(name)
    }

    /// Writes a file as careful editors do: whole, in place of the old.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
        let beside = path.with_extension("tmp");
        fs::write(&beside, text).expect("written");
        fs::rename(beside, path).expect("renamed");
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("removed");
    }

    pub fn serve(&self, args: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sws"));
        command.arg("serve").arg(self.path("")).args(["--listen", "127.0.0.1:0"]).args(args);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("started");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let err = BufReader::new(child.stderr.take().expect("piped"));
        let mut program = Program { child, addr: String::new(), said: Vec::new(), err, out };
        while program.addr.is_empty() {
            let mut line = String::new();
            let len = program.out.read_line(&mut line).expect("read");
            assert_ne!(len, 0, "it ended: {:?}", program.said);
            program.said.push(line.trim_end().to_owned());
            if let Some((_, addr)) = line.rsplit_once(" on http://") {
                program.addr = addr.trim().to_owned();
            }
        }
        program
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub struct Program {
    child: Child,
    pub addr: String,
    pub said: Vec<String>,
    err: BufReader<ChildStderr>,
    out: BufReader<ChildStdout>,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Program {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.addr).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream
    }

    pub fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = self.connect();
        let (addr, len) = (&self.addr, body.len());
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n{body}"
        );
        stream.write_all(text.as_bytes()).expect("sent");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("answered");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head[9..12].parse().expect("a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", "")
    }

    /// Listens to changes, from when it is told the version on.
    pub fn listen(&self, query: &str, headers: &str) -> Listener {
        let mut stream = self.connect();
        let addr = &self.addr;
        let text = format!("GET /-/live?{query} HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n");
        stream.write_all(text.as_bytes()).expect("sent");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("answered");
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line).expect("a head");
        }
        Listener { reader }
    }

    /// The next line that says what is wrong.
    pub fn complaint(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.err.read_line(&mut line).expect("read"), 0, "it ended");
            // Of slow machines.
            if !line.contains("a turn of the loop took") {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Ends it as an operator does.
    pub fn end(mut self) {
        let kill = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(kill.expect("started").success());
        assert!(self.child.wait().expect("ended").success());
    }

    /// Ends it as a power cut does.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub id: Option<u64>,
    pub data: String,
}

impl Event {
    /// A member of the data.
    pub fn get(&self, member: &str) -> String {
        let value: serde_json::Value = serde_json::from_str(&self.data).expect("JSON");
        value[member].as_str().map_or_else(|| value[member].to_string(), str::to_owned)
    }
}

pub struct Listener {
    reader: BufReader<TcpStream>,
}

impl Listener {
    pub fn next(&mut self) -> Event {
        let mut event = Event::default();
        let mut line = String::new();
        let begin = Instant::now();
        loop {
            // A stream that has nothing to tell says that it is alive.
            assert!(begin.elapsed() < PATIENCE, "an event in time");
            line.clear();
            assert_ne!(
                self.reader.read_line(&mut line).expect("an event in time"),
                0,
                "the stream has ended"
            );
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("id", id)) => event.id = Some(id.parse().expect("a number")),
                Some(("data", data)) => event.data = data.to_owned(),
                Some(_) => {}
                None if event.name.is_empty() => {}
                None => return event,
            }
        }
    }

    /// The next of a name; what comes before is left out.
    pub fn wait(&mut self, name: &str) -> Event {
        loop {
            let event = self.next();
            if event.name == name {
                return event;
            }
        }
    }
}
