//! The client of `chat_tcp`: what you type goes out, what the others say comes in. Two fibers on one thread, each an ordinary
//! copy from one stream to another.
//!
//! `cargo run --release -p examples --example chat_tcp_client -- --connect 127.0.0.1:7000`

#![forbid(unsafe_code)]

use std::error::Error;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::thread;
use sws::runtime::net::{TcpStream, UnixStream};
use sws::runtime::{Config, Runtime, go};

fn chat(addr: SocketAddr, mut keyboard: UnixStream) -> io::Result<u64> {
    let mut chat = TcpStream::connect(addr)?;
    let mut outgoing = chat.try_clone()?;
    go("keyboard to chat", move || -> io::Result<()> {
        io::copy(&mut keyboard, &mut outgoing)?;
        outgoing.shutdown(Shutdown::Write)
    });
    io::copy(&mut chat, &mut io::stdout())
}

fn main() -> Result<(), Box<dyn Error>> {
    let addr = examples::argument("--connect").unwrap_or("127.0.0.1:7000".into()).parse()?;
    // A read from a terminal blocks its thread, so it has one of its own; a socket pair makes a stream for fibers of it.
    let (mut typed, keyboard) = std::os::unix::net::UnixStream::pair()?;
    thread::spawn(move || io::copy(&mut io::stdin(), &mut typed));
    let keyboard = UnixStream::try_from(keyboard)?;
    let runtime = Runtime::new(Config::default())?;
    runtime.block_on_fiber(move || chat(addr, keyboard))?;
    Ok(())
}
