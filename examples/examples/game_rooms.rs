//! Rooms of a game. A room with two players counts down; then the battle is computed on the worker pool, while the IO thread serves
//! all others, and its result is pushed to the room. Each room is one fiber, there as long as somebody is in it.
//!
//! `cargo run --release -p examples --example game_rooms -- --listen 127.0.0.1:8080`, then two WebSockets at
//! `ws://127.0.0.1:8080/rooms/den?name=Ada` and the like. `--tick-ms 1000` sets the length of a count.
//!
//! A player has ten points to divide between attack and defence: what it says is the number for attack. What it hears:
//!
//! | event | meaning |
//! |---|---|
//! | `join`, `leave` | `member` has come, or has left |
//! | `ready`, `refused` | the number was taken, or was none |
//! | `countdown` | so many counts are `left` |
//! | `result` | `wins` of each in `battles`, the most often those of `winner` |

#![forbid(unsafe_code)]

use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;
use sws::runtime::{JoinError, sleep, submit, try_go};
use sws::websocket::{Close, Message, Socket, SocketHandler, SocketOptions, WebSocketUpgrade};
use sws::{Path, Query, Response, Router, ServeError, Server, State, TopicOptions, topics};

const COUNTS: u32 = 3;
const TICK: Duration = Duration::from_secs(1);
const ROOMS_MAX: usize = 1024;
const PLAYERS_MAX: usize = 8;
const POINTS: u8 = 10;
const LIVES: i32 = 20;
/// Battles that are fought for one result.
const BATTLES: u32 = 2000;
/// Closes a socket whose player cannot come in.
const CLOSE_REFUSED: u16 = 4000;

struct Room {
    topic: String,
    /// The points for attack of each player.
    players: RefCell<BTreeMap<String, u8>>,
    /// Counts until the next battle.
    left: Cell<u32>,
}

/// The rooms of a worker. All its callbacks and fibers run on one thread: no lock is needed.
struct Arena {
    rooms: RefCell<HashMap<String, Rc<Room>>>,
    tick: Duration,
}

impl Arena {
    /// The room of this name; it begins to run with its first player.
    fn room(self: &Rc<Self>, name: &str) -> Option<Rc<Room>> {
        let mut rooms = self.rooms.borrow_mut();
        if let Some(room) = rooms.get(name) {
            return Some(Rc::clone(room));
        }
        if rooms.len() >= ROOMS_MAX {
            return None;
        }
        let (players, left) = (RefCell::default(), Cell::new(COUNTS));
        let room = Rc::new(Room { topic: format!("game/{name}"), players, left });
        let (arena, running, key) = (Rc::clone(self), Rc::clone(&room), name.to_owned());
        try_go("room", move || {
            if let Err(error) = running.run(arena.tick) {
                eprintln!("the room {key} has ended: {error}");
            }
            arena.rooms.borrow_mut().remove(&key);
        })?;
        rooms.insert(name.to_owned(), Rc::clone(&room));
        Some(room)
    }
}

impl Room {
    /// The life of a room, from its first player to its last.
    fn run(&self, tick: Duration) -> Result<(), JoinError> {
        for number in 1.. {
            while self.left.get() > 0 {
                sleep(tick)?;
                let players = self.players.borrow().len();
                match players {
                    0 => return Ok(()),
                    1 => continue,
                    _ => self.tell(&json!({ "event": "countdown", "left": self.left.get() })),
                }
                self.left.set(self.left.get() - 1);
            }
            self.left.set(COUNTS);
            let players = self.players.borrow().clone();
            let result = submit(move || fight_all(&players, number)).join()?;
            self.tell(&result);
        }
        Ok(())
    }

    fn tell(&self, event: &Value) {
        // A worker that is too busy for it leaves out an event of the game.
        let _ = topics().publish(&self.topic, event.to_string());
    }
}

/// A socket's own data: who plays where. The room is there once the player is in it.
struct Player {
    arena: Rc<Arena>,
    name: String,
    room_name: String,
    room: Option<Rc<Room>>,
}

