//! `GET /` as a WebSocket: many partitions followed, and records produced, over one connection.
//!
//! Each message is a JSON object with an `op`; `id` is the client's own, any JSON of up to 1,024 bytes, and comes back in the answer.
//!
//! | from the client | answer |
//! |---|---|
//! | `{"op":"subscribe","topic","partition":0,"offset":n}` or `"tail":n` for the last n; without either, from the end | `{"op":"subscribed","topic","partition","next"}`, then `{"op":"record",...}` for each record |
//! | the same with `"member":"name"` | the socket is one of that member's in a topic with presence |
//! | `{"op":"unsubscribe","topic","partition":0}` | `{"op":"unsubscribed"}` |
//! | `{"op":"produce","topic","acks","producer":{"id","sequence"}}` and the members of a record as in the JSON body of a `POST` | `{"op":"produced","topic","partition","offset","duplicate"}`; a topic that is not there is not made |
//! | `{"op":"ping"}` | `{"op":"pong"}` |
//!
//! What goes wrong is `{"op":"error","id","code","message"}` with the codes of HTTP, and `low` and `high` for an offset out of range. A topic's
//! presence is `{"op":"presence","topic","count","joined" or "left"}`.

use super::counts::Counters;
use super::decode::{RawProducer, Text};
use super::request::Request;
use super::{Access, Code, Outcome, Problem, Routes};
use crate::context::Context;
use crate::extract::FromRequest;
use crate::follow::FollowError;
use crate::into_response::IntoResponse;
use crate::response::Response;
use crate::websocket::{Message, Sender, Socket, SocketHandler, SocketOptions, WebSocketUpgrade};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use sws_content::log::{FetchError, ProduceOptions, Produced};
use sws_runtime::try_go;

/// Bytes of one message from a client, at most.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Partitions that one socket follows, at most.
const FOLLOWED_MAX: usize = 256;

/// Bytes of a client's `id`, at most: it waits with each request.
const ID_BYTES_MAX: usize = 1024;

/// What the client calls its request, as it has written it.
type Id = Option<Box<RawValue>>;

