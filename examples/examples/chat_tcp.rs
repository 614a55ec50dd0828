//! A chat over TCP. The first line that a client sends is its name; each further one is heard by everybody but itself.
//!
//! `cargo run --release -p examples --example chat_tcp -- --listen 127.0.0.1:7000`, then the example `chat_tcp_client`, or `nc`

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::net::TcpListener;
use sws::runtime::signal::Signals;
use sws::runtime::{Config, Conn, Data, EventHandler, Runtime};

const LINE_BYTES_MAX: usize = 1024;
const NAME_BYTES_MAX: usize = 24;

/// A name. It lives in the connection's own slot: a silent member owns no heap memory.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    len: u8,
}

impl Name {
    fn parse(line: &str) -> Option<Name> {
        if line.is_empty() || line.len() > NAME_BYTES_MAX || !line.chars().all(char::is_alphanumeric) {
            return None;
        }
        let mut name = Name { len: line.len() as u8, ..Name::default() };
        name.bytes[..line.len()].copy_from_slice(line.as_bytes());
        Some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes[..usize::from(self.len)]))
    }
}

#[derive(Default)]
struct Chat {
    names: HashSet<Name>,
}

/// A client, and its name once it has one.
type Member<'a> = Conn<'a, Option<Name>>;

fn tell(member: &mut Member<'_>, text: &str) {
    if member.send(text.as_bytes()).is_err() {
        member.abort();
    }
}

impl Chat {
    fn on_line(&mut self, member: &mut Member<'_>, line: &str) {
        let Some(name) = member.workspace() else {
            return self.enter(member, line);
        };
        // One who does not read for so long that its output is full misses the line; the others do not wait for it.
        member.broadcast(format!("{name}: {line}\n").as_bytes(), false);
    }

    fn enter(&mut self, member: &mut Member<'_>, line: &str) {
        match Name::parse(line) {
            Some(name) if self.names.insert(name) => {
                member.set_workspace(Some(name));
                tell(member, &format!("* welcome, {name}\n"));
                member.broadcast(format!("* {name} is here\n").as_bytes(), false);
            }
            Some(name) => tell(member, &format!("* {name} is taken; what else may we call you?\n")),
            None => tell(member, "* a name has up to 24 letters and digits; what is yours?\n"),
        }
    }
}

impl EventHandler for Chat {
    type Workspace = Option<Name>;

    fn on_open(&mut self, member: &mut Member<'_>) {
        tell(member, "* what is your name?\n");
    }

    fn on_data(&mut self, member: &mut Member<'_>, data: &Data<'_>) -> usize {
        let mut taken = 0;
        loop {
            let rest = &data[taken..];
            let end = rest.iter().position(|&byte| byte == b'\n');
            if end.unwrap_or(rest.len()) > LINE_BYTES_MAX {
                tell(member, "* that line is too long\n");
                member.close_lingering();
                return data.len();
            }
            // The beginning of a line stays where it is until its end has come.
            let Some(len) = end else { return taken };
            let text = String::from_utf8_lossy(&rest[..len]);
            let line: String = text.chars().filter(|letter| !letter.is_control()).collect();
            self.on_line(member, &line);
            taken += len + 1;
        }
    }

    fn on_close(&mut self, member: &mut Member<'_>) {
        if let Some(name) = member.workspace() {
            self.names.remove(&name);
            member.broadcast(format!("* {name} has left\n").as_bytes(), false);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let signals = Signals::block()?;
    let listener = TcpListener::bind(examples::listen_addr())?;
    println!("listening on {}", listener.local_addr()?);
    let runtime = Runtime::new(Config::default())?;
    runtime.listen(listener, Chat::default());
    runtime.handle_signals(signals);
    runtime.run();
    Ok(())
}
