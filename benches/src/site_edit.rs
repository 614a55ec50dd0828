//! From a file that is closed to the event that tells of it, and what a checkout of many files comes to.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sws::site::{LiveSite, LiveSiteOptions};
use sws::{Log, Running, Server};

use crate::histogram::Histogram;
use crate::sys::{Epoll, Event};
use crate::table::Figure;

/// After this an event that has not come is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Streams of events that hear of each change.
    pub subscribers: usize,
    /// Files that are written, one after the other.
    pub edits: usize,
    /// Files of one checkout.
    pub checkout_files: usize,
    /// Where the site and its log are.
    pub dir: PathBuf,
}

/// A site with its log; removed at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

impl Folder {
    fn create(parent: &Path) -> io::Result<Folder> {
        let folder = Folder(parent.join(format!("site-bench-{}", std::process::id())));
        fs::create_dir_all(folder.0.join("site/content"))?;
        Ok(folder)
    }

    fn site(&self) -> PathBuf {
        self.0.join("site")
    }

    fn article(&self, number: usize) -> PathBuf {
        self.site().join(format!("content/a{number}.md"))
    }

    fn serve(&self) -> io::Result<Running> {
        let (log, _) = Log::open(self.0.join("data")).map_err(io::Error::other)?;
        let opened = LiveSite::open(self.site(), log, LiveSiteOptions::default());
        let (site, _) = opened.map_err(io::Error::other)?;
        let server = Server::bind("127.0.0.1:0").map_err(io::Error::other)?;
        site.attach(&server.topics());
        server.spawn(move || site.router()).map_err(io::Error::other)
    }
}

fn text(word: &str, number: usize) -> String {
    let paragraph = format!("The {word} words of article {number}, as long as a paragraph is.\n\n");
    format!("---\ntitle: Article {number}\ntags: [bench]\n---\n{}", paragraph.repeat(20))
}

/// A stream of events, and what of it was not a whole line.
struct Listener {
    stream: TcpStream,
    partial: Vec<u8>,
}

impl Listener {
    fn connect(addr: SocketAddr) -> io::Result<Listener> {
        let mut stream = TcpStream::connect(addr)?;
        stream.write_all(format!("GET /-/live HTTP/1.1\r\nHost: {addr}\r\n\r\n").as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(Listener { stream, partial: Vec::new() })
    }

    /// The slugs of changes, and the greeting as an empty one.
    fn read(&mut self, mut heard: impl FnMut(&str)) -> io::Result<()> {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("a stream of events has ended")),
                Ok(len) => self.partial.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let end = self.partial.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let text = std::str::from_utf8(&self.partial[..end]).map_err(io::Error::other)?;
        for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            // Who listens shares the machine with the server: it reads no more of the JSON than it has to.
            let slug = data.split_once(r#""slug":""#).and_then(|(_, rest)| rest.split('"').next());
            heard(slug.unwrap_or_default());
        }
        self.partial.drain(..end);
        Ok(())
    }
}

/// All listeners, and which of them has something.
struct Audience {
    listeners: Vec<Listener>,
    epoll: Epoll,
}

impl Audience {
    fn gather(addr: SocketAddr, count: usize) -> io::Result<Audience> {
        let mut audience = Audience { listeners: Vec::new(), epoll: Epoll::new()? };
        for number in 0..count {
            let listener = Listener::connect(addr)?;
            audience.epoll.add(listener.stream.as_raw_fd(), libc::EPOLLIN, number as u64)?;
            audience.listeners.push(listener);
        }
        audience.hear(count, |_| true)?;
        Ok(audience)
    }

