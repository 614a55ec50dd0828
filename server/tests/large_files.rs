//! Files that are too large to be copied: sent through pipes, to peers that read, that read slowly, that stop and that go.

mod common;

use common::{Client, get, settle, start, start_with, stats, wait_until};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use sws::{HttpLimits, Router, ServeDir};

/// Bytes of a file: not a multiple of anything.
const LEN: usize = 3_000_017;
/// More peers than a worker has pipes.
const PEERS: usize = 20;

/// A folder of its own, with files of different content, taken away at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(files: usize) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("large-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a folder");
        for number in 0..files {
            fs::write(path.join(format!("{number}.bin")), content(number)).expect("written");
        }
        Folder(path)
    }

    fn router(&self) -> impl Fn() -> Router + Send + Sync + 'static {
        let dir = ServeDir::new(&self.0).expect("a folder");
        move || Router::new().fallback(dir.clone())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes of which no two files, and no two pieces of one, have the same.
fn content(number: usize) -> Vec<u8> {
    let byte = |n: u64| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
    (0..LEN as u64).map(|n| byte(n + number as u64 * 0x1_0000_0001)).collect()
}

#[test]
fn every_range_of_a_large_file_is_that_range() {
    let folder = Folder::new(1);
    let server = start(folder.router());
    let mut client = Client::connect(server.addr());
    let whole = content(0);
    let mid = 1 << 18;
    let edges = [0, 1, 4095, 4096, 4097, mid - 1, mid, mid + 1];
    for from in edges {
        for to in edges.map(|edge| LEN - 1 - edge) {
            client.send(format!("GET /0.bin HTTP/1.1\r\nHost: a\r\nRange: bytes={from}-{to}\r\n\r\n"));
            let answer = client.answer();
            assert_eq!(answer.status, 206);
            assert!(answer.body == whole[from..=to], "bytes {from} to {to}");
        }
    }
    drop(client);
    settle(server);
}

#[test]
fn peers_at_the_same_time_get_each_their_own_file() {
    let folder = Folder::new(PEERS);
    let server = start(folder.router());
    let addr = server.addr();
    // All ask before any reads: those that find no pipe are served all the same.
    let asking: Vec<Client> =
        (0..PEERS).map(|number| Client::asking(addr, get(&format!("/{number}.bin")).repeat(3))).collect();
    let reading: Vec<_> = asking
        .into_iter()
        .enumerate()
        .map(|(number, mut client)| {
            std::thread::spawn(move || {
                let expected = content(number);
                for turn in 0..3 {
                    assert!(client.answer().body == expected, "file {number}, turn {turn}");
                }
            })
        })
        .collect();
    for reader in reading {
        reader.join().expect("each has its own");
    }
    settle(server);
}

#[test]
fn peers_that_go_leave_nothing_for_the_next() {
    let folder = Folder::new(2);
    let server = start(folder.router());
    for turn in 0..PEERS {
        let gone = Client::asking(server.addr(), get("/0.bin").repeat(20));
        // What the sockets hold is much less than what was asked for.
        wait_until(&server, "a pipe is in use", |stats| stats.pipes > 0);
        if turn % 2 == 0 {
            gone.reset();
        } else {
            drop(gone);
        }
        let mut next = Client::asking(server.addr(), get("/1.bin"));
        assert!(next.answer().body == content(1), "turn {turn}");
    }
    settle(server);
}

#[test]
fn peers_that_stop_reading_are_let_go_and_hold_up_nobody() {
    let folder = Folder::new(2);
    let limits = HttpLimits { write_timeout: Duration::from_millis(700), ..HttpLimits::default() };
    let server = start_with(limits, folder.router());
    let stopped: Vec<Client> =
        (0..PEERS).map(|_| Client::asking(server.addr(), get("/0.bin").repeat(20))).collect();
    wait_until(&server, "pipes are in use", |stats| stats.pipes > 1);
    let mut next = Client::asking(server.addr(), get("/1.bin"));
    assert!(next.answer().body == content(1));
    assert!(stats(&server).connections > PEERS as u32 / 2, "most have not been let go yet");
    drop(next);
    wait_until(&server, "who reads nothing is let go", |stats| stats.connections == 0);
    drop(stopped);
    settle(server);
}
