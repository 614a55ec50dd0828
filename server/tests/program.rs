//! The program `sws`, started as a user starts it.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sws");
/// Users without a name on most systems: the kernel counts locked memory per user, so each test has its own.
const SERVE_UID: u32 = 65_534;
const DOCTOR_UID: u32 = 65_533;
const REFUSED_UID: u32 = 65_532;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sws-program-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("written");
    }

    /// The program where every user can start it.
    fn program(&self) -> PathBuf {
        let copy = self.path("sws");
        // By a process of its own: a child that another test starts meanwhile would inherit the descriptor that writes,
        // and a file that is open for writing cannot be executed.
        let copied = Command::new("cp").arg(PROGRAM).arg(&copy).status().expect("cp");
        assert!(copied.success());
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o755)).expect("set");
        copy
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The test has said what it had to say.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program, serving; killed at the end of a test that has not stopped it.
struct Served {
    child: Child,
    line: String,
    addr: SocketAddr,
}

impl Served {
    fn start(dir: &Path, options: &[&str]) -> Served {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg(dir).args(["--listen", "127.0.0.1:0"]).args(options);
        Served::of(command)
    }

    fn of(mut command: Command) -> Served {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let addr = line.split("http://").nth(1).and_then(|rest| rest.split([',', '\n']).next());
        let addr = addr.unwrap_or_else(|| panic!("a line that names the address: {line:?}"));
        let addr = addr.parse().expect("an address");
        Served { child, line, addr }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(sent.expect("sh").success());
    }

    /// Waits for the end; returns the exit code.
    fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("ended").code()
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[])
    }

    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        ask(self.addr, method, target, headers)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// One request on a connection of its own.
fn ask(addr: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut stream = TcpStream::connect(addr).expect("connected");
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer and its end");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).expect("text");
    let mut lines = head.trim_end().lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Answer { status: status.expect("a status"), headers: headers.collect(), body }
}

fn station() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/station").canonicalize().expect("the example")
}

/// All files below a folder, as paths relative to it.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let relative = path.strip_prefix(folder).expect("it lies below");
                    found.push(relative.to_str().expect("text").to_owned());
                }
            }
        }
    }
    found
}

fn expected_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("csv") => "text/csv; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg") => "image/jpeg",
        Some("ico") => "image/x-icon",
        other => panic!("the example has a file of a new kind: {other:?}"),
    }
}

