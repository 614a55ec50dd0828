//! Answers from another thread: the handler hands the request to a printer's queue and returns; no fiber waits meanwhile.
//!
//! `cargo run --release -p examples --example deferred -- --listen 127.0.0.1:8080`, then `curl http://127.0.0.1:8080/print/3`

#![forbid(unsafe_code)]

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use sws::http::StatusCode;
use sws::{Context, Deferred, Rejection, Router, ServeError, Server};

const ORDERS_MAX: usize = 64;

struct Order {
    pages: u32,
    answer: Deferred,
}

/// What a handler returns after `defer` is dropped; before it, it is the answer as ever.
fn print(ctx: &mut Context) -> Result<(), Rejection> {
    let pages = ctx.parse_param("pages")?;
    let answer = ctx.defer();
    if let Err(error) = ctx.state::<SyncSender<Order>>().try_send(Order { pages, answer }) {
        let (TrySendError::Full(order) | TrySendError::Disconnected(order)) = error;
        // A client that has gone meanwhile needs no answer.
        let _ = order.answer.answer((StatusCode::SERVICE_UNAVAILABLE, "the printer has too much to do\n"));
    }
    Ok(())
}

fn run_printer(orders: Receiver<Order>) {
    let mut printed = 0;
    for Order { pages, answer } in orders {
        // An order of nothing jams the printer: an answer that is dropped is a 500.
        if pages == 0 || answer.is_gone() {
            continue;
        }
        printed += u64::from(pages);
        if answer.answer(format!("{pages} pages, {printed} in all\n")).is_err() {
            eprintln!("nobody came for {pages} pages");
        }
    }
}

/// Called by the server on its own thread, where the signals are already taken care of: a good place to start threads. The
/// printer's ends when the router, and with it the sender, is gone.
fn router() -> Router {
    let (sender, orders) = sync_channel::<Order>(ORDERS_MAX);
    thread::spawn(move || run_printer(orders));
    Router::new().get("/print/{pages}", print).with_state(sender)
}

fn main() -> Result<(), ServeError> {
    let server = Server::bind(examples::listen_addr())?;
    println!("listening on {}", server.addr());
    server.serve(router)
}
