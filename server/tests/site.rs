//! `sws serve` on a site: pages, and what browsers are told of changes.

#[path = "site/fixture.rs"]
mod fixture;
#[path = "site/odd.rs"]
mod odd;
#[path = "site/roots.rs"]
mod roots;

use fixture::Folder;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

#[test]
fn pages_files_and_what_is_not_there() {
    let folder = Folder::new();
    let program = folder.serve(&[]);
    assert!(program.said[0].starts_with("site: 2 articles, 0 pages, 1 draft,"), "{:?}", program.said);
    assert!(program.said[1].contains(".data: 0 records kept, 0 bytes cut"), "{:?}", program.said);
    let table = [
        ("/", 200, "text/html; charset=utf-8", "First"),
        ("/first/", 200, "text/html; charset=utf-8", "The first text."),
        ("/tags/rings/", 200, "text/html; charset=utf-8", "First"),
        ("/search/?q=another", 200, "text/html; charset=utf-8", "Second"),
        ("/feed.xml", 200, "application/atom+xml; charset=utf-8", "First"),
        ("/sitemap.xml", 200, "application/xml; charset=utf-8", "second"),
        ("/data.txt", 200, "text/plain; charset=utf-8", "0123456789"),
        ("/static/data.txt", 200, "text/plain; charset=utf-8", "0123456789"),
        ("/-/live.js", 200, "text/javascript; charset=utf-8", "EventSource"),
        ("/nothing", 404, "text/html; charset=utf-8", "Test"),
        ("/hidden/", 404, "text/html; charset=utf-8", "Test"),
        ("/-/nothing", 404, "text/html; charset=utf-8", "Test"),
        ("/site.json", 404, "text/html; charset=utf-8", "Test"),
        ("/content/first.md", 404, "text/html; charset=utf-8", "Test"),
    ];
    for (path, status, media_type, part) in table {
        let answer = program.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (status, Some(media_type)), "{path}");
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
    }
    for list in ["/", "/tags/", "/search/?q=hidden", "/feed.xml", "/sitemap.xml"] {
        assert!(!program.get(list).body.contains("Hidden"), "{list}");
    }
    assert_eq!(program.get("/first").header("location"), Some("/first/"));
    assert_eq!(program.request("POST", "/first/", "", "").status, 405);
    let head = program.request("HEAD", "/first/", "", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    program.end();
}

#[test]
fn what_a_browser_has_is_not_sent_again() {
    let folder = Folder::new();
    let program = folder.serve(&[]);
    for path in ["/first/", "/data.txt"] {
        let answer = program.get(path);
        let etag = answer.header("etag").expect("a tag").to_owned();
        assert!(answer.header("last-modified").is_some(), "{path}");
        let again = program.request("GET", path, &format!("If-None-Match: {etag}\r\n"), "");
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
        assert_eq!(again.header("etag"), Some(etag.as_str()));
        let other = program.request("GET", path, "If-None-Match: \"other\"\r\n", "");
        assert_eq!(other.status, 200, "{path}");
    }
    let part = program.request("GET", "/data.txt", "Range: bytes=2-4\r\n", "");
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    program.end();
}

#[test]
fn no_path_leads_out_of_the_site() {
    let folder = Folder::new();
    folder.write("secret.txt", "secret");
    fs::write(folder.path("../outside.txt"), "secret").expect("written");
    std::os::unix::fs::symlink(folder.path("../outside.txt"), folder.path("static/link.txt"))
        .expect("linked");
    let program = folder.serve(&[]);
    for path in [
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/static/../secret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/%2e%2e%2f%2e%2e%2foutside.txt",
        "/first/../../secret.txt",
        "//secret.txt",
        "/secret.txt",
        "/link.txt",
        "/static/link.txt",
        "/data.txt%00",
    ] {
        let answer = program.get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert_ne!(answer.body, "secret", "{path}");
    }
    program.end();
}