#[test]
fn every_file_of_the_example_is_served_as_it_is() {
    let site = station();
    let served = Served::start(&site, &[]);
    assert_eq!(served.line, format!("serving {} on http://{}\n", site.display(), served.addr));
    let files = files(&site);
    assert!(files.len() > 10, "the example has files");
    for file in &files {
        let content = fs::read(site.join(file)).expect("read");
        let answer = served.get(&format!("/{file}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, expected_type(file)), "{file}");
        assert_eq!(answer.header("content-length"), content.len().to_string(), "{file}");
        assert!(answer.body == content, "{file}, byte for byte");
        let mut head = served.ask("HEAD", &format!("/{file}"), &[]);
        assert_eq!((head.status, head.body.len()), (200, 0), "{file}");
        head.headers.remove("date");
        assert!(head.headers.iter().all(|(name, value)| answer.header(name) == value), "{file}");
        if let Some(folder) = file.strip_suffix("index.html") {
            let page = served.get(&format!("/{folder}"));
            assert!(page.status == 200 && page.body == content, "/{folder}");
            if let Some(bare) = folder.strip_suffix('/') {
                let redirect = served.get(&format!("/{bare}?a=b"));
                let location = format!("/{folder}?a=b");
                assert_eq!((redirect.status, redirect.header("location")), (308, location.as_str()));
            }
        }
    }
    let lost = served.get("/no/such/page");
    assert_eq!((lost.status, lost.header("content-type")), (404, "text/html; charset=utf-8"));
    assert!(lost.body == fs::read(site.join("404.html")).expect("read"));
    assert_eq!(served.ask("POST", "/", &[("Content-Length", "0")]).header("allow"), "GET, HEAD, OPTIONS");
}

#[test]
fn parts_and_conditions() {
    let site = station();
    let served = Served::start(&site, &["--cache-control", "no-cache"]);
    let path = "/data/readings-2025.csv";
    let content = fs::read(site.join(&path[1..])).expect("read");
    let len = content.len();
    let first = served.ask("HEAD", path, &[]);
    assert_eq!((first.header("accept-ranges"), first.header("cache-control")), ("bytes", "no-cache"));
    let (etag, date) = (first.header("etag"), first.header("last-modified"));
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=100-70099", 100, 70_100),
        ("bytes=-300", len - 300, len),
        ("bytes=5-", 5, len),
    ] {
        let part = served.ask("GET", path, &[("Range", range), ("If-Range", etag)]);
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {start}-{}/{len}", end - 1));
        assert!(part.body == content[start..end], "{range}");
    }
    let over = served.ask("GET", path, &[("Range", &format!("bytes={len}-"))]);
    assert_eq!((over.status, over.header("content-range")), (416, format!("bytes */{len}").as_str()));
    for (name, value, status) in [
        ("If-None-Match", etag, 304),
        ("If-Modified-Since", date, 304),
        ("If-Match", "\"another\"", 412),
        ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT", 412),
        ("If-None-Match", "\"another\"", 200),
    ] {
        let answer = served.ask("GET", path, &[(name, value)]);
        assert_eq!(answer.status, status, "{name}: {value}");
        assert_eq!(answer.body == content, status == 200, "{name}: {value}");
    }
}

#[test]
fn nothing_outside_the_folder_is_reached() {
    let folder = Folder::new();
    folder.write("secret", "secret");
    fs::create_dir(folder.path("site")).expect("made");
    folder.write("site/page", "page");
    folder.write("site/.hidden", "secret");
    symlink("page", folder.path("site/inside")).expect("made");
    symlink("../secret", folder.path("site/outside")).expect("made");
    symlink(folder.path("secret"), folder.path("site/absolute")).expect("made");
    symlink("..", folder.path("site/up")).expect("made");
    symlink("/proc/self/cwd", folder.path("site/magic")).expect("made");
    let served = Served::start(&folder.path("site"), &[]);
    let table = [
        ("/../secret", 400),
        ("/%2e%2e/secret", 400),
        ("/%2E%2E%2Fsecret", 400),
        ("/..%5csecret", 400),
        ("/x/../../secret", 400),
        ("/./../secret", 400),
        ("/page%00", 400),
        ("/%c0%ae%c0%ae/secret", 400),
        ("/%252e%252e/secret", 404),
        ("//secret", 404),
        ("/.hidden", 404),
        ("/outside", 404),
        ("/absolute", 404),
        ("/up/secret", 404),
        ("/up/site/page", 404),
        ("/magic/Cargo.toml", 404),
    ];
    for (target, status) in table {
        let answer = served.get(target);
        assert_eq!(answer.status, status, "{target}");
        assert!(!answer.text().contains("secret"), "{target}");
    }
    assert_eq!(served.get("/inside").text(), "page");
    let strict = Served::start(&folder.path("site"), &["--no-symlinks"]);
    assert_eq!((strict.get("/inside").status, strict.get("/page").status), (404, 200));
}

#[test]
fn the_admin_address_tells_health_and_counts() {
    let served = Served::start(&station(), &["--admin", "127.0.0.1:0", "--workers", "2"]);
    let admin = served.line.split("admin on http://").nth(1).expect("an admin address");
    let admin = admin.trim_end().parse().expect("an address");
    assert_eq!(served.get("/").status, 200);
    assert_eq!(served.get("/healthz").status, 404, "the site has no such page");
    let health = ask(admin, "GET", "/healthz", &[]);
    assert_eq!((health.status, health.text()), (200, "ok\n"));
    let metrics = ask(admin, "GET", "/metrics", &[]);
    assert_eq!(metrics.status, 200);
    for line in ["sws_requests_total{status=\"200\"} 1\n", "sws_requests_total{status=\"404\"} 1\n"] {
        assert!(metrics.text().contains(line), "{line} in {}", metrics.text());
    }
}

#[test]
fn options_reach_the_server() {
    let folder = Folder::new();
    folder.write("home.htm", "home");
    let options =
        ["--index", "home.htm", "--head-limit", "256", "--idle-timeout", "0.05", "--connections", "100"];
    let served = Served::start(&folder.0, &options);
    assert_eq!(served.get("/").text(), "home");
    assert_eq!(served.ask("GET", "/", &[("X-Long", &"a".repeat(300))]).status, 431);
    let mut idle = TcpStream::connect(served.addr).expect("connected");
    assert_eq!(idle.read(&mut [0]).expect("an end, not an error"), 0, "an idle connection is closed");
}

/// Runs the program to its end.
fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).env("RUST_BACKTRACE", "1").output().expect("started")
}

