//! The pool and the wheel with a slot for each of a million connections, and no socket: memory, how late a timeout is,
//! what arming costs, and what a loop pays for deadlines of which none expires.
//!
//! The clock is simulated, tick by tick, so that a run takes seconds and lateness is exact; the costs are of the real clock.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use sws_stackpool::wheel::{tick_ceil, tick_floor, tick_start};
use sws_stackpool::{StackPool, WHEEL_TICK, Wheel};

use crate::process::rss_bytes_of;

/// The workspace that the runtime gives a protocol.
type Workspace = [u64; 8];

/// What to hold.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Slots, all of them live.
    pub slots: u32,
    /// Every slot's timeout. Slots are armed one after the other, evenly over this time.
    pub timeout: Duration,
    /// Simulated time in which nothing expires.
    pub idle: Duration,
}

/// How late timeouts were, and what the wheel took for them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expiry {
    /// Slots that were reported, each once.
    pub reported: u32,
    /// The greatest distance from a timeout to the report of it.
    pub late_max: Duration,
    /// The same, on average.
    pub late_mean: Duration,
    /// Nanoseconds of all advances, per slot that they reported.
    pub advance_ns: f64,
    /// The longest advance by one tick.
    pub advance_max: Duration,
}

/// The figures of one run.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Slots.
    pub slots: u32,
    /// Growth of the resident memory with all slots live.
    pub rss_bytes: u64,
    /// Nanoseconds to acquire a slot for the first time, which commits its memory.
    pub acquire_ns: f64,
    /// Nanoseconds to arm a slot that has no place in the wheel.
    pub arm_ns: f64,
    /// Nanoseconds to move an armed deadline to later, as each request on a connection does.
    pub rearm_ns: f64,
    /// Nanoseconds to take a deadline back.
    pub disarm_ns: f64,
    /// Nanoseconds to release a slot, and to acquire it again.
    pub cycle_ns: f64,
    /// Timeouts of slots that were armed once.
    pub once: Expiry,
    /// Timeouts of slots that were armed again half-way.
    pub again: Expiry,
    /// Of an advance by one tick, nothing expiring.
    pub idle_tick: Duration,
    /// The longest of these.
    pub idle_tick_max: Duration,
}

impl Report {
    /// Share of a core that the wheel takes of a loop with nothing to do.
    pub fn idle_share(&self) -> f64 {
        self.idle_tick.as_secs_f64() / WHEEL_TICK.as_secs_f64()
    }
}

/// Pool and wheel, in simulated time.
struct Bench {
    pool: StackPool<Workspace>,
    wheel: Wheel,
    now: Duration,
    expired: Vec<u32>,
}

/// Takes all figures.
///
/// # Panics
/// If a timeout is reported early, twice or not at all.
pub fn measure(plan: &Plan) -> io::Result<Report> {
    assert!(plan.slots > 0 && plan.timeout >= WHEEL_TICK * 8, "there is something to measure");
    let me = std::process::id();
    // Room for what one tick may report is the loop's, not the pool's.
    let expired = Vec::with_capacity(plan.slots as usize);
    let before = rss_bytes_of(me)?;
    let (pool, wheel) = (StackPool::new(plan.slots), Wheel::new(0));
    let mut bench = Bench { pool, wheel, now: Duration::ZERO, expired };
    let acquire_ns = each(plan.slots, || while bench.pool.acquire().is_some() {});
    let rss_bytes = rss_bytes_of(me)?.saturating_sub(before);

    let late = bench.now + plan.timeout;
    let arm_ns = each(plan.slots, || bench.arm_all(late));
    let rearm_ns = each(plan.slots, || bench.arm_all(late + plan.timeout));
    let disarm_ns = each(plan.slots, || bench.disarm_all());
    // Places of deadlines that were taken back are kept until their buckets fire.
    bench.pass(plan.timeout * 3);
    let cycle_ns = each(plan.slots, || bench.cycle_all());
    let once = bench.expire_all(plan, false);
    let again = bench.expire_all(plan, true);
    let (idle_tick, idle_tick_max) = bench.idle(plan);
    let slots = plan.slots;
    Ok(Report {
        slots,
        rss_bytes,
        acquire_ns,
        arm_ns,
        rearm_ns,
        disarm_ns,
        cycle_ns,
        once,
        again,
        idle_tick,
        idle_tick_max,
    })
}

/// Nanoseconds of `work`, for each of `slots`.
fn each(slots: u32, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e9 / f64::from(slots)
}

impl Bench {
    fn arm_all(&mut self, deadline: Duration) {
        for slot in 0..self.pool.capacity() {
            self.wheel.arm(&mut self.pool, slot, tick_ceil(deadline));
        }
    }

    fn disarm_all(&mut self) {
        for slot in 0..self.pool.capacity() {
            self.wheel.disarm(&mut self.pool, slot);
        }
    }

    fn cycle_all(&mut self) {
        for slot in 0..self.pool.capacity() {
            let id = self.pool.id_of(slot).expect("all slots are live");
            self.pool.release(id).expect("nothing is in flight");
            self.pool.acquire().expect("one was just released");
        }
    }

