//! `GET /` as a WebSocket: many partitions followed, and records produced, over one connection.
//!
//! Each message is a JSON object with an `op`; `id` is the client's own, and comes back in the answer.
//!
//! | from the client | answer |
//! |---|---|
//! | `{"op":"subscribe","topic","partition":0,"offset":n}` or `"tail":n` for the last n; without either, from the end | `{"op":"subscribed","topic","partition","next"}`, then `{"op":"record",...}` for each record |
//! | the same with `"member":"name"` | the socket is one of that member's in a topic with presence |
//! | `{"op":"unsubscribe","topic","partition":0}` | `{"op":"unsubscribed"}` |
//! | `{"op":"produce","topic","text" or "base64","key","partition","acks","producer":{"id","sequence"}}` | `{"op":"produced","partition","offset","duplicate"}` |
//! | `{"op":"ping"}` | `{"op":"pong"}` |
//!
//! What goes wrong is `{"op":"error","id","code","message"}` with the codes of HTTP, and `low` and `high` for an offset out of range. A topic's
//! presence is `{"op":"presence","topic","count","joined" or "left"}`.

use super::{Access, Code, Outcome, Problem, Routes};
use crate::context::Context;
use crate::extract::FromRequest;
use crate::follow::FollowError;
use crate::into_response::IntoResponse;
use crate::response::Response;
use crate::websocket::{Message, Sender, Socket, SocketHandler, SocketOptions, WebSocketUpgrade};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::rc::Rc;
use sws_content::log::{Acks, Entry, FetchError, ProduceOptions};
use sws_runtime::try_go;

/// Bytes of one message from a client, at most.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Partitions that one socket follows, at most.
const FOLLOWED_MAX: usize = 256;

#[derive(Deserialize)]
struct Request {
    op: String,
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    topic: String,
    #[serde(default)]
    partition: Option<u32>,
    offset: Option<u64>,
    tail: Option<u64>,
    member: Option<String>,
    text: Option<String>,
    base64: Option<String>,
    key: Option<String>,
    #[serde(default)]
    acks: Acks,
    producer: Option<Producer>,
}

#[derive(Deserialize)]
struct Producer {
    id: u64,
    sequence: u32,
}

pub(super) fn upgrade(routes: &Rc<Routes>, ctx: &mut Context) -> Outcome {
    let upgrade = WebSocketUpgrade::from_request(ctx).map_err(IntoResponse::into_response)?;
    // Whoever asks for access looks at the request that opened the socket.
    let ctx = routes.access.is_some().then(|| ctx.snapshot());
    let options = SocketOptions { message_bytes_max: MESSAGE_BYTES_MAX, ..SocketOptions::default() };
    Ok(upgrade.options(options).accept(LogSocket { routes: Rc::clone(routes), ctx }))
}

struct LogSocket {
    routes: Rc<Routes>,
    ctx: Option<Context>,
}

impl SocketHandler for LogSocket {
    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        let request = match serde_json::from_slice::<Request>(message.as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                let problem = Problem::new(Code::BadRequest, format!("the message: {error}"));
                return answer(socket, &None, problem_of(&problem));
            }
        };
        let result = match request.op.as_str() {
            "subscribe" => self.subscribe(socket, &request),
            "unsubscribe" => self.unsubscribe(socket, &request),
            "produce" => self.produce(socket, &request),
            "ping" => {
                answer(socket, &request.id, json!({"op": "pong"}));
                Ok(())
            }
            _ => Err(Problem::field("op", "it is to be `subscribe`, `unsubscribe`, `produce` or `ping`")),
        };
        if let Err(problem) = result {
            answer(socket, &request.id, problem_of(&problem));
        }
    }
}

/// An answer with the id of what it answers.
fn numbered(mut value: Value, id: &Option<Value>) -> String {
    if let (Value::Object(members), Some(id)) = (&mut value, id) {
        members.insert("id".to_owned(), id.clone());
    }
    value.to_string()
}

/// Sends an answer; one that has no room is one too many.
fn answer(socket: &mut Socket<'_>, id: &Option<Value>, value: Value) {
    if socket.send(&numbered(value, id)).is_err() {
        socket.close(1013, "answers are not read");
    }
}

fn problem_of(problem: &Problem) -> Value {
    let mut members: Map<String, Value> = problem.members().clone();
    members.insert("op".to_owned(), "error".into());
    members.insert("code".to_owned(), problem.code().as_str().into());
    members.insert("message".to_owned(), problem.detail().into());
    Value::Object(members)
}

