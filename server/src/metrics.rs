//! What a server counts, and how it is told.
//!
//! Each worker writes its own counters, alone, so an increment is a plain load and store. A reader on another thread sees each
//! counter whole, and all of them nearly at one moment.

use crate::log_routes::{Code, LogCounts};
use crate::websocket::{self, SocketStats};
use http::StatusCode;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use sws_runtime::Stats;

/// Upper bounds of the latency histogram, in microseconds.
const LATENCY_BOUNDS: [u64; 15] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];
const STATUS_FIRST: u16 = 100;
const STATUS_COUNT: usize = 500;

/// The counters of one worker.
pub(crate) struct WorkerMetrics {
    statuses: [AtomicU64; STATUS_COUNT],
    latencies: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    latency_micros: AtomicU64,
    /// Answered in this turn without a wait: they leave at its end, so their latency is the turn's.
    this_turn: AtomicU64,
    rejects: AtomicU64,
    panics: AtomicU64,
}

impl Default for WorkerMetrics {
    fn default() -> WorkerMetrics {
        WorkerMetrics {
            statuses: [const { AtomicU64::new(0) }; STATUS_COUNT],
            latencies: [const { AtomicU64::new(0) }; LATENCY_BOUNDS.len() + 1],
            latency_micros: AtomicU64::new(0),
            this_turn: AtomicU64::new(0),
            rejects: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }
}

/// Adds without a locked instruction: there is one writer.
#[inline]
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

impl WorkerMetrics {
    /// An answer was queued; `waited` is the time since the turn in which its request came.
    #[inline]
    pub(crate) fn count_request(&self, status: StatusCode, waited: Duration) {
        self.count_status(status);
        match waited {
            Duration::ZERO => add(&self.this_turn, 1),
            _ => self.count_latency(waited, 1),
        }
    }

    /// A turn ends after so long: so long have the answers of this turn waited.
    pub(crate) fn end_turn(&self, took: impl FnOnce() -> Duration) {
        let count = self.this_turn.load(Ordering::Relaxed);
        if count > 0 {
            self.this_turn.store(0, Ordering::Relaxed);
            self.count_latency(took(), count);
        }
    }

    fn count_latency(&self, waited: Duration, count: u64) {
        let micros = waited.as_micros() as u64;
        let bucket = LATENCY_BOUNDS.partition_point(|&bound| bound < micros);
        add(&self.latencies[bucket], count);
        add(&self.latency_micros, micros * count);
    }

    #[inline]
    fn count_status(&self, status: StatusCode) {
        if let Some(counter) = self.statuses.get(usize::from(status.as_u16() - STATUS_FIRST)) {
            add(counter, 1);
        }
    }

    /// A request that was refused before any handler saw it.
    pub(crate) fn count_reject(&self, status: StatusCode) {
        self.count_status(status);
        add(&self.rejects, 1);
    }

    pub(crate) fn count_panic(&self) {
        add(&self.panics, 1);
    }
}

/// What a worker tells of itself, on its own thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) runtime: Stats,
    pub(crate) sockets: SocketStats,
    pub(crate) log: LogCounts,
}

impl Counts {
    /// Those of the worker on whose thread the caller is.
    pub(crate) fn take() -> Counts {
        Counts { runtime: sws_runtime::stats(), sockets: websocket::stats(), log: LogCounts::take() }
    }
}

/// Sums over workers, as Prometheus text.
pub(crate) fn render<'a>(workers: impl Iterator<Item = (&'a WorkerMetrics, Counts)>) -> String {
    let mut sums = Sums::default();
    let mut out = String::new();
    for (metrics, counts) in workers {
        sums.add(metrics, counts);
    }
    sums.write(&mut out);
    out
}

#[derive(Default)]
struct Sums {
    statuses: Vec<u64>,
    latencies: [u64; LATENCY_BOUNDS.len() + 1],
    latency_micros: u64,
    rejects: u64,
    panics: u64,
    stats: Vec<Stats>,
    sockets: Vec<SocketStats>,
    logs: Vec<LogCounts>,
}