impl Player {
    fn come_in(&mut self, socket: &mut Socket<'_>) -> Result<(), &'static str> {
        let room = self.arena.room(&self.room_name).ok_or("there are too many rooms")?;
        {
            let mut players = room.players.borrow_mut();
            if players.len() >= PLAYERS_MAX {
                return Err("the room is full");
            }
            if players.contains_key(&self.name) {
                return Err("the name is taken");
            }
            players.insert(self.name.clone(), POINTS / 2);
        }
        let room = self.room.insert(room);
        socket.join(&room.topic, &self.name).map_err(|_| "the names do not fit")
    }
}

impl SocketHandler for Player {
    fn on_open(&mut self, socket: &mut Socket<'_>) {
        if let Err(reason) = self.come_in(socket) {
            socket.close(CLOSE_REFUSED, reason);
        }
    }

    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        let Some(room) = &self.room else { return };
        let attack = message.as_text().and_then(|text| text.parse().ok()).filter(|attack| *attack <= POINTS);
        let answer = match attack {
            Some(attack) => {
                room.players.borrow_mut().insert(self.name.clone(), attack);
                json!({ "event": "ready", "attack": attack })
            }
            None => json!({ "event": "refused" }),
        };
        // A socket that is closing needs no answer.
        let _ = socket.send(&answer.to_string());
    }

    fn on_close(&mut self, _socket: &mut Socket<'_>, _close: &Close) {
        let Some(room) = &self.room else { return };
        room.players.borrow_mut().remove(&self.name);
        if room.players.borrow().len() < 2 {
            room.left.set(COUNTS);
        }
    }
}

/// Fights battles between the same players: the work of a thread of the pool.
fn fight_all(players: &BTreeMap<String, u8>, seed: u64) -> Value {
    let attacks: Vec<u8> = players.values().copied().collect();
    let mut wins = vec![0u32; attacks.len()];
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..BATTLES {
        wins[fight(&attacks, &mut random)] += 1;
    }
    let wins: BTreeMap<&str, u32> = players.keys().map(String::as_str).zip(wins).collect();
    let winner = wins.iter().max_by_key(|(_, wins)| **wins).map(|(name, _)| *name);
    json!({ "event": "result", "battles": BATTLES, "winner": winner, "wins": wins })
}

/// One battle: in turn each strikes another, until one is left. Returns its number.
fn fight(attacks: &[u8], random: &mut u64) -> usize {
    let mut lives = vec![LIVES; attacks.len()];
    let mut living: Vec<usize> = (0..attacks.len()).collect();
    let mut turn = below(random, living.len());
    while living.len() > 1 {
        turn = (turn + 1) % living.len();
        let other = (turn + 1 + below(random, living.len() - 1)) % living.len();
        let (striker, struck) = (living[turn], living[other]);
        let attack = below(random, 4 + usize::from(attacks[striker]));
        let defence = below(random, 2 + usize::from(POINTS - attacks[struck]));
        lives[struck] -= attack.saturating_sub(defence) as i32;
        if lives[struck] <= 0 {
            living.remove(other);
            turn -= usize::from(other < turn);
        }
    }
    living[0]
}

/// A number below `bound`: xorshift64.
fn below(random: &mut u64, bound: usize) -> usize {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random % bound as u64) as usize
}

#[derive(Deserialize)]
struct Entry {
    name: String,
}

fn enter(
    State(arena): State<Rc<Arena>>,
    Path(room_name): Path<String>,
    Query(Entry { name }): Query<Entry>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let options = SocketOptions { message_bytes_max: 64, ..SocketOptions::default() };
    upgrade.options(options).accept(Player { arena, name, room_name, room: None })
}

fn tick() -> Duration {
    let millis = examples::argument("--tick-ms").and_then(|text| text.parse().ok());
    millis.map_or(TICK, Duration::from_millis)
}

fn router() -> Router {
    let arena = Rc::new(Arena { rooms: RefCell::default(), tick: tick() });
    Router::new().get("/rooms/{room}", enter).with_state(arena)
}

fn main() -> Result<(), ServeError> {
    let server = Server::bind(examples::listen_addr())?;
    server.topics().configure("game/*", TopicOptions::default().presence(true));
    println!("listening on {}", server.addr());
    server.serve(router)
}
