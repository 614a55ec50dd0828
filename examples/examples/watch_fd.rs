//! A descriptor of another kind in the loop: what comes on stdin is told to every TCP client. `watch` calls back when there is
//! something to read, so the one thread never blocks.
//!
//! `vmstat 1 | cargo run --release -p examples --example watch_fd -- --listen 127.0.0.1:7000`, then `nc 127.0.0.1 7000`

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashSet;
use std::error::Error;
use std::io::{self, BufRead};
use std::net::TcpListener;
use std::os::fd::{AsFd, RawFd};
use std::rc::Rc;
use sws::runtime::signal::Signals;
use sws::runtime::{Config, Conn, ConnId, Data, EventHandler, Interest, Runtime, unwatch, watch, with_conn};

/// Who listens: shared by the callbacks of connections and of stdin, which all run on one thread.
type Audience = Rc<RefCell<HashSet<ConnId>>>;

struct Radio {
    audience: Audience,
}

impl EventHandler for Radio {
    type Workspace = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) {
        self.audience.borrow_mut().insert(conn.id());
    }

    /// Nobody is asked anything.
    fn on_data(&mut self, _conn: &mut Conn<'_>, data: &Data<'_>) -> usize {
        data.len()
    }

    fn on_close(&mut self, conn: &mut Conn<'_>) {
        self.audience.borrow_mut().remove(&conn.id());
    }
}

/// Reads what is there, once: stdin was found readable, so this does not block. At its end the watch ends too.
fn on_stdin(fd: RawFd, audience: &Audience) {
    let mut stdin = io::stdin().lock();
    let bytes = stdin.fill_buf().map(<[u8]>::to_vec).unwrap_or_default();
    stdin.consume(bytes.len());
    if bytes.is_empty() {
        unwatch(fd, Interest::Readable);
    }
    for &id in audience.borrow().iter() {
        // One that does not read is dropped, so that the others need not wait.
        with_conn(id, |conn: &mut Conn<'_>| conn.send(&bytes).unwrap_or_else(|_| conn.abort()));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let signals = Signals::block()?;
    let listener = TcpListener::bind(examples::listen_addr())?;
    println!("listening on {}", listener.local_addr()?);
    let audience = Audience::default();
    let runtime = Runtime::new(Config::default())?;
    runtime.listen(listener, Radio { audience: audience.clone() });
    runtime.enter(|| watch(io::stdin().as_fd(), Interest::Readable, move |fd| on_stdin(fd, &audience)));
    runtime.handle_signals(signals);
    runtime.run();
    Ok(())
}