/// An answer. The client's `id` stands beside it.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Answer<'a> {
    Subscribed { topic: &'a str, partition: u32, next: u64 },
    Unsubscribed { topic: &'a str, partition: u32 },
    Produced { topic: &'a str, partition: u32, offset: u64, duplicate: bool },
    Pong,
}

#[derive(Serialize)]
struct Numbered<'a, T: Serialize> {
    #[serde(flatten)]
    answer: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: &'a Id,
}

pub(super) fn upgrade(routes: &Rc<Routes>, ctx: &mut Context) -> Outcome {
    let upgrade = WebSocketUpgrade::from_request(ctx).map_err(IntoResponse::into_response)?;
    // Whoever asks for access looks at the request that opened the socket.
    let ctx = routes.access.is_some().then(|| ctx.snapshot());
    let options = SocketOptions { message_bytes_max: MESSAGE_BYTES_MAX, ..SocketOptions::default() };
    Ok(upgrade.options(options).accept(LogSocket { routes: Rc::clone(routes), ctx, wishes: Rc::default() }))
}

struct LogSocket {
    routes: Rc<Routes>,
    ctx: Option<Context>,
    wishes: Rc<RefCell<Wishes>>,
}

/// The partitions whose subscription was asked for and has not begun: the log may be on another worker. Each has a number of its own: of
/// one that was ended and asked for again, only the latter counts.
#[derive(Default)]
struct Wishes {
    numbers: HashMap<(String, u32), u64>,
    last: u64,
}

impl Wishes {
    /// Notes a wish; `None` if it is noted already.
    fn add(&mut self, partition: &(String, u32)) -> Option<u64> {
        if self.numbers.contains_key(partition) {
            return None;
        }
        self.last += 1;
        self.numbers.insert(partition.clone(), self.last);
        Some(self.last)
    }

    /// Whether it is still wished for, which it is not any more then.
    fn take(&mut self, partition: &(String, u32), number: u64) -> bool {
        let wished = self.numbers.get(partition) == Some(&number);
        if wished {
            self.numbers.remove(partition);
        }
        wished
    }
}

impl SocketHandler for LogSocket {
    fn on_message(&mut self, socket: &mut Socket<'_>, message: Message<'_>) {
        // A text is known to be UTF-8, and is not looked at again.
        let decoded = match message {
            Message::Text(text) => serde_json::from_str::<Request<'_>>(text),
            Message::Binary(bytes) => serde_json::from_slice(bytes),
        };
        let mut request = match decoded {
            Ok(request) => request,
            Err(error) => {
                let problem = Problem::new(Code::BadRequest, format!("the message: {error}"));
                return answer(socket, &None, refusal(&problem));
            }
        };
        let id = request.id.take();
        if id.is_some_and(|id| id.get().len() > ID_BYTES_MAX) {
            return answer(socket, &None, refusal(&Problem::field("id", "it has 1,024 bytes at most")));
        }
        let id: Id = id.map(|id| id.to_owned());
        let result = match &*request.op.0 {
            "subscribe" => self.subscribe(socket, &id, &request),
            "unsubscribe" => self.unsubscribe(socket, &id, &request),
            "produce" => self.produce(socket, &id, request),
            "ping" => {
                answer(socket, &id, Answer::Pong);
                Ok(())
            }
            _ => Err(Problem::field("op", "it is to be `subscribe`, `unsubscribe`, `produce` or `ping`")),
        };
        if let Err(problem) = result {
            answer(socket, &id, refusal(&problem));
        }
    }
}

/// An answer with the id of what it answers.
fn numbered(answer: impl Serialize, id: &Id) -> String {
    serde_json::to_string(&Numbered { answer, id }).expect("what came as JSON can be written as JSON")
}

/// Sends an answer; one that has no room is one too many.
fn answer(socket: &mut Socket<'_>, id: &Id, answer: impl Serialize) {
    if socket.send(&numbered(answer, id)).is_err() {
        socket.close(1013, "answers are not read");
    }
}

/// Sends an answer from wherever the log is.
fn tell(sender: &Sender, id: &Id, answer: impl Serialize) {
    if sender.send(&numbered(answer, id)).is_err() {
        sender.close(1013, "answers are not read");
    }
}

/// A problem as an answer, counted.
fn refusal(problem: &Problem) -> Map<String, Value> {
    Counters::of_worker().count_refusal(problem.code());
    let mut members: Map<String, Value> = problem.members().clone();
    members.insert("op".to_owned(), "error".into());
    members.insert("code".to_owned(), problem.code().as_str().into());
    members.insert("message".to_owned(), problem.detail().into());
    members
}

impl LogSocket {
    fn check(&self, topic: &str, access: Access) -> Result<(), Problem> {
        let Some(ctx) = &self.ctx else { return Ok(()) };
        let refused = |_: Response| Problem::new(Code::Forbidden, "this topic is not open to you");
        self.routes.check(ctx, topic, access).map_err(refused)
    }

    fn subscribe(&self, socket: &mut Socket<'_>, id: &Id, request: &Request<'_>) -> Result<(), Problem> {
        let topic = &*request.topic.0;
        self.check(topic, Access::Read)?;
        let followed = socket.subscriptions().len() + socket.catching_up();
        if followed + self.wishes.borrow().numbers.len() >= FOLLOWED_MAX {
            return Err(Problem::new(Code::TooManyTopics, "one connection follows 256 partitions at most"));
        }
        let (log, wish) = (self.routes.log.clone(), (topic.to_owned(), request.partition()));
        let number = self.wishes.borrow_mut().add(&wish).ok_or(FollowError::Following)?;
        let (wishes, wished) = (Rc::clone(&self.wishes), wish.clone());
        let (offset, tail) = (request.offset, request.tail.unwrap_or(0));
        let member = request.member.as_ref().map(|Text(member)| member.clone().into_owned());
        let (id, sender) = (id.clone(), socket.sender());
        // The log may be on another worker: its range is waited for.
        let started = try_go("log subscribe", move || {
            let (topic, partition) = &wished;
            let range = log.range(topic, *partition);
            sender.with(|socket| {
                if !wishes.borrow_mut().take(&wished, number) {
                    let problem = Problem::new(Code::BadRequest, "it was unsubscribed before it began");
                    return answer(socket, &id, refusal(&problem));
                }
                let (again, named) = (id.clone(), wished.clone());
                let failed = move |socket: &mut Socket<'_>, error: FollowError| {
                    let mut members = refusal(&Problem::from(error));
                    members.insert("topic".to_owned(), named.0.as_str().into());
                    members.insert("partition".to_owned(), named.1.into());
                    answer(socket, &again, members);
                };
                let begun = range.map_err(Problem::from).and_then(|(low, high)| {
                    let next = offset.unwrap_or(high.saturating_sub(tail).max(low));
                    if !(low..=high).contains(&next) {
                        return Err(FetchError::OutOfRange { low, high }.into());
                    }
                    // Its records are sent by another fiber, behind the answer.
                    socket.follow(&log, topic, *partition, next, member.as_deref(), failed)?;
                    Ok(next)
                });
                match begun {
                    Ok(next) => {
                        answer(socket, &id, Answer::Subscribed { topic, partition: *partition, next })
                    }
                    Err(problem) => answer(socket, &id, refusal(&problem)),
                }
            });
        });
        started.map(drop).ok_or_else(|| {
            self.wishes.borrow_mut().take(&wish, number);
            Problem::new(Code::Overloaded, "too many are just subscribing")
        })
    }

    fn unsubscribe(&self, socket: &mut Socket<'_>, id: &Id, request: &Request<'_>) -> Result<(), Problem> {
        let (topic, partition) = (&*request.topic.0, request.partition());
        let wish = self.wishes.borrow_mut().numbers.remove(&(topic.to_owned(), partition));
        if !socket.unfollow(topic, partition) && wish.is_none() {
            return Err(Problem::new(Code::BadRequest, "it is not subscribed to"));
        }
        answer(socket, id, Answer::Unsubscribed { topic, partition });
        Ok(())
    }

    fn produce(&self, socket: &mut Socket<'_>, id: &Id, request: Request<'_>) -> Result<(), Problem> {
        let Request { topic: Text(topic), acks, producer, record, .. } = request;
        self.check(&topic, Access::Write)?;
        let mut options = ProduceOptions::default().acks(acks.unwrap_or_default());
        options.producer = producer.map(RawProducer::check).transpose()?;
        let record = record.check()?;
        options.partition = record.partition;
        let (entry, bytes) = (record.entry(), record.entry().payload.len());
        let (sender, id, named) = (socket.sender(), id.clone(), String::from(&*topic));
        self.routes.log.produce_then(&topic, &[entry], options, move |result| match result {
            Ok(Produced { partition, offset, duplicate, .. }) => {
                if !duplicate {
                    Counters::of_worker().count_produced(1, bytes);
                }
                tell(&sender, &id, Answer::Produced { topic: &named, partition, offset, duplicate });
            }
            Err(error) => tell(&sender, &id, refusal(&Problem::from(error))),
        });
        Ok(())
    }
}
