//! The worker pool with real threads.

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::*;

fn pool(threads: usize) -> WorkerPool {
    WorkerPool::new(WorkerConfig { threads, ..WorkerConfig::default() })
}

/// Waits for a state that other threads bring about.
fn until(mut reached: impl FnMut() -> bool) {
    while !reached() {
        thread::yield_now();
    }
}

/// Occupies one thread until the sender is used or dropped; returns once the job runs.
fn occupy(pool: &WorkerPool) -> Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel();
    pool.try_submit(Box::new(move || {
        started.send(()).unwrap();
        let _ = released.recv();
    }))
    .unwrap();
    running.recv().unwrap();
    release
}

/// Sends when it is dropped, as the wrapper of a job would.
struct SendOnDrop(Sender<&'static str>);

impl Drop for SendOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

/// A job that says "parked", waits for its gate, and says how the wait ended.
fn gated(pool: &WorkerPool, gate: Receiver<()>, said: Sender<&'static str>) {
    pool.try_submit(Box::new(move || {
        let _dropped = SendOnDrop(said.clone());
        said.send("parked").unwrap();
        let waited = worker_yield(|| gate.try_recv().is_ok());
        said.send(if waited.is_ok() { "ready" } else { "cancelled" }).unwrap();
    }))
    .unwrap();
}

#[test]
fn runs_jobs_in_order_on_one_thread() {
    let pool = pool(1);
    assert_eq!(pool.stats().threads, 0, "an unused pool has no thread");
    let (sender, receiver) = mpsc::channel();
    for n in 0..1000 {
        let sender = sender.clone();
        let mut job: Job =
            Box::new(move || sender.send((n, thread::current().name().map(String::from))).unwrap());
        while let Err(error) = pool.try_submit(job) {
            job = error.into_job();
            thread::yield_now();
        }
    }
    for n in 0..1000 {
        assert_eq!(receiver.recv().unwrap(), (n, Some("sws-worker-0".into())));
    }
    until(|| pool.stats().finished == 1000);
    assert_eq!(pool.stats().threads, 1);
}

#[test]
fn queue_is_bounded_and_gives_the_job_back() {
    let pool = WorkerPool::new(WorkerConfig { threads: 1, queue_max: 2, ..WorkerConfig::default() });
    let release = occupy(&pool);
    let (sender, receiver) = mpsc::channel();
    let job = |n: u32| -> Job {
        let sender = sender.clone();
        Box::new(move || sender.send(n).unwrap())
    };
    pool.try_submit(job(0)).unwrap();
    pool.try_submit(job(1)).unwrap();
    let refused = pool.try_submit(job(2)).unwrap_err();
    assert!(matches!(refused, SubmitError::Full(_)));
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.running, stats.refused), (2, 1, 1));
    drop(release);
    assert_eq!([receiver.recv(), receiver.recv()], [Ok(0), Ok(1)]);
    pool.try_submit(refused.into_job()).unwrap();
    assert_eq!(receiver.recv(), Ok(2));
}

#[test]
fn starts_a_thread_for_each_job_that_finds_none_free() {
    let pool = pool(3);
    let held: Vec<_> = (0..3).map(|_| occupy(&pool)).collect();
    assert_eq!(pool.stats().threads, 3);
    assert_eq!(pool.stats().running, 3);
    drop(held);
    until(|| pool.stats().finished == 3);
    drop(occupy(&pool));
    assert_eq!(pool.stats().threads, 3);
}

/// A panic's payload whose destructor panics too.
struct Thorny;

impl Drop for Thorny {
    fn drop(&mut self) {
        panic::resume_unwind(Box::new("from the payload"));
    }
}

#[test]
fn a_panic_ends_its_job_only() {
    let pool = pool(1);
    pool.try_submit(Box::new(|| panic::resume_unwind(Box::new("from the job")))).unwrap();
    pool.try_submit(Box::new(|| panic::resume_unwind(Box::new(Thorny)))).unwrap();
    pool.try_submit(Box::new(|| {
        let mut polls = 0;
        let _ = worker_yield(|| {
            polls += 1;
            if polls == 3 {
                panic::resume_unwind(Box::new("from a poll"));
            }
            false
        });
    }))
    .unwrap();
    until(|| pool.stats().finished == 3);
    let stats = pool.stats();
    assert_eq!((stats.panicked, stats.running, stats.parked, stats.threads), (3, 0, 0, 1));
    drop(occupy(&pool));
}

#[test]
fn a_parked_job_lets_another_run_on_the_same_thread() {
    let pool = pool(1);
    let (open, gate) = mpsc::channel();
    let (said, hear) = mpsc::channel();
    gated(&pool, gate, said.clone());
    assert_eq!(hear.recv(), Ok("parked"));
    // The only thread runs this one although the first has not ended; and this one opens the gate of the first.
    pool.try_submit(Box::new(move || {
        said.send("second").unwrap();
        open.send(()).unwrap();
    }))
    .unwrap();
    assert_eq!(hear.recv(), Ok("second"));
    assert_eq!(hear.recv(), Ok("ready"));
    until(|| pool.stats().finished == 2);
    assert_eq!((pool.stats().parked, pool.stats().running), (0, 0));
}