impl Sums {
    fn add(&mut self, metrics: &WorkerMetrics, counts: Counts) {
        self.statuses.resize(STATUS_COUNT, 0);
        for (sum, counter) in self.statuses.iter_mut().zip(&metrics.statuses) {
            *sum += counter.load(Ordering::Relaxed);
        }
        for (sum, counter) in self.latencies.iter_mut().zip(&metrics.latencies) {
            *sum += counter.load(Ordering::Relaxed);
        }
        self.latency_micros += metrics.latency_micros.load(Ordering::Relaxed);
        self.rejects += metrics.rejects.load(Ordering::Relaxed);
        self.panics += metrics.panics.load(Ordering::Relaxed);
        self.stats.push(counts.runtime);
        self.sockets.push(counts.sockets);
        self.logs.push(counts.log);
    }

    fn write(&self, out: &mut String) {
        self.write_requests(out);
        let sum = |of: fn(&Stats) -> u64| self.stats.iter().map(of).sum::<u64>();
        let most = |of: fn(&Stats) -> u64| self.stats.iter().map(of).max().unwrap_or(0);
        let mut line = |kind: &str, name: &str, help: &str, value: u64| {
            // Writing to a String cannot fail.
            let _ = write!(out, "# HELP sws_{name} {help}\n# TYPE sws_{name} {kind}\nsws_{name} {value}\n");
        };
        line("counter", "rejects_total", "Requests refused before any handler.", self.rejects);
        line("counter", "handler_panics_total", "Handlers that panicked.", self.panics);
        line("gauge", "connections", "Open connections.", sum(|s| u64::from(s.connections)));
        line(
            "gauge",
            "connections_high_water",
            "Most open connections.",
            sum(|s| u64::from(s.connections_high_water)),
        );
        line("counter", "accepted_total", "Connections accepted.", sum(|s| s.accepted));
        line("counter", "accept_errors_total", "Accepts that failed.", sum(|s| s.accept_errors));
        line("counter", "quieted_total", "Connections handed to a poll.", sum(|s| s.quieted));
        line("counter", "turns_total", "Turns of the loop.", sum(|s| s.turns));
        line("counter", "slow_turns_total", "Turns over the warning limit.", sum(|s| s.slow_turns));
        line(
            "gauge",
            "loop_lag_max_microseconds",
            "Longest turn.",
            most(|s| s.longest_turn.as_micros() as u64),
        );
        line("counter", "ghosts_total", "Completions that nobody waited for.", sum(|s| s.ring.ghosts));
        line("counter", "ring_enters_total", "System calls of the ring.", sum(|s| s.ring.enters));
        line(
            "counter",
            "completion_overflows_total",
            "Completion queue overflows.",
            sum(|s| s.ring.completion_queue_overflow),
        );
        line("gauge", "fibers", "Fibers.", sum(|s| s.fibers as u64));
        line("gauge", "fibers_high_water", "Most fibers.", sum(|s| s.fibers_high_water as u64));
        line("gauge", "stacks_high_water", "Most stacks in use.", sum(|s| s.stacks.high_water as u64));
        line("gauge", "buffer_bytes", "Pooled buffers in use.", sum(|s| s.buffer_bytes as u64));
        line(
            "gauge",
            "buffer_bytes_high_water",
            "Most pooled buffers in use.",
            sum(|s| s.buffer_bytes_high_water as u64),
        );
        line("gauge", "receive_buffers", "Receive buffers.", sum(|s| u64::from(s.receive_buffers.provided)));
        line("counter", "receive_starved_total", "Receives without a buffer.", sum(|s| s.starved));
        self.write_live(&mut line);
        self.write_log(&mut line);
        self.write_refusals(out);
    }

    /// What goes through the routes of the log.
    fn write_log(&self, line: &mut impl FnMut(&str, &str, &str, u64)) {
        let sum = |of: fn(&LogCounts) -> u64| self.logs.iter().map(of).sum::<u64>();
        let mut count = |name: &str, help: &str, value: u64| line("counter", name, help, value);
        count(
            "log_produced_records_total",
            "Records written over the routes of the log.",
            sum(|log| log.produced_records),
        );
        count("log_produced_bytes_total", "Bytes of their payloads.", sum(|log| log.produced_bytes));
        count("log_fetched_records_total", "Records read over HTTP.", sum(|log| log.fetched_records));
        count("log_fetched_bytes_total", "Their bytes, as stored.", sum(|log| log.fetched_bytes));
    }