/// Fails unless the program ended with this code and one line that holds `text`.
#[track_caller]
fn assert_refused(output: &Output, code: i32, text: &str) {
    let err = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(output.status.code(), Some(code), "{err}");
    assert!(err.starts_with("sws: ") && err.ends_with('\n') && err.lines().count() == 1, "one line: {err:?}");
    assert!(err.contains(text), "{text:?} in {err:?}");
    assert!(output.stdout.is_empty(), "nothing is said to be served");
}

#[test]
fn what_cannot_be_served_is_one_line() {
    let folder = Folder::new();
    folder.write("file", "");
    let path = |name: &str| folder.path(name).to_str().expect("text").to_owned();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let addr = taken.local_addr().expect("an address").to_string();
    let (dir, file, absent) = (path(""), path("file"), path("absent"));
    let table: [(&[&str], i32, &str); 14] = [
        (&["serve", &absent], 1, "there is no such folder"),
        (&["serve", &file], 1, "it is not a folder"),
        (&["serve", &dir, "--listen", &addr], 1, "another program listens there; --listen names another"),
        (
            &["serve", &dir, "--listen", "127.0.0.1:0", "--admin", &addr],
            1,
            "another program listens there; --admin names another",
        ),
        (&["serve", &dir, "--listen", "8081"], 1, "; --listen wants one such as 127.0.0.1:8081"),
        (&["serve", &dir, "--listen", &addr, "--workers", "2"], 1, "another program listens there"),
        (&["serve", &dir, "--listen", "127.0.0.1:99999"], 1, "is not an address to listen on"),
        (&["serve"], 2, "<DIR>"),
        (&["serve", &dir, "--workers", "0"], 2, "--workers"),
        (&["serve", &dir, "--idle-timeout", "soon"], 2, "a number of seconds"),
        (&["serve", &dir, "--cache-control", "a\nb"], 2, "--cache-control"),
        (&["serve", &dir, "--lisen", "x"], 2, "(`sws serve --help` says what may be said)"),
        (&["log", "tail", "x", "--last", "y"], 2, "(`sws log tail --help` says what may be said)"),
        (&["sever"], 2, "(`sws --help` says"),
    ];
    for (args, code, text) in table {
        assert_refused(&run(args), code, text);
    }
    let help = run(&["--help"]);
    assert!(help.status.success() && help.stderr.is_empty());
    assert!(String::from_utf8_lossy(&help.stdout).contains("doctor"));
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[test]
fn a_log_that_cannot_be_opened_is_one_line() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("site/content")).expect("made");
    folder.write("file", "");
    let path = |name: &str| folder.path(name).to_str().expect("text").to_owned();
    let (site, file, below, data) = (path("site"), path("file"), path("file/below"), path("data"));
    let (_held, _) = sws::Log::open(&data).expect("a log");
    let table = [
        (&file, format!("sws: the log's folder {file} could not be made: it is no folder\n")),
        (&below, format!("sws: the log's folder {below} could not be made: Not a directory (os error 20)\n")),
        (
            &data,
            format!(
                "sws: another process, perhaps a server, has the log in {data} open; \
                 stop it first, or name another folder (--data says where the log is)\n"
            ),
        ),
    ];
    for (data, text) in table {
        assert_refused(&run(&["serve", &site, "--listen", "127.0.0.1:0", "--data", data]), 1, &text);
    }
    assert_refused(&run(&["log", "create", "x", "--data", &file]), 1, "could not be made: it is no folder");
}

/// The program as another user, if this one may; with so many KiB of locked memory.
fn as_user(uid: u32, memlock: u32, program: &Path, args: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -l {memlock}; exec {} {args}", program.display())]);
    if fs::metadata("/proc/self").expect("it is there").uid() == 0 {
        command.uid(uid).gid(uid).current_dir("/");
    }
    command
}

#[test]
fn a_folder_without_permission_is_one_line() {
    let folder = Folder::new();
    let program = folder.program();
    fs::create_dir(folder.path("site")).expect("made");
    fs::set_permissions(folder.path("site"), fs::Permissions::from_mode(0o000)).expect("set");
    let args = format!("serve {}", folder.path("site").display());
    let output = as_user(SERVE_UID, 64, &program, &args).output().expect("started");
    assert_refused(&output, 1, "there is no permission to read it");
}

