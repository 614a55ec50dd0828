//! What was measured, as Markdown tables.

use std::fmt;
use std::time::Duration;

use super::memory::Reading;
use super::ring::Disturbed;
use super::talk::TalkReport;

/// The figures of one run.
#[derive(Clone)]
pub struct Report {
    /// All connections.
    pub connections: u32,
    /// Those that talked.
    pub talkers: u32,
    /// Workers of the server.
    pub workers: usize,
    /// Memory before any connection.
    pub started: Reading,
    /// Memory after the warm-up, nothing open.
    pub warm: Reading,
    /// Memory with all open and idle.
    pub idle: Reading,
    /// Memory after some have talked.
    pub talked: Reading,
    /// Time to open all.
    pub opening: Duration,
    /// CPU time of the server meanwhile.
    pub opening_cpu: Duration,
    /// Share of one core that the server took while all were idle.
    pub idle_cpu_share: f64,
    /// The messages.
    pub talk: TalkReport,
    /// CPU time of the server meanwhile.
    pub talking_cpu: Duration,
    /// Share of user space in it.
    pub talking_user_share: f64,
    /// Share of its core that the client took meanwhile: near one, latencies are the client's own.
    pub client_share: f64,
    /// Idle connections that the server has closed or written to.
    pub disturbed: Disturbed,
}

impl Report {
    /// Growth of the server's resident bytes per connection, all idle, since the warm-up.
    pub fn rss_bytes_per_connection(&self) -> f64 {
        per(self.connections, self.warm.rss_bytes, self.idle.rss_bytes)
    }

    /// Growth of the kernel's memory per pair of connected sockets.
    pub fn kernel_bytes_per_pair(&self) -> f64 {
        per(self.connections, self.warm.kernel_bytes(), self.idle.kernel_bytes())
    }

    /// Connections that the server has closed.
    pub fn closed(&self) -> u64 {
        self.talk.closed + self.disturbed.closed
    }

    /// Whether nothing was lost, closed or sent without being asked for.
    pub fn is_clean(&self) -> bool {
        self.talk.lost() == 0 && self.talk.wrong == 0 && self.closed() == 0 && self.disturbed.unasked == 0
    }

    fn write_opening(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.opening.as_secs_f64();
        let each = self.opening_cpu.as_secs_f64() * 1e6 / f64::from(self.connections);
        writeln!(f, "| connections | workers | opened in s | connections/s | server CPU us each |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        writeln!(
            f,
            "| {} | {} | {seconds:.1} | {:.0} | {each:.1} |\n",
            self.connections,
            self.workers,
            f64::from(self.connections) / seconds
        )
    }

    fn write_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| memory | server RSS MiB | RSS bytes per connection | kernel MiB, both ends | kernel bytes per pair | of it slab |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        let rows = [
            ("started", self.started),
            ("warmed up, none open", self.warm),
            ("all idle", self.idle),
            ("after talking", self.talked),
        ];
        for (name, now) in rows {
            let grown = |bytes: fn(&Reading) -> u64| per(self.connections, bytes(&self.warm), bytes(&now));
            writeln!(
                f,
                "| {name} | {:.1} | {:.0} | {:.1} | {:.0} | {:.0} |",
                mebibytes(now.rss_bytes),
                grown(|reading| reading.rss_bytes),
                mebibytes(now.kernel_bytes()),
                grown(Reading::kernel_bytes),
                grown(|reading| reading.slab_bytes),
            )?;
        }
        let whole = per(self.connections, self.started.rss_bytes, self.idle.rss_bytes);
        let percent = self.idle_cpu_share * 100.0;
        writeln!(
            f,
            "\nPer connection since the warm-up; since the start, with what workers have once: {whole:.0} RSS bytes.\n\
             All idle, the server takes {percent:.2} % of a core.\n"
        )
    }

    fn write_talk(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let talk = &self.talk;
        let us = |quantile: f64| talk.latency.quantile(quantile).as_secs_f64() * 1e6;
        let echoes = talk.echoes as f64;
        let cpu_us = self.talking_cpu.as_secs_f64() * 1e6 / echoes;
        writeln!(
            f,
            "| talking | messages | messages/s | p50 us | p99 us | p99.9 us | max us | server CPU us/message | of it user | client's core | lost | wrong | closed | unasked |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        writeln!(
            f,
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {cpu_us:.2} | {:.2} | {:.0} % | {} | {} | {} | {} |",
            self.talkers,
            talk.echoes,
            echoes / talk.elapsed.as_secs_f64(),
            us(0.5),
            us(0.99),
            us(0.999),
            talk.latency.max().as_secs_f64() * 1e6,
            cpu_us * self.talking_user_share,
            self.client_share * 100.0,
            talk.lost(),
            talk.wrong,
            self.closed(),
            self.disturbed.unasked,
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_opening(f)?;
        self.write_memory(f)?;
        self.write_talk(f)
    }
}

fn per(connections: u32, before: u64, after: u64) -> f64 {
    (after as f64 - before as f64) / f64::from(connections)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
