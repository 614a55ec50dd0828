//! Bodies of any size in constant memory, both ways: a response that is written while it is sent, and a request body that is read
//! while it arrives. Who is faster waits for who is slower.
//!
//! `cargo run --release -p examples --example streaming -- --listen 127.0.0.1:8080`, then
//! `curl http://127.0.0.1:8080/count/1000000 | curl -T - http://127.0.0.1:8080/lines`

#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use sws::{Context, Path, Response, Router, ServeError, Server, State};

/// The last number that any `/count` has written.
type Progress = Arc<AtomicU64>;

/// A write suspends this fiber while the client does not read, and fails when the client has gone.
fn count(Path(last): Path<u64>, State(progress): State<Progress>) -> Response {
    Response::stream("text/plain; charset=utf-8", move |out| {
        for number in 1..=last {
            writeln!(out, "{number}")?;
            progress.store(number, Ordering::Relaxed);
        }
        Ok(())
    })
}

/// A read suspends this fiber until more has come; what is not read is not taken from the socket.
fn lines(ctx: &mut Context) -> io::Result<String> {
    let mut buffer = [0; 16 * 1024];
    let (mut lines, mut bytes) = (0, 0);
    loop {
        match ctx.body().read(&mut buffer)? {
            0 => return Ok(format!("{lines} lines, {bytes} bytes\n")),
            len => {
                lines += buffer[..len].iter().filter(|&&byte| byte == b'\n').count();
                bytes += len;
            }
        }
    }
}

fn progress(State(progress): State<Progress>) -> String {
    progress.load(Ordering::Relaxed).to_string()
}

fn router() -> Router {
    Router::new()
        .get("/count/{last}", count)
        .get("/progress", progress)
        .route("/lines", sws::put(lines).post(lines))
        .with_state(Progress::default())
}

fn main() -> Result<(), ServeError> {
    let server = Server::bind(examples::listen_addr())?;
    println!("listening on {}", server.addr());
    server.serve(router)
}
