//! On the keep-alive path the IO thread allocates nothing, once it is warm.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use sws::{Router, Running, Server};

/// Counts what counted threads ask the system's allocator for.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread is counted. Without a destructor and without an initialiser it is there at every moment of a
    /// thread's life, and its use allocates nothing.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if COUNTED.get() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator as it is; counting touches no memory of its callers.
unsafe impl GlobalAlloc for Counting {
    /// # Safety
    /// As the trait says.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    /// # Safety
    /// As the trait says.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    /// # Safety
    /// As the trait says.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    /// # Safety
    /// As the trait says.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONNECTIONS: usize = 8;
const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n";

/// Runs a closure on the IO thread and waits for its value.
fn on_loop<T: Send + 'static>(server: &Running, f: impl FnOnce() -> T + Send + 'static) -> T {
    // One place, made here: sending into it allocates nothing on the IO thread.
    let (sender, receiver) = mpsc::sync_channel(1);
    let run = move || {
        let _ = sender.send(f());
    };
    server.handles()[0].invoke(run).unwrap();
    receiver.recv_timeout(Duration::from_secs(20)).expect("the loop answers")
}

/// The allocations of the IO thread while `f` runs.
fn allocations_in(server: &Running, f: impl FnOnce()) -> u64 {
    let before = on_loop(server, || {
        COUNTED.set(true);
        ALLOCATIONS.load(Ordering::Relaxed)
    });
    f();
    on_loop(server, || {
        COUNTED.set(false);
        ALLOCATIONS.load(Ordering::Relaxed)
    }) - before
}

fn connect(addr: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(addr).unwrap();
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client
}

/// Each connection asks `depth` requests at once, and waits for its answers before the next connection asks, or after all have
/// asked. All answers have the length of the first.
fn ask(clients: &mut [TcpStream], rounds: usize, depth: usize, together: bool, answer_len: usize) {
    let requests = REQUEST.repeat(depth);
    let mut answers = vec![0; answer_len * depth];
    let size = if together { clients.len() } else { 1 };
    for _ in 0..rounds {
        for clients in clients.chunks_mut(size) {
            for client in &mut *clients {
                client.write_all(&requests).unwrap();
            }
            for client in clients {
                client.read_exact(&mut answers).unwrap();
                for answer in answers.chunks(answer_len) {
                    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
                    assert!(answer.ends_with(b"\r\n\r\nHello, World!"));
                }
            }
        }
    }
}

fn first_answer(client: &mut TcpStream) -> usize {
    client.write_all(REQUEST).unwrap();
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"Hello, World!") {
        client.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    answer.len()
}

#[test]
fn keep_alive_requests_allocate_nothing() {
    let server = Server::bind("127.0.0.1:0").unwrap();
    let router = || {
        Router::new()
            .get("/plaintext", || "Hello, World!")
            .get("/allocating", || String::from("Hello, World!"))
    };
    let server = server.spawn(router).unwrap();
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| connect(server.addr())).collect();
    let answer_len = first_answer(&mut clients[0]);
    for depth in [1, 16] {
        let rounds = 10_000 / CONNECTIONS / depth + 1;
        ask(&mut clients, 100, depth, true, answer_len);
        let alone = allocations_in(&server, || ask(&mut clients, rounds, depth, false, answer_len));
        assert_eq!(alone, 0, "{depth} requests at once");
        // The pool gives back, each second, the buffers that it did not need at once; at most one of each connection.
        let began = Instant::now();
        let together = allocations_in(&server, || ask(&mut clients, rounds, depth, true, answer_len));
        let trims = began.elapsed().as_secs() + 2;
        assert!(together <= trims * CONNECTIONS as u64, "{together}, {depth} requests at once");
    }
    // The count is real: a handler that allocates is seen.
    let allocating = allocations_in(&server, || {
        let client = &mut clients[0];
        client.write_all(b"GET /allocating HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = vec![0; answer_len];
        client.read_exact(&mut answer).unwrap();
    });
    assert!(allocating > 0);
    drop(clients);
    server.shutdown();
}
