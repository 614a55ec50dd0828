//! The log over HTTP: produce, fetch, and the topics themselves, as routes to be mounted where they are wanted.
//!
//! ```text
//! POST   /{topic}               produce.rs: bytes with headers | decode.rs + batch.rs: JSON, one record or a batch
//! GET    /{topic}/{partition}   fetch.rs: JSON (encode.rs) or records as they are stored; long poll
//! GET    /{topic}               admin.rs: what a topic is like
//! GET    /{topic}/{partition}/events   events.rs: Server-Sent Events from an offset on
//! GET    /                      socket.rs: a WebSocket that follows and produces
//! GET    /                      admin.rs, and the next two: only where LogRoutes::admin says so
//! PUT    /{topic}
//! DELETE /{topic}
//! ```
//!
//! # Producing
//! A body of `application/json` is one record or a batch:
//!
//! ```json
//! {"text": "two tickets", "key": "user-7"}
//! {"records": [{"json": {"sum": 12}, "key": "user-7"}, {"base64": "AAEC"}, {"key": "user-8", "tombstone": true}], "acks": "written"}
//! ```
//!
//! | member | of | meaning |
//! |---|---|---|
//! | `text`, `base64`, `json` | a record | its payload: one of them, none for a tombstone; `json` is any value, kept as it was written |
//! | `key` | a record | a string, or `{"base64": "..."}` |
//! | `tombstone` | a record | whether its key is no more |
//! | `timestamp` | a record | milliseconds since 1970 |
//! | `partition` | a record or a batch | where it goes; else the topic's partitioner chooses |
//! | `acks` | either | `durable` (the default), `written` or `none` |
//! | `producer` | either | `{"id": n, "sequence": n}`: sent again with the same numbers it is not written twice |
//! | `atomic` | a batch | all in one partition and all or none of them; so is a batch that names its `partition` |
//!
//! Any other body is the payload itself; of a `text/...` type it is kept as text. The rest is said by the headers `Sws-Key`, `Sws-Partition`,
//! `Sws-Acks`, `Sws-Producer-Id`, `Sws-Sequence`, `Sws-Timestamp`, `Sws-Tombstone`, or by query parameters (`?key=&partition=&acks=&producer_id=&sequence=&timestamp=&tombstone=`).
//!
//! The answer is `{"topic": "orders", "partition": 0, "offset": 12, "count": 1, "duplicate": false}`; `offset` is that of the first record, the
//! others follow it. A batch that is not atomic is split by partitions, each part being atomic, and answered with a place for each record:
//! `{"topic": "orders", "count": 2, "results": [{"partition": 0, "offset": 12}, {"partition": 3, "offset": 7}]}`. If some of it fails, the
//! status is that of the first failure, and `results` has `{"partition": 3, "code": "..."}` for what was not written.
//!
//! # Fetching
//! | parameter | meaning |
//! |---|---|
//! | `offset` | a number, `earliest` (the default), `latest`, or `-n`: the last n |
//! | `max`, `max_bytes` | records, and bytes of them as they are stored; the first record comes whatever its size |
//! | `wait` | milliseconds to wait at the end for a record to come |
//! | `min_offset`, `timeout` | waits until the record with this offset is there, at most `timeout` milliseconds: for who has just written it |
//! | `format` | `json` or `raw`: the records as in `docs/segment-format.md`; so does `Accept: application/octet-stream` |
//!
//! The answer is `{"topic", "partition", "low", "high", "records": [...], "next"}`; raw, these numbers are the headers `Sws-Low`, `Sws-High` and
//! `Sws-Next`. An answer of many bytes is read and sent piece by piece; a raw one has no `Sws-Next` then: go on behind its last record. Many raw
//! records of a full segment are sent as the part of its file that they are, up to its end, with `Sws-Next`: nobody has looked at them but
//! the first, so check the checksum of each, as a reader of files would.
//!
//! A `min_offset` that does not come in time is a 503 with `Retry-After`: the request is right, and the same one will be answered later. (404
//! and 416 would say that there is no such record; 408 blames the client; 504 is for gateways.)
//!
//! # Errors
//! `application/problem+json` (RFC 9457) with a `code` that stays what it is:
//!
//! | code | status | |
//! |---|---|---|
//! | `bad_request` | 400 | `detail` says which field; `field` names it where it is a parameter |
//! | `unauthorized` | 401 | of [`bearer_token`](crate::bearer_token) |
//! | `forbidden` | 403 | over the WebSocket, where [`LogRoutes::access`] refuses |
//! | `unknown_topic`, `unknown_partition` | 404 | |
//! | `body_timeout` | 408 | |
//! | `exists`, `too_many_topics` | 409 | |
//! | `out_of_sequence` | 409 | `expected`: the producer's next number |
//! | `duplicate` | 409 | written before, it is not known any more where |
//! | `size` | 413 | |
//! | `out_of_range` | 416 | `low`, `high` |
//! | `overloaded` | 429 | `Retry-After`, `retry_after_ms`; nothing was written |
//! | `corrupt`, `storage_failed`, `internal` | 500 | which file is for the operator to see, not for the peer |
//! | `not_visible` | 503 | `Retry-After`: a `min_offset` that has not come |
//! | `poisoned`, `storage_unavailable`, `no_memory`, `closed`, `cancelled` | 503 | |
//! | `storage_full` | 507 | |