#[test]
fn many_parked_jobs_keep_their_stacks_apart() {
    const JOBS: usize = 200;
    let pool = pool(1);
    let (said, hear) = mpsc::channel();
    let mut gates = Vec::new();
    for n in 0..JOBS {
        let (open, gate) = mpsc::channel::<()>();
        gates.push(open);
        let said = said.clone();
        pool.try_submit(Box::new(move || {
            let mine = black_box([n; 256]);
            let stack = current_job_stack();
            assert!(stack.is_some());
            for _ in 0..3 {
                worker_yield(|| gate.try_recv().is_ok()).unwrap();
                assert!(black_box(&mine).iter().all(|&m| m == n));
                assert_eq!(current_job_stack(), stack);
            }
            said.send(n).unwrap();
        }))
        .unwrap();
    }
    drop(said);
    until(|| pool.stats().parked == JOBS);
    for open in gates.iter().rev() {
        (0..3).for_each(|_| open.send(()).unwrap());
    }
    let mut ended: Vec<_> = hear.iter().take(JOBS).collect();
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..JOBS));
    until(|| pool.stats().finished == JOBS as u64);
    assert_eq!(pool.stats().panicked, 0);
}

#[test]
fn a_thread_full_of_parked_jobs_takes_no_other() {
    let pool = WorkerPool::new(WorkerConfig { threads: 1, parked_max: 2, ..WorkerConfig::default() });
    let (said, hear) = mpsc::channel();
    let mut gates = Vec::new();
    for _ in 0..3 {
        let (open, gate) = mpsc::channel();
        gates.push(open);
        gated(&pool, gate, said.clone());
    }
    assert_eq!([hear.recv(), hear.recv()], [Ok("parked"), Ok("parked")]);
    until(|| pool.stats().parked >= 2);
    assert_eq!((pool.stats().parked, pool.stats().queued), (2, 1));
    gates[1].send(()).unwrap();
    assert_eq!([hear.recv(), hear.recv()], [Ok("ready"), Ok("dropped")]);
    assert_eq!(hear.recv(), Ok("parked"), "room for the third");
    gates[0].send(()).unwrap();
    gates[2].send(()).unwrap();
    until(|| pool.stats().finished == 3);
}

#[test]
fn worker_yield_outside_a_job_waits() {
    let mut polls = 0;
    let waited = worker_yield(|| {
        polls += 1;
        polls == 4
    });
    assert_eq!((waited, polls), (Ok(()), 4));
}

