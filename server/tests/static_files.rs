//! A folder that is served, in process and over a socket.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use sws::http::HeaderValue;
use sws::runtime::fs::Symlinks;
use sws::{Router, ServeDir, Server, TestClient};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sws-static-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        Folder(path.canonicalize().expect("it is there"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("made");
        fs::write(path, content).expect("written");
    }

    /// A site below `site`, with things beside it that are not to be reached.
    fn with_site() -> Folder {
        let folder = Folder::new();
        folder.write("secret", "secret");
        folder.write("site/index.html", "<p>index");
        folder.write("site/a/index.html", "<p>a");
        folder.write("site/a/b.txt", "0123456789");
        folder.write("site/empty.txt", "");
        folder.write("site/bare/x", "x");
        folder.write("site/.env", "hidden");
        folder.write("site/caf\u{e9}.txt", "caf\u{e9}");
        folder
    }

    fn serve(&self) -> ServeDir {
        ServeDir::new(self.path("site")).expect("a folder")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The test has said what it had to say.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn client(dir: ServeDir) -> TestClient {
    TestClient::new(Router::new().fallback(dir))
}

/// Bytes in which no two neighbouring pieces look the same.
fn noise(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

#[test]
fn files_and_folders() {
    let folder = Folder::with_site();
    let client = client(folder.serve());
    let table: [(&str, u16, &str); 12] = [
        ("/", 200, "<p>index"),
        ("/index.html", 200, "<p>index"),
        ("/a/", 200, "<p>a"),
        ("/a/b.txt", 200, "0123456789"),
        ("/a/b.txt?x=/../", 200, "0123456789"),
        ("/a%2Fb.txt", 400, "Bad Request"),
        ("/caf%C3%A9.txt", 200, "caf\u{e9}"),
        ("/empty.txt", 200, ""),
        ("/empty.txt/", 404, "Not Found"),
        ("/bare/", 404, "Not Found"),
        ("/absent", 404, "Not Found"),
        ("/absent/", 404, "Not Found"),
    ];
    for (path, status, body) in table {
        let response = client.get(path).send();
        assert_eq!((response.status().as_u16(), response.text()), (status, body), "{path}");
    }
    for (path, location) in [("/a", "/a/"), ("/a?x=1&y", "/a/?x=1&y"), ("/bare?", "/bare/?")] {
        let response = client.get(path).send();
        assert_eq!(
            (response.status().as_u16(), response.header("location")),
            (308, Some(location)),
            "{path}"
        );
    }
}

#[test]
fn sizes_around_the_step_from_one_read_to_many() {
    let folder = Folder::with_site();
    let client = client(folder.serve());
    for len in [2, 4096, 65_535, 65_536, 65_537, 300_000] {
        let content = noise(len);
        folder.write("site/data.bin", &content);
        let response = client.get("/data.bin").send();
        assert_eq!(response.bytes(), content, "{len} bytes");
        assert!(response.body_error().is_none());
        assert_eq!(response.header("content-type"), Some("application/octet-stream"));
        let tail = client.get("/data.bin").header("Range", "bytes=1-").send();
        assert_eq!(tail.bytes(), &content[1..], "{len} bytes");
    }
}

#[test]
fn paths_that_are_refused() {
    let folder = Folder::with_site();
    let client = client(folder.serve());
    let table = [
        ("/../secret", 400),
        ("/a/../../secret", 400),
        ("/%2e%2e/secret", 400),
        ("/.%2E/secret", 400),
        ("/a/%2e%2e/%2e%2e/secret", 400),
        ("/..%2fsecret", 400),
        ("/..%5csecret", 400),
        ("/%2e%2e%2fsecret", 400),
        ("/%252e%252e/secret", 404),
        ("/%00", 400),
        ("/index.html%00.png", 400),
        ("/%c0%ae%c0%ae/secret", 400),
        ("/%zz", 400),
        ("//secret", 404),
        ("//", 404),
        ("/a//b.txt", 404),
        ("/.env", 404),
        ("/%2eenv", 404),
        ("/secret", 404),
    ];
    for (path, status) in table {
        let response = client.get(path).send();
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert!(!response.text().contains("secret") && !response.text().contains("hidden"), "{path}");
    }
    let long = format!("/{}", "a".repeat(4000));
    assert_eq!(client.get(&long).send().status(), 404);
}

#[test]
fn links_are_followed_inside_and_refused_outside() {
    let folder = Folder::with_site();
    let link = |target: &Path, name: &str| symlink(target, folder.path("site").join(name)).expect("made");
    link(Path::new("a/b.txt"), "inside.txt");
    link(Path::new("a"), "folder");
    link(Path::new("../secret"), "outside");
    link(&folder.path("secret"), "absolute");
    link(&folder.path("site/a/b.txt"), "absolute-inside");
    link(Path::new(".."), "parent");
    link(Path::new("/proc/self/root"), "magic");
    link(Path::new("loop"), "loop");
    link(Path::new("nothing"), "dangling");

    let following = client(folder.serve());
    assert_eq!(following.get("/inside.txt").send().text(), "0123456789");
    assert_eq!(following.get("/folder").send().header("location"), Some("/folder/"));
    assert_eq!(following.get("/folder/").send().text(), "<p>a");
    let outside =
        ["/outside", "/absolute", "/absolute-inside", "/parent/secret", "/parent", "/magic/etc/passwd"];
    for path in outside.into_iter().chain(["/loop", "/dangling", "/magic"]) {
        let response = following.get(path).send();
        assert_eq!((response.status().as_u16(), response.text()), (404, "Not Found"), "{path}");
    }
    let refusing = client(folder.serve().symlinks(Symlinks::Refuse));
    assert_eq!(refusing.get("/a/b.txt").send().status(), 200);
    for path in ["/inside.txt", "/folder/", "/folder"].into_iter().chain(outside) {
        assert_eq!(refusing.get(path).send().status(), 404, "{path}");
    }
}

#[test]
fn what_is_no_file_is_not_there() {
    let folder = Folder::with_site();
    let fifo = folder.path("site/fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
    assert!(made.success());
    let socket = UnixListener::bind(folder.path("site/socket")).expect("bound");
    fs::create_dir_all(folder.path("site/odd/index.html")).expect("made");
    let client = client(folder.serve());
    for path in ["/fifo", "/socket", "/odd/", "/fifo/", "/socket/x"] {
        assert_eq!(client.get(path).send().status(), 404, "{path}");
    }
    drop(socket);
}

#[test]
fn the_page_for_what_is_not_there() {
    let folder = Folder::with_site();
    folder.write("site/404.html", "<p>lost");
    let client = client(folder.serve());
    for path in ["/absent", "/a/absent", "/.env", "/bare/"] {
        let response = client.get(path).header("Range", "bytes=0-1").header("If-None-Match", "*").send();
        assert_eq!((response.status().as_u16(), response.text()), (404, "<p>lost"), "{path}");
        assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!((response.header("etag"), response.header("last-modified")), (None, None));
    }
    assert_eq!(client.get("/404.html").send().status(), 200);
    assert_eq!(client.get("/%2e%2e/x").send().text(), "Bad Request");
    assert_eq!(client.head("/absent").send().status(), 404);
}

#[test]
fn methods() {
    let folder = Folder::with_site();
    let client = client(folder.serve());
    let head = client.head("/a/b.txt").send();
    assert_eq!((head.status().as_u16(), head.bytes()), (200, &b""[..]));
    assert_eq!(head.headers(), client.get("/a/b.txt").send().headers());
    assert_eq!(client.head("/a/b.txt").header("Range", "bytes=0-1").send().status(), 200);
    for response in [client.post("/a/b.txt").send(), client.delete("/absent").send(), client.put("/").send()]
    {
        assert_eq!(response.status(), 405);
        assert_eq!(response.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
    let options = client.options("/a/b.txt").send();
    assert_eq!((options.status().as_u16(), options.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn conditional_requests() {
    let folder = Folder::with_site();
    let dir = folder.serve().cache_control(HeaderValue::from_static("public, max-age=60"));
    let client = client(dir);
    let first = client.get("/a/b.txt").send();
    assert_eq!(first.header("cache-control"), Some("public, max-age=60"));
    assert_eq!(first.header("accept-ranges"), Some("bytes"));
    let etag = first.header("etag").expect("a tag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "a strong tag: {etag}");
    let date = first.header("last-modified").expect("a date").to_owned();
    let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
    let listed = format!("\"x\", W/{etag}");
    let table = [
        ("If-None-Match", etag.as_str(), 304),
        ("If-None-Match", &listed, 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", "\"other\"", 200),
        ("If-Modified-Since", &date, 304),
        ("If-Modified-Since", long_ago, 200),
        ("If-Modified-Since", "yesterday", 200),
        ("If-Match", &etag, 200),
        ("If-Match", "\"other\"", 412),
        ("If-Unmodified-Since", &date, 200),
        ("If-Unmodified-Since", long_ago, 412),
    ];
    for (name, value, status) in table {
        let response = client.get("/a/b.txt").header(name, value).send();
        assert_eq!(response.status().as_u16(), status, "{name}: {value}");
        if status == 304 {
            assert_eq!(response.bytes(), b"");
            assert_eq!(response.header("etag"), Some(etag.as_str()));
            assert_eq!(response.header("cache-control"), Some("public, max-age=60"));
            assert_eq!(response.header("content-type"), None);
        }
    }
    let both = client.get("/a/b.txt").header("If-Match", "\"x\"").header("If-Match", &etag).send();
    assert_eq!(both.status(), 200, "a list in two fields is one list");
    // As long as before, a nanosecond later at least.
    let before = fs::metadata(folder.path("site/a/b.txt")).and_then(|file| file.modified()).expect("a time");
    folder.write("site/a/b.txt", "9876543210");
    let later = before + std::time::Duration::from_nanos(1);
    let file = fs::File::options().write(true).open(folder.path("site/a/b.txt")).expect("opened");
    file.set_modified(later).expect("set");
    let changed = client.get("/a/b.txt").header("If-None-Match", &etag).send();
    assert_eq!((changed.status().as_u16(), changed.text()), (200, "9876543210"));
}

#[test]
fn ranges() {
    let folder = Folder::with_site();
    let client = client(folder.serve());
    let etag = client.get("/a/b.txt").send().header("etag").expect("a tag").to_owned();
    let table = [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=8-99", 206, "89", Some("bytes 8-9/10")),
        ("bytes=10-", 416, "Range Not Satisfiable", Some("bytes */10")),
        ("bytes=0-1,3-4", 200, "0123456789", None),
        ("lines=1-2", 200, "0123456789", None),
    ];
    for (range, status, body, content_range) in table {
        let response = client.get("/a/b.txt").header("Range", range).send();
        assert_eq!((response.status().as_u16(), response.text()), (status, body), "{range}");
        assert_eq!(response.header("content-range"), content_range, "{range}");
    }
    for (if_range, status) in [(etag.as_str(), 206), ("\"other\"", 200)] {
        let request = client.get("/a/b.txt").header("Range", "bytes=0-3").header("If-Range", if_range);
        assert_eq!(request.send().status().as_u16(), status, "{if_range}");
    }
    assert_eq!(client.get("/empty.txt").header("Range", "bytes=0-").send().status(), 416);
}

#[test]
fn under_a_prefix() {
    let folder = Folder::with_site();
    let site = folder.serve();
    let inner = Router::new().serve_dir("/{who}/files/", site.clone());
    let router = Router::new().get("/static/special", || "mine").serve_dir("/static", site).nest("/u", inner);
    let client = TestClient::new(router);
    let table: [(&str, u16, &str); 8] = [
        ("/static/", 200, "<p>index"),
        ("/static/a/b.txt", 200, "0123456789"),
        ("/static/special", 200, "mine"),
        ("/static//a/b.txt", 404, "Not Found"),
        ("/static/../secret", 400, "Bad Request"),
        ("/u/ada/files/a/b.txt", 200, "0123456789"),
        ("/u/ada/files/", 200, "<p>index"),
        ("/elsewhere", 404, "Not Found"),
    ];
    for (path, status, body) in table {
        let response = client.get(path).send();
        assert_eq!((response.status().as_u16(), response.text()), (status, body), "{path}");
    }
    for (path, location) in [
        ("/static", "/static/"),
        ("/static?q", "/static/?q"),
        ("/static/a", "/static/a/"),
        ("/u/x/files", "/u/x/files/"),
    ] {
        assert_eq!(client.get(path).send().header("location"), Some(location), "{path}");
    }
    assert_eq!(client.post("/static/a/b.txt").send().header("allow"), Some("GET, HEAD, OPTIONS"));
    // A location that begins with two slashes would name another host.
    let at_root = TestClient::new(Router::new().serve_dir("/", folder.serve()));
    assert_eq!(at_root.get("//a").send().status(), 404);
    assert_eq!(at_root.get("/a").send().header("location"), Some("/a/"));
    assert_eq!(at_root.get("/").send().text(), "<p>index");
}

#[test]
fn another_index() {
    let folder = Folder::with_site();
    folder.write("site/a/home.htm", "home");
    let client = client(folder.serve().index("home.htm"));
    assert_eq!(client.get("/a/").send().text(), "home");
    assert_eq!(client.get("/").send().status(), 404);
}

#[test]
fn a_folder_that_cannot_be_served_is_an_error_at_once() {
    let folder = Folder::with_site();
    let kind = |path: PathBuf| ServeDir::new(path).expect_err("no folder").kind();
    assert_eq!(kind(folder.path("absent")), std::io::ErrorKind::NotFound);
    assert_eq!(kind(folder.path("secret")), std::io::ErrorKind::NotADirectory);
}

#[test]
fn a_file_that_may_not_be_read_is_not_there() {
    let folder = Folder::with_site();
    fs::set_permissions(folder.path("site/a/b.txt"), fs::Permissions::from_mode(0o000)).expect("set");
    let readable = fs::File::open(folder.path("site/a/b.txt")).is_ok();
    // The superuser reads everything.
    let expected = if readable { 200 } else { 404 };
    assert_eq!(client(folder.serve()).get("/a/b.txt").send().status().as_u16(), expected);
}

/// Serves the folder over a socket; `ask` talks to it.
fn over_a_socket(folder: &Folder, ask: impl FnOnce(TcpStream)) {
    let site = folder.serve();
    let running = Server::bind("127.0.0.1:0")
        .and_then(|server| server.spawn(move || Router::new().fallback(site.clone())))
        .expect("a server");
    ask(TcpStream::connect(running.addr()).expect("connected"));
    running.shutdown();
}

/// Reads up to the blank line; returns the head and what came after it.
fn read_head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).expect("a head");
        assert!(count > 0, "the head ends before its blank line");
        bytes.extend_from_slice(&piece[..count]);
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return (String::from_utf8(bytes).expect("text"), rest);
        }
    }
}

#[test]
fn a_file_that_shrinks_ends_the_connection() {
    const LEN: u64 = 64 << 20;
    let folder = Folder::with_site();
    let path = folder.path("site/large.bin");
    let file = fs::File::create(&path).expect("made");
    // More than the sockets' buffers hold, so that the server still has most of it to read when the file is cut.
    file.set_len(LEN).expect("set");
    over_a_socket(&folder, |mut stream| {
        stream.write_all(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        let (head, rest) = read_head(&mut stream);
        assert!(head.to_ascii_lowercase().contains(&format!("content-length: {LEN}\r\n")), "{head}");
        file.set_len(1 << 20).expect("cut");
        let mut sink = Vec::new();
        // It may end or be reset.
        let _ = stream.read_to_end(&mut sink);
        assert!(((rest.len() + sink.len()) as u64) < LEN, "the end comes before the promised length");
    });
}

#[test]
fn a_large_file_over_a_socket_is_whole_and_the_connection_goes_on() {
    let folder = Folder::with_site();
    let content = noise(3_000_000);
    folder.write("site/large.bin", &content);
    over_a_socket(&folder, |mut stream| {
        let asks = b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\nHEAD /large.bin HTTP/1.1\r\nHost: a\r\n\r\n\
                     GET /a/b.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(asks).expect("sent");
        let (_, mut body) = read_head(&mut stream);
        stream.read_to_end(&mut body).expect("the rest");
        let answers = body.split_off(content.len());
        assert!(body == content, "the file, byte for byte");
        let answers = String::from_utf8(answers).expect("text");
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answers}");
        assert!(answers.to_ascii_lowercase().contains("content-length: 3000000\r\n"), "{answers}");
        assert!(answers.ends_with("\r\n\r\n0123456789"), "{answers}");
    });
}
