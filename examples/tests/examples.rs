//! Every example, run as its users run it: as a program of its own, over real sockets, until a signal ends it.
//!
//! The programs are built by `cargo test -p examples`.

#[path = "examples/bench_server.rs"]
mod bench_server;
#[path = "examples/browser.rs"]
mod browser;
#[path = "examples/http.rs"]
mod http;
#[path = "examples/program.rs"]
mod program;
#[path = "examples/site_pages.rs"]
mod site_pages;
#[path = "examples/sse.rs"]
mod sse;
#[path = "examples/tcp.rs"]
mod tcp;
#[path = "examples/webdriver.rs"]
mod webdriver;
#[path = "examples/websocket.rs"]
mod websocket;
