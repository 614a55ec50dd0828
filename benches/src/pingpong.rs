//! Two threads that wake each other through eventfds, with nothing between: what handing a job to
//! another thread and being woken by its end costs at the least.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::sys;

/// Latency of `rounds` round trips, after a tenth as many unmeasured ones; each thread on its core, if given.
pub fn round_trips(rounds: u32, cpus: Option<[usize; 2]>) -> io::Result<Histogram> {
    round_trips_paced(rounds, Duration::ZERO, cpus)
}

/// As [`round_trips`], with a rest of `gap` before each, in which both threads sleep.
pub fn round_trips_paced(rounds: u32, gap: Duration, cpus: Option<[usize; 2]>) -> io::Result<Histogram> {
    let (ping, pong) = (EventFd::new()?, EventFd::new()?);
    let warmup = rounds.div_ceil(10);
    thread::scope(|scope| {
        let far = scope.spawn(|| -> io::Result<()> {
            if let Some([_, far]) = cpus {
                sys::pin_to_cpus(&[far])?;
            }
            for _ in 0..warmup + rounds {
                ping.wait()?;
                pong.signal()?;
            }
            Ok(())
        });
        let near = scope.spawn(|| -> io::Result<Histogram> {
            if let Some([near, _]) = cpus {
                sys::pin_to_cpus(&[near])?;
            }
            let mut latency = Histogram::new();
            for round in 0..warmup + rounds {
                if !gap.is_zero() {
                    thread::sleep(gap);
                }
                let start = Instant::now();
                ping.signal()?;
                pong.wait()?;
                if round >= warmup {
                    latency.record(start.elapsed(), 1);
                }
            }
            Ok(latency)
        });
        far.join().expect("the far thread does not panic")?;
        near.join().expect("the near thread does not panic")
    })
}

/// A counter that one thread adds to and another waits for.
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new one, at zero; waiting for it blocks.
    pub fn new() -> io::Result<Self> {
        // SAFETY: creates a descriptor and touches no memory.
        let fd = sys::check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })?;
        // SAFETY: `fd` was just created and nobody else owns it.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Adds one.
    pub fn signal(&self) -> io::Result<()> {
        let one = 1u64;
        // SAFETY: reads the eight bytes of `one`.
        let written = unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
        if written == 8 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The descriptor.
    pub fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Waits until it is not zero, and makes it zero.
    pub fn wait(&self) -> io::Result<()> {
        let mut count = 0u64;
        // SAFETY: writes the eight bytes of `count`.
        let read = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
        if read == 8 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_is_counted() {
        assert_eq!(round_trips(50, None).unwrap().count(), 50);
    }
}