mod admin;
mod batch;
mod counts;
mod decode;
mod encode;
mod events;
mod fetch;
mod parameters;
mod problem;
mod produce;
mod request;
mod socket;

pub(crate) use counts::LogCounts;
pub(crate) use encode::{
    number as encode_number, record as encode_record_json, record_members as encode_record_members,
    text as encode_text,
};
pub(crate) use problem::{Code, Problem};

use crate::context::Context;
use crate::response::Response;
use crate::router::{Router, get};
use counts::Counters;
use http::StatusCode;
use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;
use sws_content::log::{Log, ProduceError, TopicConfig, TopicError};
use sws_runtime::{PresenceEvent, Publication, sleep};

/// The message about who comes to and leaves a topic with presence, as the WebSocket of [`LogRoutes`] has it: for
/// [`TopicOptions::presence_with`](crate::TopicOptions::presence_with).
pub fn presence_message(event: &PresenceEvent<'_>) -> Publication {
    let word = if event.joined { "joined" } else { "left" };
    let value = serde_json::json!({
        "op": "presence", "topic": event.topic, "count": event.count, word: event.member,
    });
    Publication::from(value.to_string()).event("presence")
}

/// How long a fetch may wait at most, unless [`LogRoutes::wait_max`] says otherwise.
const WAIT_MAX: Duration = Duration::from_secs(45);
/// How often a topic that is just being made is looked for, and how long is waited in between.
const CREATE_TRIES: usize = 200;
const CREATE_PAUSE: Duration = Duration::from_millis(5);

/// What somebody wants with a topic, see [`LogRoutes::access`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// To read its records, or what it is like.
    Read,
    /// To produce to it.
    Write,
    /// To make it, to delete it, or, with an empty name, to list all topics.
    Admin,
}

type AccessFn = dyn Fn(&Context, &str, Access) -> Result<(), Response>;

