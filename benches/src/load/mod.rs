//! The client: one thread, epoll, connections that ask and count what is answered.
//!
//! - An answer counts when its head has been read, says 200 and its whole body has arrived;
//!   what was sent counts nothing.
//! - A connection that errs is closed and counted by cause; the others go on.
//! - Latency starts where each scenario says (the send, the instant of the burst, the intended
//!   time), and ends when the answer's last byte has been read.
//!
//! WebSockets have a client of their own over io_uring: [`ws`].

mod answer;
mod burst;
mod closed;
mod connection;
mod idle;
mod paced;
pub mod ws;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use answer::{AnswerReader, HEAD_BYTES_MAX, Malformed};
pub use burst::{Burst, burst};
pub use closed::{Closed, closed};
pub use connection::{AskError, request};
pub use idle::{IdleSet, loopback_source};
pub use paced::{Mixed, MixedReport, mixed};

use crate::histogram::Histogram;

/// The edges of the measured part of a scenario, between warm-up and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Measuring begins: read the counters.
    Open,
    /// Measuring has ended: read them again.
    Close,
}

/// Errors by their text.
#[derive(Clone, Debug, Default)]
pub struct Errors(BTreeMap<String, u64>);

impl Errors {
    /// Counts one.
    pub fn add(&mut self, error: impl fmt::Display) {
        self.add_many(error, 1);
    }

    /// Counts `times`; nothing if that is zero.
    pub fn add_many(&mut self, error: impl fmt::Display, times: u64) {
        if times > 0 {
            *self.0.entry(error.to_string()).or_default() += times;
        }
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Errors) {
        other.0.iter().for_each(|(error, &times)| self.add_many(error, times));
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (at, (error, times)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{times} x {error}")?;
        }
        Ok(())
    }
}

/// What a scenario saw between its edges.
#[derive(Clone, Default)]
pub struct Report {
    /// Whole answers with status 200.
    pub answers: u64,
    /// The time between the edges.
    pub elapsed: Duration,
    /// Latency of these answers.
    pub latency: Histogram,
    /// What went wrong, warm-up included.
    pub errors: Errors,
}

impl Report {
    /// Answers per second between the edges.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |q| self.latency.quantile(q).as_secs_f64() * 1e6;
        write!(
            f,
            "{} answers, {:.0} per second, p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us, max {:.1} us, errors: {}",
            self.answers,
            self.rate(),
            us(0.5),
            us(0.99),
            us(0.999),
            self.latency.max().as_secs_f64() * 1e6,
            self.errors
        )
    }
}