#[test]
fn no_locked_memory_is_one_line_and_nothing_is_said_to_be_served() {
    let folder = Folder::new();
    let program = folder.program();
    let args = format!("serve {} --listen 127.0.0.1:0", folder.0.display());
    let output = as_user(REFUSED_UID, 0, &program, &args).output().expect("started");
    assert_refused(&output, 1, "raise it with `ulimit -l 65536`");
    let output = as_user(REFUSED_UID, 0, &program, "doctor").output().expect("started");
    let table = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.lines().any(|line| line.starts_with("fail  io_uring ")), "{table}");
    assert!(table.contains("mend: ulimit -l 65536"), "{table}");
}

#[test]
fn a_user_with_little_locked_memory_is_served_by_a_smaller_ring() {
    let folder = Folder::new();
    let program = folder.program();
    fs::create_dir(folder.path("site")).expect("made");
    let content = vec![b'x'; 200_000];
    folder.write("site/page", &content);
    let args = format!("serve {} --listen 127.0.0.1:0", folder.path("site").display());
    let served = Served::of(as_user(SERVE_UID, 64, &program, &args));
    assert!(served.get("/page").body == content);
    served.signal("TERM");
    assert_eq!(served.wait(), Some(0));

    let output = as_user(DOCTOR_UID, 64, &program, "doctor").output().expect("started");
    let table = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(output.stderr.is_empty());
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.iter().any(|line| line.starts_with(&["ok", "worker"])), "{table}");
    let memlock = lines.iter().position(|line| line.starts_with(&["warn", "RLIMIT_MEMLOCK", "64", "KiB:"]));
    let mend = memlock.and_then(|at| lines.get(at + 1)).unwrap_or_else(|| panic!("two lines: {table}"));
    assert!(mend.starts_with(&["mend:", "ulimit", "-l", "65536"]), "{table}");
}

#[test]
fn the_doctor_names_each_limit() {
    let output = run(&["doctor"]);
    let table = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{table}");
    for what in [
        "io_uring",
        "kernel.io_uring_disabled",
        "RLIMIT_NOFILE",
        "RLIMIT_MEMLOCK",
        "net.core.somaxconn",
        "fs.file-max",
        "fs.nr_open",
        "vm.max_map_count",
        "connections",
    ] {
        let lines = table.lines().filter(|line| line.split_whitespace().nth(1) == Some(what));
        assert_eq!(lines.count(), 1, "{what} in {table}");
    }
    for (line, next) in table.lines().zip(table.lines().skip(1).chain([""])) {
        let is_bad = line.starts_with("warn") || line.starts_with("fail");
        assert_eq!(is_bad, next.trim_start().starts_with("mend: "), "{line}");
    }
}

#[test]
fn a_signal_lets_a_download_finish() {
    const LEN: usize = 48 << 20;
    let folder = Folder::new();
    let file = fs::File::create(folder.path("large")).expect("made");
    // More than the sockets' buffers hold, so that the server is still sending when it is told to end.
    file.set_len(LEN as u64).expect("set");
    for signal in ["TERM", "INT"] {
        let served = Served::start(&folder.0, &[]);
        let mut stream = TcpStream::connect(served.addr).expect("connected");
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        let mut received = vec![0; 1024];
        stream.read_exact(&mut received).expect("a beginning");
        served.signal(signal);
        // The listener goes first.
        while let Ok(probe) = TcpStream::connect(served.addr) {
            drop(probe);
            std::thread::yield_now();
        }
        stream.read_to_end(&mut received).expect("the rest, and an end");
        drop(stream);
        let head = received.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        assert_eq!(received.len() - head, LEN, "SIG{signal}");
        assert_eq!(served.wait(), Some(0), "SIG{signal}");
    }
}

#[test]
fn a_signal_ends_an_idle_server_and_its_connections() {
    let served = Served::start(&station(), &["--workers", "2"]);
    let mut idle = TcpStream::connect(served.addr).expect("connected");
    idle.write_all(b"GET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    assert!(idle.read(&mut [0; 1024]).expect("an answer") > 0);
    served.signal("TERM");
    let mut rest = Vec::new();
    match idle.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(served.wait(), Some(0));
}

#[test]
fn a_port_is_free_again_after_the_end() {
    let first = Served::start(&station(), &[]);
    let addr = first.addr;
    assert_eq!(first.get("/").status, 200);
    first.signal("TERM");
    assert_eq!(first.wait(), Some(0));
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg(station()).args(["--listen", &addr.to_string()]);
    assert_eq!(Served::of(command).get("/").status, 200);
}