/// Routes to a log, to be nested into a router. What they take and answer is said in [the module](self).
///
/// ```
/// use sws::content::log::TopicConfig;
/// use sws::log_routes::LogRoutes;
/// use sws::{Log, Router, Server};
/// # use std::io::{Read, Write};
/// # fn ask(addr: std::net::SocketAddr, request: &str) -> std::io::Result<String> {
/// #     let mut client = std::net::TcpStream::connect(addr)?;
/// #     client.write_all(request.as_bytes())?;
/// #     let mut answer = String::new();
/// #     client.read_to_string(&mut answer)?;
/// #     Ok(answer)
/// # }
///
/// # let dir = std::env::temp_dir().join(format!("sws-doc-log-routes-{}", std::process::id()));
/// let (log, _report) = Log::open(&dir)?;
/// let server = Server::bind("127.0.0.1:0")?.spawn(move || {
///     let routes = LogRoutes::new(log.clone()).create_on_produce(TopicConfig::default());
///     Router::new().nest("/topics", routes.into_router())
/// })?;
///
/// let produce = "POST /topics/orders HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\ntwo tickets";
/// let answer = ask(server.addr(), produce)?;
/// assert!(answer.ends_with(r#"{"topic":"orders","partition":0,"offset":0,"count":1,"duplicate":false}"#));
///
/// let answer = ask(server.addr(), "GET /topics/orders/0?offset=0 HTTP/1.0\r\n\r\n")?;
/// assert!(answer.contains(r#""key":null,"text":"two tickets""#));
/// # server.shutdown();
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A server makes the routes anew for each worker; the log belongs to the first of them that uses it, and the others reach it there:
///
/// ```no_run
/// use sws::log_routes::{Access, LogRoutes};
/// use sws::{Context, Log, Response, Router, Server, bearer_token, http::StatusCode};
///
/// fn may(ctx: &Context, topic: &str, access: Access) -> Result<(), Response> {
///     match access {
///         Access::Read if topic.starts_with("public.") => Ok(()),
///         _ if ctx.header("x-role") == Some("writer") => Ok(()),
///         Access::Read | Access::Write | Access::Admin => Err(Response::new(StatusCode::FORBIDDEN)),
///     }
/// }
///
/// let (log, _report) = Log::open("data")?;
/// Server::bind("127.0.0.1:8080")?.serve(move || {
///     let routes = LogRoutes::new(log.clone()).admin(true).access(may).into_router();
///     Router::new().nest("/topics", routes.layer(bearer_token("s3cret")))
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LogRoutes {
    routes: Routes,
}

/// What all handlers share.
pub(crate) struct Routes {
    pub(crate) log: Log,
    admin: bool,
    access: Option<Box<AccessFn>>,
    create: Option<TopicConfig>,
    body_bytes_max: Option<usize>,
    wait_max: Duration,
    counters: OnceCell<Rc<Counters>>,
}

impl LogRoutes {
    /// Routes to a log: to produce and to fetch.
    pub fn new(log: Log) -> LogRoutes {
        let routes = Routes {
            log,
            admin: false,
            access: None,
            create: None,
            body_bytes_max: None,
            wait_max: WAIT_MAX,
            counters: OnceCell::new(),
        };
        LogRoutes { routes }
    }

    /// Whether topics can be listed, made and deleted. They cannot, unless this is called.
    #[must_use]
    pub fn admin(mut self, on: bool) -> LogRoutes {
        self.routes.admin = on;
        self
    }

    /// Asks this before anything is done; an error is the answer. On a WebSocket it is given the request that opened it. Who may do
    /// anything at all is also a matter for a layer around the routes, as [`bearer_token`](crate::bearer_token) is one.
    #[must_use]
    pub fn access(
        mut self,
        may: impl Fn(&Context, &str, Access) -> Result<(), Response> + 'static,
    ) -> LogRoutes {
        self.routes.access = Some(Box::new(may));
        self
    }

    /// Makes a topic with these settings when a request produces to one that is not there. A WebSocket does not make topics.
    #[must_use]
    pub fn create_on_produce(mut self, config: TopicConfig) -> LogRoutes {
        self.routes.create = Some(config);
        self
    }

    /// Bytes of a body, at most, in place of the server's [`HttpLimits::body_bytes_max`](crate::HttpLimits::body_bytes_max).
    #[must_use]
    pub fn body_bytes_max(mut self, bytes: usize) -> LogRoutes {
        self.routes.body_bytes_max = Some(bytes);
        self
    }

