//! A peer that sends each body only when it is told to go on.

use crate::answers::{Answer, CONTINUE};
use crate::peers::{Expected, Leaving, cut};
use crate::requests::{self, Setting};
use fastrand::Rng;
use std::time::Duration;
use sws_rings::script::{self, Peer};

/// Adds such a peer. It ends its side behind its last body.
pub fn add(rng: &mut Rng, setting: &Setting) -> Expected {
    let (mut heads, mut bodies, mut answers) = (Vec::new(), Vec::new(), Vec::<Answer>::new());
    for _ in 0..rng.usize(1..6) {
        let (head, body, answer) = requests::expecting(rng, setting);
        heads.push(head);
        bodies.push(body);
        answers.push(answer);
    }
    let start = Duration::from_micros(rng.u64(0..100_000));
    let (chunks, _) = cut(rng, &heads[0], start);
    let delays: Vec<Duration> = bodies.iter().map(|_| Duration::from_micros(rng.u64(0..50_000))).collect();
    let mut told = 0;
    let peer = Peer::connecting_at(start).sends(chunks).reacts(move |received, reply| {
        let times = received.windows(CONTINUE.len()).filter(|window| *window == CONTINUE).count();
        while told < times.min(bodies.len()) {
            reply.send(delays[told], bodies[told].clone());
            match heads.get(told + 1) {
                Some(head) => reply.send(delays[told], head.clone()),
                None => reply.half_close(delays[told]),
            }
            told += 1;
        }
    });
    Expected { id: script::with(|world| world.add_peer(peer)), answers, leaving: Leaving::HalfClose }
}