impl LogSocket {
    fn check(&self, topic: &str, access: Access) -> Result<(), Problem> {
        let Some(ctx) = &self.ctx else { return Ok(()) };
        let refused = |_: Response| Problem::new(Code::Forbidden, "this topic is not open to you");
        self.routes.check(ctx, topic, access).map_err(refused)
    }

    fn subscribe(&self, socket: &mut Socket<'_>, request: &Request) -> Result<(), Problem> {
        self.check(&request.topic, Access::Read)?;
        if socket.subscriptions().len() >= FOLLOWED_MAX {
            return Err(Problem::new(Code::TooManyTopics, "one connection follows 256 partitions at most"));
        }
        let (log, topic) = (self.routes.log.clone(), request.topic.clone());
        let partition = request.partition.unwrap_or(0);
        let (offset, tail) = (request.offset, request.tail.unwrap_or(0));
        let (member, id, sender) = (request.member.clone(), request.id.clone(), socket.sender());
        // The log may be on another worker: its range is waited for.
        let started = try_go("log subscribe", move || {
            let range = log.range(&topic, partition);
            sender.with(|socket| {
                let begun = range.map_err(Problem::from).and_then(|(low, high)| {
                    let next = offset.unwrap_or(high.saturating_sub(tail).max(low));
                    if !(low..=high).contains(&next) {
                        return Err(FetchError::OutOfRange { low, high }.into());
                    }
                    Ok(next)
                });
                let next = match begun {
                    Ok(next) => next,
                    Err(problem) => return answer(socket, &id, problem_of(&problem)),
                };
                let what = json!({"op": "subscribed", "topic": topic, "partition": partition, "next": next});
                answer(socket, &id, what);
                let (again, named) = (id.clone(), topic.clone());
                let failed = move |socket: &mut Socket<'_>, error: FollowError| {
                    let mut value = problem_of(&problem_of_follow(error));
                    value["topic"] = named.as_str().into();
                    value["partition"] = partition.into();
                    answer(socket, &again, value);
                };
                let followed = socket.follow(&log, &topic, partition, next, member.as_deref(), failed);
                if let Err(error) = followed {
                    answer(socket, &id, problem_of(&problem_of_follow(error)));
                }
            });
        });
        started.map(drop).ok_or_else(|| Problem::new(Code::Overloaded, "too many are just subscribing"))
    }

    fn unsubscribe(&self, socket: &mut Socket<'_>, request: &Request) -> Result<(), Problem> {
        let partition = request.partition.unwrap_or(0);
        if !socket.unfollow(&request.topic, partition) {
            return Err(Problem::new(Code::BadRequest, "it is not subscribed to"));
        }
        let what = json!({"op": "unsubscribed", "topic": request.topic, "partition": partition});
        answer(socket, &request.id, what);
        Ok(())
    }

    fn produce(&self, socket: &mut Socket<'_>, request: &Request) -> Result<(), Problem> {
        self.check(&request.topic, Access::Write)?;
        let bytes;
        let entry = match (&request.text, &request.base64) {
            (Some(text), None) => Entry::text(text),
            (None, Some(base64)) => {
                let decoded = BASE64.decode(base64.as_bytes());
                bytes = decoded.map_err(|_| Problem::field("base64", "it is no base64"))?;
                Entry::bytes(&bytes)
            }
            _ => return Err(Problem::field("text", "a record has `text` or `base64`")),
        };
        let entry = match &request.key {
            Some(key) => entry.key(key.as_str()),
            None => entry,
        };
        let mut options = ProduceOptions::default().acks(request.acks);
        options.partition = request.partition;
        if let Some(Producer { id, sequence }) = request.producer {
            options = options.producer(id, sequence);
        }
        let (sender, id, topic) = (socket.sender(), request.id.clone(), request.topic.clone());
        self.routes.log.produce_then(&request.topic, &[entry], options, move |result| {
            let value = match result {
                Ok(produced) => json!({
                    "op": "produced", "topic": topic, "partition": produced.partition,
                    "offset": produced.offset, "duplicate": produced.duplicate,
                }),
                Err(error) => problem_of(&Problem::from(error)),
            };
            tell(&sender, &id, value);
        });
        Ok(())
    }
}

/// Sends an answer from wherever the log is.
fn tell(sender: &Sender, id: &Option<Value>, value: Value) {
    if sender.send(&numbered(value, id)).is_err() {
        sender.close(1013, "answers are not read");
    }
}

fn problem_of_follow(error: FollowError) -> Problem {
    match error {
        FollowError::Fetch(error) => error.into(),
        FollowError::Following => Problem::new(Code::BadRequest, error.to_string()),
        FollowError::TooMany => Problem::new(Code::Overloaded, error.to_string()),
        FollowError::Subscribe(_) => Problem::new(Code::TooManyTopics, error.to_string()),
    }
}