    /// How long a fetch waits at most, whatever it asks for: 45 s, and never more than three quarters of the server's
    /// [`HttpLimits::handler_timeout`](crate::HttpLimits::handler_timeout).
    #[must_use]
    pub fn wait_max(mut self, wait: Duration) -> LogRoutes {
        self.routes.wait_max = wait;
        self
    }

    /// The routes, to be [nested](Router::nest) under a path, or merged.
    pub fn into_router(self) -> Router {
        let (admin, routes) = (self.routes.admin, Rc::new(self.routes));
        let topic = get(handler(&routes, admin::show)).post(handler(&routes, produce::produce));
        let router = Router::new()
            .get("/", root(&routes))
            .get("/{topic}/{partition}", handler(&routes, fetch::fetch))
            .get("/{topic}/{partition}/events", handler(&routes, events::events));
        if !admin {
            return router.route("/{topic}", topic);
        }
        router.route(
            "/{topic}",
            topic.put(handler(&routes, admin::create)).delete(handler(&routes, admin::delete)),
        )
    }
}

impl fmt::Debug for LogRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogRoutes")
            .field("log", &self.routes.log)
            .field("admin", &self.routes.admin)
            .finish_non_exhaustive()
    }
}

/// What a handler of these routes ends with: an answer, or a refusal that is one.
pub(crate) type Outcome = Result<Response, Response>;

impl Routes {
    /// What this worker counts.
    fn counters(&self) -> &Counters {
        self.counters.get_or_init(Counters::of_worker)
    }

    /// The topic that the path names, if the one who asks may have this access to it.
    pub(crate) fn topic<'a>(&self, ctx: &'a Context, access: Access) -> Result<&'a str, Response> {
        let topic = ctx.param("topic").ok_or_else(|| Problem::field("topic", "it is not UTF-8"))?;
        self.check(ctx, topic, access)?;
        Ok(topic)
    }

    fn check(&self, ctx: &Context, topic: &str, access: Access) -> Result<(), Response> {
        self.access.as_ref().map_or(Ok(()), |may| may(ctx, topic, access))
    }

    /// Calls `produce`, and again when the topic it misses is made, if it is to be.
    fn creating<T>(
        &self,
        topic: &str,
        mut produce: impl FnMut() -> Result<T, ProduceError>,
    ) -> Result<T, Problem> {
        let result = produce();
        let (Err(ProduceError::UnknownTopic), Some(config)) = (&result, &self.create) else {
            return Ok(result?);
        };
        for _ in 0..CREATE_TRIES {
            match self.log.create_topic(topic, config.clone()) {
                Ok(()) => {}
                // Perhaps somebody else is just making it.
                Err(TopicError::Exists) => sleep(CREATE_PAUSE)?,
                Err(error) => return Err(error.into()),
            }
            match produce() {
                Err(ProduceError::UnknownTopic) => {}
                result => return Ok(result?),
            }
        }
        Err(ProduceError::UnknownTopic.into())
    }
}

/// The partition that the path names. What is no number names none.
pub(crate) fn partition_of(ctx: &Context) -> Result<u32, Problem> {
    let digits = ctx.param("partition").unwrap_or_default();
    parameters::number("partition", digits.as_bytes())
        .map_err(|_| Problem::new(Code::UnknownPartition, "the topic has no such partition"))
}

/// The path of all topics: a WebSocket, or their list.
fn root(routes: &Rc<Routes>) -> impl Fn(&mut Context) -> Outcome + 'static {
    let routes = Rc::clone(routes);
    move |ctx| match ctx.request().is_upgrade() {
        true => socket::upgrade(&routes, ctx),
        false if routes.admin => admin::list(&routes, ctx),
        false => Err(Response::reason(StatusCode::NOT_FOUND)),
    }
}

fn handler(
    routes: &Rc<Routes>,
    answer: impl Fn(&Routes, &mut Context) -> Outcome + 'static,
) -> impl Fn(&mut Context) -> Outcome + 'static {
    let routes = Rc::clone(routes);
    move |ctx| answer(&routes, ctx)
}
