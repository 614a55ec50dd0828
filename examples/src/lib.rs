//! What the examples share: their command line.

#![forbid(unsafe_code)]

/// The argument that follows `name` on the command line.
pub fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

/// The address that follows `--listen`, or 127.0.0.1:8080. Port 0 picks a free one.
pub fn listen_addr() -> String {
    argument("--listen").unwrap_or("127.0.0.1:8080".into())
}
