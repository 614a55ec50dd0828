//! Work beside the handler: fibers of the same thread (`go`), CPU work on the worker pool (`submit`), and a job that waits for a
//! device without keeping its worker (`worker_yield`).
//!
//! `cargo run --release -p examples --example go_and_submit -- --listen 127.0.0.1:8080`, then
//! `curl http://127.0.0.1:8080/primes/1000000`

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use sws::http::StatusCode;
use sws::runtime::{Cancelled, JoinError, go, sleep, submit, worker_yield};
use sws::{IntoResponse, Path, Response, Router, ServeError, Server, State};

const LIMIT_MAX: u64 = 5_000_000;
const PARTS: u64 = 4;

/// Why there is no answer.
enum Failed {
    TooMuch,
    Join(JoinError),
}

impl From<JoinError> for Failed {
    fn from(error: JoinError) -> Failed {
        Failed::Join(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Failed::TooMuch => (StatusCode::BAD_REQUEST, "that is too much work").into_response(),
            Failed::Join(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
        }
    }
}

fn count_primes(from: u64, below: u64) -> usize {
    let is_prime = |n: &u64| *n > 1 && !(2..).take_while(|d| d * d <= *n).any(|d| n.is_multiple_of(d));
    (from..below).filter(is_prime).count()
}

/// Four jobs at once; the IO thread serves others until all have ended.
fn primes(Path(limit): Path<u64>) -> Result<String, Failed> {
    if limit > LIMIT_MAX {
        return Err(Failed::TooMuch);
    }
    let bound = move |part| limit * part / PARTS;
    let jobs: Vec<_> =
        (0..PARTS).map(|part| submit(move || count_primes(bound(part), bound(part + 1)))).collect();
    let mut count = 0;
    for job in jobs {
        count += job.join()?;
    }
    Ok(format!("{count} primes below {limit}\n"))
}

fn slow_greeting(of: &str, after: Duration) -> Result<String, Cancelled> {
    sleep(after)?;
    Ok(format!("{of} says hello\n"))
}

/// Two fibers wait at once, so this takes as long as the slower one.
fn greetings() -> Result<String, Failed> {
    let near = go("near", || slow_greeting("near", Duration::from_millis(10)));
    let far = go("far", || slow_greeting("far", Duration::from_millis(20)));
    let near = near.join()?.map_err(JoinError::from)?;
    let far = far.join()?.map_err(JoinError::from)?;
    Ok(near + &far)
}

/// What has no descriptor and can only be asked: a GPU stream, a register, a library's handle.
#[derive(Clone, Default)]
struct Device {
    ready: Arc<AtomicU64>,
}

/// Waits for the device's next result. The job is parked: its worker runs other jobs.
fn device(State(device): State<Device>) -> Result<String, Failed> {
    let ready = device.ready;
    let before = ready.load(Ordering::Relaxed);
    let job = submit(move || worker_yield(|| ready.load(Ordering::Relaxed) > before));
    match job.join()? {
        Ok(()) => Ok(format!("result {}\n", before + 1)),
        Err(_closing) => Err(Failed::Join(JoinError::Lost)),
    }
}

/// Stands for the device's own end of the work.
fn finish(State(device): State<Device>) -> StatusCode {
    device.ready.fetch_add(1, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

fn router() -> Router {
    Router::new()
        .get("/primes/{limit}", primes)
        .get("/greetings", greetings)
        .route("/device", sws::get(device).post(finish))
        .with_state(Device::default())
}

fn main() -> Result<(), ServeError> {
    let server = Server::bind(examples::listen_addr())?;
    println!("listening on {}", server.addr());
    server.serve(router)
}
