//! What a fiber costs in time: to create, run and finish one, and to switch to it and back.
//!
//! Beside each stands the coroutine library alone, on one stack that is used again: what the processor must do. A
//! switch is half of a resume and the suspension that answers it.
//!
//! Unsafe: the bare coroutines run on `BareStack`, a heap block that its one owner neither reads nor moves.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult};
use sws_runtime::{Config, Run, Runtime, RuntimeError, go, run_inline, yield_now};

use crate::table::{Figure, Row};

/// How much to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Runs of each kind, interleaved; the table shows medians.
    pub runs: usize,
    /// Fibers, or switches, in one run.
    pub rounds: u32,
    /// Fibers that yield to each other.
    pub yielding: u32,
}

/// Rows for two tables: the fiber's life, and the switch.
pub fn measure(plan: &Plan) -> Result<(Vec<Row>, Vec<Row>), RuntimeError> {
    assert!(plan.rounds > 0 && plan.yielding > 0, "there is something to measure");
    let runtime = Runtime::new(Config::default())?;
    let mut life =
        [row("coroutine on one stack", true), row("`run_inline`", false), row("`go`, from a fiber", false)];
    let mut switch = [
        row("coroutine", true),
        row(&format!("half a `yield_now`, {} fibers in a turn", plan.yielding), false),
        row("half a `yield_now`, one fiber in a turn", false),
    ];
    // The first run of each touches memory and code, and is not counted.
    for run in 0..=plan.runs {
        let lives =
            [bare_life(plan.rounds), inline_life(&runtime, plan.rounds), go_life(&runtime, plan.rounds)];
        let switches = [
            bare_switch(plan.rounds),
            yields(&runtime, plan.rounds, plan.yielding),
            yields(&runtime, plan.rounds.div_ceil(8), 1),
        ];
        if run > 0 {
            push(&mut life, lives);
            push(&mut switch, switches);
        }
    }
    Ok((life.into(), switch.into()))
}

fn row(name: &str, is_floor: bool) -> Row {
    Row { name: name.into(), is_floor, runs: Vec::new() }
}

fn push(rows: &mut [Row; 3], nanos: [f64; 3]) {
    for (row, nanos) in rows.iter_mut().zip(nanos) {
        row.runs.push(vec![Figure::new("ns each", nanos, 1).against_floor()]);
    }
}

fn nanos_each(start: Instant, rounds: u32) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds)
}

fn bare_life(rounds: u32) -> f64 {
    let mut stack = BareStack::new();
    let start = Instant::now();
    for round in 0..rounds {
        let mut coroutine = Coroutine::<(), (), (), _>::with_stack(stack, move |_, ()| {
            black_box(round);
        });
        coroutine.resume(());
        stack = coroutine.into_stack();
    }
    nanos_each(start, rounds)
}

fn inline_life(runtime: &Runtime, rounds: u32) -> f64 {
    runtime.enter(|| {
        let start = Instant::now();
        for round in 0..rounds {
            let run = run_inline("trivial", move || {
                black_box(round);
            });
            assert_eq!(run, Run::Finished, "a fiber that does not wait returns");
        }
        nanos_each(start, rounds)
    })
}

/// Fibers started in one turn of the loop: fewer than are run in one.
const STARTED_AT_ONCE: u32 = 512;

fn go_life(runtime: &Runtime, rounds: u32) -> f64 {
    runtime.block_on_fiber(move || {
        let finished = Rc::new(Cell::new(0));
        let start = Instant::now();
        while finished.get() < rounds {
            for _ in 0..STARTED_AT_ONCE.min(rounds - finished.get()) {
                let finished = Rc::clone(&finished);
                drop(go("trivial", move || finished.set(finished.get() + 1)));
            }
            yield_now().expect("nobody cancels it");
        }
        nanos_each(start, rounds)
    })
}

fn bare_switch(rounds: u32) -> f64 {
    let mut coroutine = Coroutine::<(), (), (), _>::with_stack(BareStack::new(), move |yielder, ()| {
        for _ in 0..rounds {
            yielder.suspend(());
        }
    });
    let start = Instant::now();
    while let CoroutineResult::Yield(()) = coroutine.resume(()) {}
    nanos_each(start, 2 * rounds)
}

/// Half of what one `yield_now` takes, with so many fibers that do nothing else.
fn yields(runtime: &Runtime, rounds: u32, fibers: u32) -> f64 {
    let rounds_of_each = rounds.div_ceil(fibers);
    runtime.block_on_fiber(move || {
        let body = move || (0..rounds_of_each).for_each(|_| yield_now().expect("nobody cancels it"));
        let all: Vec<_> = (0..fibers).map(|_| go("yielding", body)).collect();
        let start = Instant::now();
        for fiber in all {
            fiber.join().expect("it does not panic");
        }
        nanos_each(start, 2 * rounds_of_each * fibers)
    })
}

/// 64 KB for a bare coroutine.
struct BareStack(Box<[u128]>);

impl BareStack {
    fn new() -> Self {
        BareStack(vec![0; 64 * 1024 / size_of::<u128>()].into_boxed_slice())
    }
}

// SAFETY: both ends are those of one block, aligned to 16, which stays where it is when its owner moves. It has no guard, and
// needs none: the two closures that run on it call nothing that is deep.
unsafe impl Stack for BareStack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.0.as_ptr_range().end.addr()).expect("a block is not at zero")
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.0.as_ptr_range().start.addr()).expect("a block is not at zero")
    }
}
