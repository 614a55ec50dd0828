//! Peers that many know, on one thread, as their documentation sets them up, with TCP_NODELAY.
//!
//! `/plaintext` and `/json` as the comparisons ask for them; `/heavy/inline` and `/heavy/submit`
//! spend [`HEAVY_CPU`] on the IO thread and on a blocking thread.

use std::convert::Infallible;
use std::io;
use std::net;
use std::time::{Duration, Instant};

use axum::routing::get;
use axum::serve::ListenerExt;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// CPU time that a heavy request costs.
pub const HEAVY_CPU: Duration = Duration::from_millis(2);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HELLO: &str = "Hello, World!";

#[derive(serde::Serialize)]
struct Message {
    message: &'static str,
}

/// Serves with hyper 1, HTTP/1 only, until the process is told to end.
pub fn serve_hyper(listener: net::TcpListener) -> io::Result<()> {
    on_one_thread(async move {
        let listener = async_listener(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let mut builder = http1::Builder::new();
            builder.pipeline_flush(true);
            let connection = builder.serve_connection(TokioIo::new(stream), service_fn(hyper_handler));
            tokio::spawn(async move {
                // A peer that goes away ends its own connection only.
                drop(connection.await);
            });
        }
    })
}

async fn hyper_handler(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (content_type, body) = match request.uri().path() {
        "/plaintext" => (TEXT, Bytes::from_static(HELLO.as_bytes())),
        "/json" => {
            let body = serde_json::to_vec(&Message { message: HELLO }).expect("a string always serialises");
            (JSON, Bytes::from(body))
        }
        "/heavy/inline" => {
            spend(HEAVY_CPU);
            (TEXT, Bytes::from_static(HELLO.as_bytes()))
        }
        "/heavy/submit" => {
            tokio::task::spawn_blocking(|| spend(HEAVY_CPU)).await.expect("the job does not panic");
            (TEXT, Bytes::from_static(HELLO.as_bytes()))
        }
        _ => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

/// Serves with axum until the process is told to end.
pub fn serve_axum(listener: net::TcpListener) -> io::Result<()> {
    on_one_thread(async move {
        let app = axum::Router::new()
            .route("/plaintext", get(async || HELLO))
            .route("/json", get(async || axum::Json(Message { message: HELLO })))
            .route("/user/{id}", get(async |axum::extract::Path(id): axum::extract::Path<String>| id))
            .route(
                "/heavy/inline",
                get(async || {
                    spend(HEAVY_CPU);
                    HELLO
                }),
            )
            .route(
                "/heavy/submit",
                get(async || {
                    tokio::task::spawn_blocking(|| spend(HEAVY_CPU)).await.expect("the job does not panic");
                    HELLO
                }),
            );
        let listener = async_listener(listener)?.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                eprintln!("TCP_NODELAY refused: {error}");
            }
        });
        axum::serve(listener, app).await
    })
}

pub(crate) fn on_one_thread(server: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let blocking_threads = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(blocking_threads)
        .build()?
        .block_on(server)
}

pub(crate) fn async_listener(listener: net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Keeps a core busy until the calling thread has spent `cpu` of CPU time.
pub fn spend(cpu: Duration) {
    let end = thread_clock() + cpu;
    while thread_clock() < end {
        let pause = Instant::now() + Duration::from_micros(5);
        while Instant::now() < pause {
            std::hint::spin_loop();
        }
    }
}

fn thread_clock() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