    /// Waits until `counts` has said yes so many times.
    fn hear(&mut self, mut wanted: usize, mut counts: impl FnMut(&str) -> bool) -> io::Result<()> {
        let began = Instant::now();
        let mut events = vec![Event { events: 0, u64: 0 }; 256];
        while wanted > 0 {
            let ready = self.epoll.wait(&mut events, Some(Duration::from_secs(1)))?;
            for event in &events[..ready] {
                let number = event.u64 as usize;
                self.listeners[number]
                    .read(|slug| wanted = wanted.saturating_sub(usize::from(counts(slug))))?;
            }
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{wanted} events have not come")));
            }
        }
        Ok(())
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Writes a file after the other, and has each listener hear of it.
pub fn edits(plan: &Plan) -> io::Result<Vec<Figure>> {
    let folder = Folder::create(&plan.dir)?;
    for number in 0..20 {
        fs::write(folder.article(number), text("first", number))?;
    }
    let server = folder.serve()?;
    let mut audience = Audience::gather(server.addr(), plan.subscribers)?;
    let (mut each, mut last) = (Histogram::new(), Histogram::new());
    for edit in 0..plan.edits {
        let number = edit % 20;
        let slug = format!("a{number}");
        fs::write(folder.article(number), text(&format!("{edit}th"), number))?;
        let closed = Instant::now();
        audience.hear(plan.subscribers, |heard| {
            let is_it = heard == slug;
            if is_it {
                each.record(closed.elapsed(), 1);
            }
            is_it
        })?;
        last.record(closed.elapsed(), 1);
    }
    drop(audience);
    server.shutdown();
    Ok(vec![
        Figure::new("p50, ms", millis(each.quantile(0.5)), 1),
        Figure::new("p99, ms", millis(each.quantile(0.99)), 1),
        Figure::new("last of all p50, ms", millis(last.quantile(0.5)), 1),
        Figure::new("last of all p99, ms", millis(last.quantile(0.99)), 1),
        Figure::new("most, ms", millis(last.max()), 1),
    ])
}

fn git(dir: &Path, args: &[&str]) -> io::Result<()> {
    let identity =
        ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "init.defaultBranch=main"];
    let status = Command::new("git").arg("-C").arg(dir).args(identity).args(args).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("git {args:?} failed"))) }
}

/// Checks another branch out, in which every file is another.
pub fn checkout(plan: &Plan) -> io::Result<Vec<Figure>> {
    let folder = Folder::create(&plan.dir)?;
    let site = folder.site();
    let fill = |word: &str| {
        (0..plan.checkout_files).try_for_each(|number| fs::write(folder.article(number), text(word, number)))
    };
    git(&site, &["init", "-q"])?;
    fill("old")?;
    git(&site, &["add", "."])?;
    git(&site, &["commit", "-qm", "old"])?;
    git(&site, &["checkout", "-qb", "new"])?;
    fill("new")?;
    git(&site, &["commit", "-qam", "new"])?;
    let server = folder.serve()?;
    let mut audience = Audience::gather(server.addr(), 1)?;
    let before = batches(server.addr())?;
    let began = Instant::now();
    git(&site, &["checkout", "-q", "main"])?;
    let git_time = began.elapsed();
    let mut seen = BTreeSet::new();
    audience.hear(plan.checkout_files, |slug| seen.insert(slug.to_owned()))?;
    let settled = began.elapsed();
    let after = batches(server.addr())?;
    drop(audience);
    server.shutdown();
    Ok(vec![
        Figure::new("files", seen.len() as f64, 0),
        Figure::new("batches", (after - before) as f64, 0),
        Figure::new("git, ms", millis(git_time), 0),
        Figure::new("settled behind git, ms", millis(settled.saturating_sub(git_time)), 0),
    ])
}

/// How many batches of files the site has taken in, as its admin page says.
fn batches(addr: SocketAddr) -> io::Result<u64> {
    let mut stream = TcpStream::connect(addr)?;
    let request = format!("GET /-/admin HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let number =
        page.split_once(" batches of changed files").and_then(|(before, _)| before.rsplit(' ').next());
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| io::Error::other("the admin page says nothing"))
}