/// Yields while the panic of its job unwinds.
struct YieldsOnDrop(Sender<&'static str>, u32);

impl Drop for YieldsOnDrop {
    fn drop(&mut self) {
        let mut polls = self.1;
        worker_yield(|| {
            polls -= 1;
            polls == 0
        })
        .unwrap();
        self.0.send("unwound").unwrap();
    }
}

#[test]
fn no_other_job_runs_within_a_panic() {
    let pool = pool(1);
    let (said, hear) = mpsc::channel();
    let release = occupy(&pool);
    let unwinding = YieldsOnDrop(said.clone(), 5);
    pool.try_submit(Box::new(move || {
        let _unwinding = unwinding;
        panic::resume_unwind(Box::new("unwinds"));
    }))
    .unwrap();
    pool.try_submit(Box::new(move || said.send("second").unwrap())).unwrap();
    drop(release);
    assert_eq!([hear.recv(), hear.recv()], [Ok("unwound"), Ok("second")]);
}

#[inline(never)]
fn descend(bytes_left: usize) -> usize {
    let frame = black_box([1u8; 1024]);
    let below = if bytes_left > frame.len() { descend(bytes_left - frame.len()) } else { 0 };
    below + usize::from(black_box(frame[bytes_left % 1024]))
}

#[test]
fn deep_recursion_fits_the_stack() {
    let pool = WorkerPool::new(WorkerConfig { threads: 1, stack_bytes: 1 << 20, ..WorkerConfig::default() });
    let (sender, receiver) = mpsc::channel();
    pool.try_submit(Box::new(move || {
        let range = current_job_stack().unwrap();
        sender.send((descend(400 * 1024), range.len())).unwrap();
    }))
    .unwrap();
    let (depth, bytes) = receiver.recv().unwrap();
    assert_eq!(depth, 400);
    assert!(bytes > 1 << 20, "the guard page comes on top");
    assert_eq!(current_job_stack(), None);
}

#[test]
fn overflow_hits_the_guard_page() {
    const CHILD: &str = "SWS_TEST_OVERFLOW";
    if std::env::var_os(CHILD).is_some() {
        let pool = pool(1);
        let (sender, receiver) = mpsc::channel();
        pool.try_submit(Box::new(move || sender.send(descend(64 << 20)).unwrap())).unwrap();
        let _ = receiver.recv();
        return;
    }
    let test = "workers::tests::overflow_hits_the_guard_page";
    let ended = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(matches!(ended.status.signal(), Some(libc::SIGSEGV | libc::SIGBUS | libc::SIGABRT)), "{ended:?}");
}

#[test]
fn drop_finishes_what_runs_drops_what_waits_and_cancels_what_is_parked() {
    let pool = pool(2);
    let (parked_said, parked_hear) = mpsc::channel();
    let (_never, gate) = mpsc::channel();
    gated(&pool, gate, parked_said);
    until(|| pool.stats().parked == 1);

    let held = [occupy(&pool), occupy(&pool)];
    let (queued_said, queued_hear) = mpsc::channel();
    let queued = SendOnDrop(queued_said);
    pool.try_submit(Box::new(move || {
        let queued = queued;
        queued.0.send("ran").unwrap();
    }))
    .unwrap();

    let shared = Arc::clone(&pool.shared);
    let dropper = thread::spawn(move || drop(pool));
    assert_eq!(queued_hear.recv(), Ok("dropped"), "while the others still run");
    drop(held);
    dropper.join().unwrap();
    let heard: Vec<_> = parked_hear.iter().collect();
    assert_eq!(heard, ["parked", "cancelled", "dropped"]);
    assert_eq!(shared.counters.finished.load(Ordering::Relaxed), 3);
    assert_eq!(Arc::strong_count(&shared), 1, "no thread is left");
}

#[test]
fn a_closed_pool_refuses_and_cancels_at_once() {
    let pool = pool(1);
    let (closed, is_closed) = mpsc::channel::<()>();
    let (said, hear) = mpsc::channel();
    pool.try_submit(Box::new(move || {
        said.send(Ok(())).unwrap();
        is_closed.recv().unwrap();
        said.send(worker_yield(|| false)).unwrap();
        said.send(worker_yield(|| true)).unwrap();
    }))
    .unwrap();
    assert_eq!(hear.recv(), Ok(Ok(())));
    pool.close();
    assert!(matches!(pool.try_submit(Box::new(|| ())), Err(SubmitError::Closed(_))));
    closed.send(()).unwrap();
    assert_eq!([hear.recv(), hear.recv()], [Ok(Err(JobCancelled)), Ok(Ok(()))]);
}

#[test]
fn a_job_may_drop_its_own_pool() {
    let pool = Arc::new(pool(1));
    let theirs = Arc::clone(&pool);
    let shared = Arc::clone(&pool.shared);
    let (mine_gone, gone) = mpsc::channel::<()>();
    pool.try_submit(Box::new(move || {
        gone.recv().unwrap();
        drop(theirs);
    }))
    .unwrap();
    drop(pool);
    mine_gone.send(()).unwrap();
    until(|| Arc::strong_count(&shared) == 1);
    assert_eq!(shared.counters.finished.load(Ordering::Relaxed), 1);
}

#[test]
fn detach_does_not_wait() {
    let pool = pool(1);
    let shared = Arc::clone(&pool.shared);
    let release = occupy(&pool);
    pool.detach();
    assert_eq!(shared.counters.running.load(Ordering::Relaxed), 1);
    drop(release);
    until(|| Arc::strong_count(&shared) == 1);
}

/// Submitters, spinning and parking threads, and yielding jobs at once: every job ends, once.
#[test]
fn storm_loses_no_job() {
    for spin in [Duration::ZERO, Duration::from_micros(5)] {
        let config = WorkerConfig { threads: 3, queue_max: 64, spin, ..WorkerConfig::default() };
        let pool = Arc::new(WorkerPool::new(config));
        let ended = Arc::new(AtomicU64::new(0));
        let submitters: Vec<_> = (0..2)
            .map(|_| {
                let (pool, ended) = (Arc::clone(&pool), Arc::clone(&ended));
                thread::spawn(move || {
                    for n in 0..5_000 {
                        let ended = Arc::clone(&ended);
                        let mut job: Job = Box::new(move || {
                            let mut polls = n % 4;
                            worker_yield(|| {
                                polls == 0 || {
                                    polls -= 1;
                                    false
                                }
                            })
                            .unwrap();
                            ended.fetch_add(1, Ordering::Relaxed);
                        });
                        while let Err(refused) = pool.try_submit(job) {
                            job = refused.into_job();
                            thread::yield_now();
                        }
                        if n % 50 == 0 {
                            until(|| pool.stats().queued == 0);
                        }
                    }
                })
            })
            .collect();
        submitters.into_iter().for_each(|submitter| submitter.join().unwrap());
        until(|| pool.stats().finished == 10_000);
        assert_eq!(ended.load(Ordering::Relaxed), 10_000);
        let stats = pool.stats();
        assert_eq!((stats.queued, stats.running, stats.parked, stats.panicked), (0, 0, 0, 0));
    }
}