    /// One tick of simulated time; the real time that the wheel took for it.
    fn tick(&mut self) -> Duration {
        self.now = tick_start(tick_floor(self.now) + 1);
        self.expired.clear();
        let start = Instant::now();
        self.wheel.advance(&mut self.pool, tick_floor(self.now), &mut self.expired);
        start.elapsed()
    }

    /// Lets simulated time pass in which nothing expires.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.tick();
            assert!(self.expired.is_empty(), "nothing is armed");
        }
    }

    /// Arms all slots over the time of one timeout, each at an instant of its own between two ticks, and lets all expire.
    fn expire_all(&mut self, plan: &Plan, rearm: bool) -> Expiry {
        let (start, slots) = (self.now, self.pool.capacity());
        let armed_at = |slot: u32| start + plan.timeout.mul_f64(f64::from(slot) / f64::from(slots));
        let mut deadlines = vec![Duration::ZERO; slots as usize];
        let (mut armed, mut rearmed) = (0, if rearm { 0 } else { slots });
        let mut expiry = Expiry::default();
        let (mut late_sum, mut spent) = (Duration::ZERO, Duration::ZERO);
        let end = start + plan.timeout * 4;
        while self.now < end && expiry.reported < slots {
            let next = self.now + WHEEL_TICK;
            while armed < slots && armed_at(armed) < next {
                deadlines[armed as usize] = armed_at(armed) + plan.timeout;
                self.wheel.arm(&mut self.pool, armed, tick_ceil(deadlines[armed as usize]));
                armed += 1;
            }
            while rearmed < armed && armed_at(rearmed) + plan.timeout / 2 < next {
                let deadline = &mut deadlines[rearmed as usize];
                *deadline += plan.timeout / 2;
                self.wheel.arm(&mut self.pool, rearmed, tick_ceil(*deadline));
                rearmed += 1;
            }
            let took = self.tick();
            spent += took;
            expiry.advance_max = expiry.advance_max.max(took);
            for &slot in &self.expired {
                let deadline = std::mem::replace(&mut deadlines[slot as usize], Duration::MAX);
                let late =
                    self.now.checked_sub(deadline).expect("no timeout is early, none is reported twice");
                expiry.late_max = expiry.late_max.max(late);
                late_sum += late;
                expiry.reported += 1;
            }
        }
        assert_eq!(expiry.reported, slots, "every timeout is reported");
        expiry.late_mean = late_sum / slots;
        expiry.advance_ns = spent.as_secs_f64() * 1e9 / f64::from(slots);
        expiry
    }

    /// Arms all slots beyond the idle time and lets it pass. Mean and greatest cost of a tick.
    fn idle(&mut self, plan: &Plan) -> (Duration, Duration) {
        let (start, slots) = (self.now, self.pool.capacity());
        for slot in 0..slots {
            let after = plan.idle + plan.timeout.mul_f64(f64::from(slot + 1) / f64::from(slots));
            self.wheel.arm(&mut self.pool, slot, tick_ceil(start + after) + 1);
        }
        let (mut ticks, mut spent, mut longest) = (0, Duration::ZERO, Duration::ZERO);
        while self.now < start + plan.idle {
            let took = self.tick();
            assert!(self.expired.is_empty(), "nothing is due yet");
            (ticks, spent, longest) = (ticks + 1, spent + took, longest.max(took));
        }
        (spent / ticks, longest)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.rss_bytes as f64 / f64::from(1 << 20);
        let bytes_each = self.rss_bytes as f64 / f64::from(self.slots);
        let us = |duration: Duration| duration.as_secs_f64() * 1e6;
        writeln!(
            f,
            "| slots | RSS MiB | bytes each | acquire ns | release and acquire ns | arm ns | re-arm ns | disarm ns |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        writeln!(
            f,
            "| {} | {mib:.1} | {bytes_each:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} |\n",
            self.slots, self.acquire_ns, self.cycle_ns, self.arm_ns, self.rearm_ns, self.disarm_ns
        )?;
        writeln!(
            f,
            "| timeouts | expired | late at most ms | late on average ms | advance ns per expired | longest advance us |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for (name, expiry) in [("armed once", self.once), ("armed again half-way", self.again)] {
            writeln!(
                f,
                "| {name} | {} | {:.3} | {:.3} | {:.0} | {:.0} |",
                expiry.reported,
                us(expiry.late_max) / 1e3,
                us(expiry.late_mean) / 1e3,
                expiry.advance_ns,
                us(expiry.advance_max)
            )?;
        }
        writeln!(f, "\n| all armed, none expires | us per tick | longest tick us | share of a core |")?;
        writeln!(f, "|---|---|---|---|")?;
        writeln!(
            f,
            "| ticks of {} ms | {:.2} | {:.0} | {:.3} % |",
            WHEEL_TICK.as_millis(),
            us(self.idle_tick),
            us(self.idle_tick_max),
            self.idle_share() * 100.0
        )
    }
}