    fn write_refusals(&self, out: &mut String) {
        out.push_str("# HELP sws_log_refusals_total Requests that the log's routes refused, by code.\n");
        out.push_str("# TYPE sws_log_refusals_total counter\n");
        for code in Code::ALL {
            let count: u64 = self.logs.iter().map(|log| log.refusals[*code as usize]).sum();
            if count > 0 {
                let _ = writeln!(out, "sws_log_refusals_total{{code=\"{}\"}} {count}", code.as_str());
            }
        }
    }

    /// Sockets and topics.
    fn write_live(&self, line: &mut impl FnMut(&str, &str, &str, u64)) {
        let sum = |of: fn(&Stats) -> u64| self.stats.iter().map(of).sum::<u64>();
        let sockets = |of: fn(&SocketStats) -> u64| self.sockets.iter().map(of).sum::<u64>();
        line("gauge", "websockets", "Open WebSockets.", sockets(|s| s.sockets as u64));
        line("gauge", "topics", "Topics with subscribers, by worker.", sum(|s| s.topics as u64));
        line("gauge", "memberships", "Subscriptions.", sum(|s| s.memberships as u64));
        line("counter", "published_total", "Publications that reached a worker.", sum(|s| s.published));
        line("counter", "delivered_total", "Publications given to subscribers.", sum(|s| s.delivered));
        line(
            "counter",
            "messages_refused_total",
            "Messages refused to slow peers.",
            sum(|s| s.messages_refused),
        );
        line(
            "counter",
            "messages_dropped_total",
            "Messages dropped for newer ones.",
            sum(|s| s.messages_dropped),
        );
        line(
            "counter",
            "messages_replaced_total",
            "Messages replaced by later ones of their key.",
            sum(|s| s.messages_replaced),
        );
        line(
            "counter",
            "closed_slow_total",
            "Connections closed for being too slow.",
            sum(|s| s.closed_slow),
        );
    }

    fn write_requests(&self, out: &mut String) {
        out.push_str(
            "# HELP sws_requests_total Requests answered, by status.\n# TYPE sws_requests_total counter\n",
        );
        for (status, count) in self.statuses.iter().enumerate().filter(|(_, count)| **count > 0) {
            let status = usize::from(STATUS_FIRST) + status;
            let _ = writeln!(out, "sws_requests_total{{status=\"{status}\"}} {count}");
        }
        out.push_str(
            "# HELP sws_request_seconds From the turn that read a request to the one that answered it.\n\
             # TYPE sws_request_seconds histogram\n",
        );
        let mut below = 0;
        for (bound, count) in LATENCY_BOUNDS.iter().zip(&self.latencies) {
            below += count;
            let _ = writeln!(out, "sws_request_seconds_bucket{{le=\"{}\"}} {below}", *bound as f64 / 1e6);
        }
        below += self.latencies[LATENCY_BOUNDS.len()];
        let _ = writeln!(out, "sws_request_seconds_bucket{{le=\"+Inf\"}} {below}");
        let _ = writeln!(out, "sws_request_seconds_sum {}", self.latency_micros as f64 / 1e6);
        let _ = writeln!(out, "sws_request_seconds_count {below}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_by_status_and_bucket() {
        let metrics = WorkerMetrics::default();
        metrics.count_request(StatusCode::OK, Duration::ZERO);
        metrics.count_request(StatusCode::OK, Duration::from_millis(3));
        metrics.count_reject(StatusCode::BAD_REQUEST);
        metrics.end_turn(|| Duration::from_micros(60));
        let text = render([(&metrics, Counts::default())].into_iter());
        assert!(text.contains("sws_requests_total{status=\"200\"} 2\n"), "{text}");
        assert!(text.contains("sws_requests_total{status=\"400\"} 1\n"));
        assert!(text.contains("sws_request_seconds_bucket{le=\"0.00005\"} 0\n"));
        assert!(text.contains("sws_request_seconds_bucket{le=\"0.0001\"} 1\n"));
        assert!(text.contains("sws_request_seconds_bucket{le=\"0.005\"} 2\n"));
        assert!(text.contains("sws_request_seconds_count 2\n"));
        assert!(text.contains("sws_rejects_total 1\n"));
    }
}