#[test]
fn an_edit_is_told_and_shown() {
    let folder = Folder::new();
    let program = folder.serve(&["--workers", "2"]);
    let mut first = program.listen("path=/first/", "");
    let mut second = program.listen("title=second", "");
    let mut tagged = program.listen("tag=rings", "");
    let mut all = program.listen("", "");
    let start = all.wait("version").id.expect("a version");
    for other in [&mut first, &mut second, &mut tagged] {
        other.wait("version");
    }
    let etag = program.get("/first/").header("etag").map(str::to_owned);
    folder.write("content/first.md", "---\ntitle: First\ntags: [fibers]\n---\nThe new text.\n");
    for listener in [&mut first, &mut tagged, &mut all] {
        let event = listener.next();
        assert_eq!((event.name.as_str(), event.id), ("change", Some(start + 1)));
        assert_eq!((event.get("kind"), event.get("url")), ("updated".to_owned(), "/first/".to_owned()));
    }
    let answer = program.get("/first/");
    assert!(answer.body.contains("The new text."));
    assert_ne!(answer.header("etag").map(str::to_owned), etag);

    folder.remove("content/second.md");
    let event = second.next();
    assert_eq!(
        (event.get("kind"), event.get("title"), event.id),
        ("removed".into(), "Second".into(), Some(start + 2))
    );
    assert_eq!(program.get("/second/").status, 404);
    assert_eq!(all.next(), event);
    folder.write("static/style.css", "a {}");
    assert_eq!(first.next().get("url"), "/style.css", "what all pages share");
    program.end();
}

#[test]
fn a_socket_gets_the_same() {
    let folder = Folder::new();
    let program = folder.serve(&[]);
    let start = program.listen("", "").wait("version").id.expect("a version");
    let url = format!("ws://{}/-/live?title=first&version={start}", program.addr);
    let (mut socket, _) =
        tungstenite::client(url, std::net::TcpStream::connect(&program.addr).expect("connected"))
            .expect("a socket");
    let mut next = || {
        let text = socket.read().expect("a message").into_text().expect("a text");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        (value["event"].as_str().map(str::to_owned), value["data"].clone())
    };
    assert_eq!(next().0.as_deref(), Some("solved"));
    assert_eq!(next().1["version"], start);
    folder.write("content/second.md", "# Not asked for\n");
    folder.write("content/first.md", "---\ntitle: [oops\n---\n");
    let (event, data) = next();
    assert_eq!((event.as_deref(), &data["file"]), (Some("problem"), &"content/first.md".into()));
    folder.remove("content/first.md");
    let (event, data) = next();
    assert_eq!((event.as_deref(), &data["kind"]), (Some("change"), &"removed".into()));
    assert_eq!(next().0.as_deref(), Some("solved"));
    program.end();
}

#[test]
fn drafts_are_told_to_nobody_until_they_are_none() {
    let folder = Folder::new();
    let program = folder.serve(&[]);
    let mut all = program.listen("", "");
    all.wait("version");
    folder.write("content/hidden.md", "---\ntitle: Hidden\ndraft: true\n---\nStill not.\n");
    folder.write("content/second.md", "# Second, again\n");
    assert_eq!(all.next().get("slug"), "second");
    folder.write("content/hidden.md", "---\ntitle: Hidden\n---\nThere.\n");
    let event = all.next();
    assert_eq!((event.get("kind"), event.get("slug")), ("created".into(), "hidden".into()));
    program.end();

    let folder = Folder::new();
    let program = folder.serve(&["--drafts"]);
    assert!(program.get("/hidden/").body.contains("Not yet."));
    program.listen("", "").wait("version");
    assert_eq!(program.get("/topics/site.preview/0").status, 403);
    program.end();
}

