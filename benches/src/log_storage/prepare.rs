//! What it costs to bring a segment into the state in which commits are cheap.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::file::{allocate, allocate_zeroed, create, write_zeros};
use super::{Scratch, clock};
use crate::table::{Figure, Row};

type Prepare = fn(&File, usize) -> io::Result<()>;

const WAYS: &[(&str, bool, Prepare)] = &[
    ("fallocate", false, allocate),
    ("fallocate WRITE_ZEROES", false, allocate_zeroed),
    ("zeros, buffered", false, write_zeros),
    ("zeros, O_DIRECT", true, write_zeros),
    ("fallocate, then zeros, O_DIRECT", true, |file, bytes| {
        allocate(file, bytes)?;
        write_zeros(file, bytes)
    }),
];

/// Prepares a file of `bytes` in each way, `runs` times, interleaved. A way that is not supported has no run.
pub fn measure(dir: &Path, bytes: usize, runs: usize) -> io::Result<Vec<Row>> {
    let row = |name: &str| Row { name: name.into(), is_floor: false, runs: Vec::new() };
    let mut rows: Vec<Row> = WAYS.iter().map(|(name, ..)| row(name)).collect();
    for _ in 0..runs {
        let scratch = Scratch::new(dir, "segments")?;
        for (row, &(name, direct, prepare)) in rows.iter_mut().zip(WAYS) {
            match run(&scratch.path(name), direct, prepare, bytes) {
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
                figures => row.runs.push(figures?),
            }
        }
    }
    Ok(rows)
}

fn run(path: &Path, direct: bool, prepare: Prepare, bytes: usize) -> io::Result<Vec<Figure>> {
    let file = create(path, direct)?;
    let (start, cpu) = (Instant::now(), clock::process_cpu()?);
    prepare(&file, bytes)?;
    let prepared = start.elapsed();
    file.sync_all()?;
    let (all, cpu) = (start.elapsed(), clock::process_cpu()? - cpu);
    Ok(vec![
        Figure::new("ms", all.as_secs_f64() * 1e3, 2),
        Figure::new("of it fsync", (all - prepared).as_secs_f64() * 1e3, 2),
        Figure::new("CPU ms", cpu.as_secs_f64() * 1e3, 2),
    ])
}