#[test]
fn a_broken_file_keeps_the_last_good_page_and_says_where() {
    let folder = Folder::new();
    let mut program = folder.serve(&[]);
    let mut page = program.listen("path=/first/", "");
    page.wait("version");
    folder.write("content/first.md", "---\ntags: 1\ntitle: [oops\n---\nBroken.\n");
    let problem = page.next();
    assert_eq!((problem.name.as_str(), problem.id), ("problem", None));
    assert_eq!(problem.get("file"), "content/first.md");
    let line = problem.get("line");
    assert!(line == "2" || line == "3", "{problem:?}");
    assert!(program.complaint().starts_with(&format!("sws: content/first.md:{line}:")));
    assert!(program.get("/first/").body.contains("The first text."));
    assert!(program.get("/-/admin").body.contains(&format!("content/first.md:{line}")));
    let mut later = program.listen("path=/first/", "");
    later.wait("version");
    assert_eq!(later.next(), problem, "later visitors are told too");
    let mut other = program.listen("path=/second/", "");
    other.wait("version");

    folder.write("content/first.md", "# First, mended\n");
    for listener in [&mut page, &mut later] {
        assert_eq!(listener.next().name, "change");
        let solved = listener.next();
        assert_eq!((solved.name.as_str(), solved.get("file")), ("solved", "content/first.md".to_owned()));
    }
    assert_eq!(program.complaint(), "sws: content/first.md: mended");
    folder.write("content/second.md", "# Second, again\n");
    assert_eq!(other.next().name, "change", "another page hears of its own only");
    program.end();
}

#[test]
fn versions_go_on_over_restarts_and_nothing_is_missed() {
    let folder = Folder::new();
    let program = folder.serve(&[]);
    let mut all = program.listen("", "");
    let start = all.wait("version").id.expect("a version");
    folder.write("content/first.md", "# First, one\n");
    assert_eq!(all.next().id, Some(start + 1));
    folder.write("content/first.md", "# First, two\n");
    assert_eq!(all.next().id, Some(start + 2));
    // One that is away comes again and gets what it missed.
    let mut again = program.listen("path=/first/", &format!("Last-Event-ID: {}\r\n", start + 1));
    assert_eq!((again.next().id, again.wait("version").id), (Some(start + 2), Some(start + 2)));
    program.kill();

    folder.write("content/first.md", "# First, three\n");
    folder.write("content/third.md", "# Third\n");
    folder.remove("content/second.md");
    let program = folder.serve(&[]);
    let mut all = program.listen("", &format!("Last-Event-ID: {}\r\n", start + 1));
    let events: Vec<_> = (0..4).map(|_| all.next()).collect();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.id.unwrap_or(0) - start, event.get("kind"), event.get("slug")))
        .collect();
    let wanted =
        [(2, "updated", "first"), (3, "updated", "first"), (4, "created", "third"), (5, "removed", "second")];
    assert_eq!(told, wanted.map(|(n, kind, slug)| (n, kind.to_owned(), slug.to_owned())));
    assert_eq!(all.next().get("file"), "", "what was wrong is not any more");
    assert_eq!(all.next().id, Some(start + 5));
    program.end();

    // Nothing happened: nothing is told.
    let program = folder.serve(&[]);
    let mut all = program.listen(&format!("version={}", start + 5), "");
    assert_eq!(all.next().name, "solved");
    assert_eq!(all.next().id, Some(start + 5));
    // A version of another life.
    let mut stranger = program.listen("", "Last-Event-ID: 1000000\r\n");
    assert_eq!(stranger.next().name, "missed");
    program.end();
}

#[test]
fn what_cannot_be_read_after_a_restart_is_not_removed() {
    let folder = Folder::new();
    let program = folder.serve(&[]);
    let start = program.listen("", "").wait("version").id.expect("a version");
    program.end();
    folder.write("content/first.md", "---\ntitle: [oops\n---\nBroken.\n");
    let program = folder.serve(&[]);
    let mut all = program.listen(&format!("version={start}"), "");
    assert_eq!(all.next().name, "solved");
    assert_eq!(all.next().id, Some(start), "nobody has deleted a file");
    assert_eq!(program.get("/first/").status, 404);
    folder.write("content/first.md", "# First, mended\n");
    let event = all.next();
    assert_eq!(
        (event.get("kind"), event.get("slug"), event.id),
        ("updated".into(), "first".into(), Some(start + 1))
    );
    program.end();
    let program = folder.serve(&[]);
    assert!(!program.get("/topics/site/0?offset=0").body.contains("removed"));
    program.end();
}

#[test]
fn content_that_cannot_be_read_is_an_end_with_one_line() {
    let folder = Folder::new();
    folder.serve(&[]).end();
    let content = folder.path("content");
    let permit = |mode| fs::set_permissions(&content, fs::Permissions::from_mode(mode)).expect("set");
    permit(0o000);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sws"));
    if fs::read_dir(&content).is_ok() {
        // Root reads everything, until it gives that up.
        command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search", env!("CARGO_BIN_EXE_sws")]);
    }
    command.arg("serve").arg(folder.path("")).args(["--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut served = [0];
    // One that serves says so, and does not end.
    let len = child.stdout.as_mut().expect("piped").read(&mut served).expect("read");
    if len != 0 {
        child.kill().expect("killed");
    }
    permit(0o755);
    assert_eq!(len, 0, "it serves what it cannot read");
    let output = child.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    let wanted = format!("cannot read {}: Permission denied", content.display());
    assert!(said.contains(&wanted), "{said}");
    let program = folder.serve(&[]);
    assert!(!program.get("/topics/site/0?offset=0").body.contains("removed"));
    program.end();
}

#[test]
fn a_checkout_of_500_files_settles_and_loses_nothing() {
    let folder = Folder::new();
    let dir = folder.path("");
    let git = |args: &[&str]| {
        let identity =
            ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"];
        let output = Command::new("git").arg("-C").arg(&dir).args(identity).args(args).output().expect("git");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let fill = |word: &str| {
        for number in 0..500 {
            let text = format!("---\ntitle: A {number}\n---\nThe {word} text {number}.\n");
            fs::write(folder.path(&format!("content/a{number}.md")), text).expect("written");
        }
    };
    git(&["init", "-q"]);
    fill("old");
    git(&["add", "."]);
    git(&["commit", "-qm", "old"]);
    git(&["checkout", "-qb", "new"]);
    fill("new");
    git(&["commit", "-qam", "new"]);
    let program = folder.serve(&[]);
    let mut all = program.listen("", "");
    all.wait("version");
    git(&["checkout", "-q", "main"]);
    let mut slugs = std::collections::BTreeSet::new();
    while slugs.len() < 500 {
        let event = all.next();
        assert_eq!(event.get("kind"), "updated", "{event:?}");
        slugs.insert(event.get("slug"));
    }
    for number in [0, 123, 499] {
        let body = program.get(&format!("/a{number}/")).body;
        assert!(body.contains(&format!("The old text {number}.")), "{number}");
    }
    program.end();
}

#[test]
fn topics_are_open_as_the_site_says() {
    let folder = Folder::new();
    let program = folder.serve(&["--token", "s3cret"]);
    program.listen("", "").wait("version");
    let json = "Content-Type: application/json\r\n";
    let bearer = "Authorization: Bearer s3cret\r\n";
    let say = |topic: &str, headers: &str| {
        program
            .request("POST", &format!("/topics/{topic}"), &format!("{json}{headers}"), r#"{"text":"a"}"#)
            .status
    };
    assert_eq!((say("chat", ""), program.get("/topics/chat/0").status), (200, 200));
    assert_eq!(
        say("chat", "Origin: http://elsewhere.example\r\n"),
        401,
        "a page of elsewhere does not write here"
    );
    assert_eq!((say("inner", ""), program.get("/topics/inner/0").status), (401, 401));
    assert_eq!((say("inner", bearer), say("inner", "Authorization: Bearer other\r\n")), (200, 401));
    assert_eq!((say("site", ""), say("site", bearer)), (403, 403), "the changes are the site's own");
    for headers in ["", bearer] {
        let refused = program.request("POST", "/topics/site", &format!("{json}{headers}"), r#"{"text":"a"}"#);
        assert!(refused.body.contains("the topic `site` is written by the server alone"), "{}", refused.body);
    }
    assert_eq!((program.get("/topics/site/0").status, program.get("/topics").status), (200, 401));
    assert_eq!(program.request("GET", "/topics", bearer, "").status, 200);
    assert_eq!(program.get("/-/admin").status, 401);
    assert_eq!(program.request("GET", "/-/admin", bearer, "").status, 200);
    program.end();

    let program = folder.serve(&[]);
    assert_eq!(program.get("/-/admin").status, 200);
    assert_eq!(program.request("GET", "/-/admin", "X-Forwarded-For: 10.0.0.1\r\n", "").status, 403);
    assert!(program.get("/topics/chat/0?offset=0").body.contains(r#""text":"a""#), "it was kept");
    program.end();
}
