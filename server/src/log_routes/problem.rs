//! Refusals: problem details (RFC 9457) with a code of their own.

use super::counts::Counters;
use crate::body::BodyError;
use crate::follow::FollowError;
use crate::report;
use crate::response::Response;
use http::StatusCode;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::time::Duration;
use sws_content::log::{FetchError, ProduceError, TopicError};
use sws_content::storage::is_full;
use sws_runtime::{Cancelled, SubscribeError};

/// The media type of a problem.
const PROBLEM: &str = "application/problem+json";
/// Bytes of what is said of a problem, at most.
const DETAIL_BYTES_MAX: usize = 1024;
/// When one is to come again who asked too early.
const RETRY: Duration = Duration::from_secs(1);

macro_rules! codes {
    ($($name:ident $text:literal $status:ident;)*) => {
        /// What is wrong, as programs read it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($name,)*
        }

        impl Code {
            /// All of them, by their numbers.
            pub(crate) const ALL: &[Code] = &[$(Code::$name,)*];
            /// How many there are.
            pub(crate) const COUNT: usize = Code::ALL.len();

            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)*
                }
            }

            fn status(self) -> StatusCode {
                match self {
                    $(Code::$name => StatusCode::$status,)*
                }
            }
        }
    };
}

codes! {
    BadRequest "bad_request" BAD_REQUEST;
    Unauthorized "unauthorized" UNAUTHORIZED;
    Forbidden "forbidden" FORBIDDEN;
    UnknownTopic "unknown_topic" NOT_FOUND;
    UnknownPartition "unknown_partition" NOT_FOUND;
    BodyTimeout "body_timeout" REQUEST_TIMEOUT;
    Exists "exists" CONFLICT;
    TooManyTopics "too_many_topics" CONFLICT;
    OutOfSequence "out_of_sequence" CONFLICT;
    Duplicate "duplicate" CONFLICT;
    Size "size" PAYLOAD_TOO_LARGE;
    OutOfRange "out_of_range" RANGE_NOT_SATISFIABLE;
    Overloaded "overloaded" TOO_MANY_REQUESTS;
    Corrupt "corrupt" INTERNAL_SERVER_ERROR;
    StorageFailed "storage_failed" INTERNAL_SERVER_ERROR;
    Internal "internal" INTERNAL_SERVER_ERROR;
    NotVisible "not_visible" SERVICE_UNAVAILABLE;
    Poisoned "poisoned" SERVICE_UNAVAILABLE;
    StorageUnavailable "storage_unavailable" SERVICE_UNAVAILABLE;
    NoMemory "no_memory" SERVICE_UNAVAILABLE;
    Closed "closed" SERVICE_UNAVAILABLE;
    Cancelled "cancelled" SERVICE_UNAVAILABLE;
    StorageFull "storage_full" INSUFFICIENT_STORAGE;
}

/// A refusal. As a response it is counted.
#[derive(Debug)]
pub(crate) struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    /// Members beside those that all problems have.
    members: Map<String, Value>,
    retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Problem {
        let mut detail = detail.into();
        // It may name what the peer has sent, however long that was.
        if detail.len() > DETAIL_BYTES_MAX {
            let end = detail.floor_char_boundary(DETAIL_BYTES_MAX);
            detail = format!("{}…", &detail[..end]).into();
        }
        Problem { code, detail, members: Map::new(), retry_after: None }
    }

    /// A request whose `field` is not what it should be.
    pub(crate) fn field(field: &str, what: &str) -> Problem {
        Problem::new(Code::BadRequest, format!("`{field}`: {what}")).with("field", field)
    }

    /// With another member.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// To be tried again after a time.
    #[must_use]
    fn again(mut self, after: Duration) -> Problem {
        self.retry_after = Some(after);
        self.with("retry_after_ms", after.as_millis() as u64)
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// What is wrong, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Members beside those that all problems have.
    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// The response, which is not counted: for handlers, which are none of these routes.
    pub(crate) fn response(self) -> Response {
        let Problem { code, detail, mut members, retry_after } = self;
        let status = code.status();
        members.insert("title".to_owned(), status.canonical_reason().unwrap_or_default().into());
        members.insert("status".to_owned(), status.as_u16().into());
        members.insert("code".to_owned(), code.as_str().into());
        members.insert("detail".to_owned(), detail.into());
        let body = Value::Object(members).to_string();
        let mut response = Response::with_type(PROBLEM, body).with_status(status);
        if let Some(after) = retry_after {
            let seconds = after.as_millis().div_ceil(1000).max(1);
            response.set_header(RETRY_AFTER, seconds.to_string());
        }
        if code == Code::Unauthorized {
            response.set_header(WWW_AUTHENTICATE, "Bearer");
        }
        response
    }

    /// The record that was waited for has not come.
    pub(super) fn not_visible() -> Problem {
        Problem::new(Code::NotVisible, "the record with `min_offset` has not come in time").again(RETRY)
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Response {
        Counters::of_worker().count_refusal(problem.code);
        problem.response()
    }
}

impl From<Cancelled> for Problem {
    fn from(Cancelled: Cancelled) -> Problem {
        Problem::new(Code::Cancelled, "the request was cancelled").again(RETRY)
    }
}

fn closed() -> Problem {
    Problem::new(Code::Closed, "the log is closed").again(RETRY)
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Problem {
        let problem = |code| Problem::new(code, error.to_string());
        match error {
            BodyError::TooLarge { bytes_max } => problem(Code::Size).with("bytes_max", bytes_max),
            BodyError::Malformed => problem(Code::BadRequest),
            BodyError::TimedOut => problem(Code::BodyTimeout),
            BodyError::Cancelled => Cancelled.into(),
            BodyError::NoMemory => problem(Code::NoMemory).again(RETRY),
            BodyError::Failed(_) => Problem::new(Code::Internal, "the request body could not be read"),
        }
    }
}

impl From<ProduceError> for Problem {
    fn from(error: ProduceError) -> Problem {
        let problem = |code| Problem::new(code, error.to_string());
        match &error {
            ProduceError::UnknownTopic => problem(Code::UnknownTopic),
            ProduceError::UnknownPartition => problem(Code::UnknownPartition),
            ProduceError::Size => problem(Code::Size),
            ProduceError::Overloaded { retry_after } => problem(Code::Overloaded).again(*retry_after),
            ProduceError::StorageFull => problem(Code::StorageFull),
            ProduceError::OutOfSequence { expected } => {
                problem(Code::OutOfSequence).with("expected", *expected)
            }
            ProduceError::Duplicate => problem(Code::Duplicate),
            ProduceError::Closed => closed(),
            ProduceError::Cancelled => Cancelled.into(),
            ProduceError::Storage { .. } => {
                report(&error);
                Problem::new(Code::StorageUnavailable, "a file could not be opened; nothing was written")
                    .again(RETRY)
            }
            ProduceError::Poisoned { .. } => {
                report(&error);
                Problem::new(
                    Code::Poisoned,
                    "a write has failed, so the partition takes nothing more until a person has looked; \
                     it is not known whether this record is kept",
                )
            }
            _ => unknown(&error),
        }
    }
}

impl From<FetchError> for Problem {
    fn from(error: FetchError) -> Problem {
        let problem = |code| Problem::new(code, error.to_string());
        match &error {
            FetchError::UnknownTopic => problem(Code::UnknownTopic),
            FetchError::UnknownPartition => problem(Code::UnknownPartition),
            FetchError::OutOfRange { low, high } => {
                problem(Code::OutOfRange).with("low", *low).with("high", *high)
            }
            FetchError::TimedOut => Problem::not_visible(),
            FetchError::Closed => closed(),
            FetchError::Cancelled => Cancelled.into(),
            FetchError::Corrupt { .. } => {
                report(&error);
                Problem::new(Code::Corrupt, "records at this offset are damaged on the storage")
            }
            FetchError::Storage(_) => storage_failed(&error),
            _ => unknown(&error),
        }
    }
}

impl From<FollowError> for Problem {
    fn from(error: FollowError) -> Problem {
        let problem = |code| Problem::new(code, error.to_string());
        match error {
            FollowError::Fetch(error) => error.into(),
            FollowError::Following => problem(Code::BadRequest),
            FollowError::TooMany => problem(Code::Overloaded),
            FollowError::Subscribe(error) => error.into(),
        }
    }
}

impl From<SubscribeError> for Problem {
    fn from(error: SubscribeError) -> Problem {
        let problem = |code| Problem::new(code, error.to_string());
        match error {
            SubscribeError::Name => problem(Code::BadRequest),
            SubscribeError::NoPresence => Problem::field("member", &error.to_string()),
            SubscribeError::TooManyTopics | SubscribeError::TooManyMemberships => {
                problem(Code::TooManyTopics)
            }
            SubscribeError::Closed => problem(Code::Closed),
            _ => unknown(&error),
        }
    }
}

impl From<TopicError> for Problem {
    fn from(error: TopicError) -> Problem {
        let problem = |code| Problem::new(code, error.to_string());
        match &error {
            TopicError::Name => Problem::field("topic", &error.to_string()),
            TopicError::Config(what) => Problem::field("config", what),
            TopicError::Exists => problem(Code::Exists),
            TopicError::UnknownTopic => problem(Code::UnknownTopic),
            TopicError::TooMany => problem(Code::TooManyTopics),
            TopicError::Closed => closed(),
            TopicError::Cancelled => Cancelled.into(),
            TopicError::Storage(source) if is_full(source) => {
                Problem::new(Code::StorageFull, "there is no space left on the storage")
            }
            TopicError::Storage(_) => storage_failed(&error),
            _ => unknown(&error),
        }
    }
}

fn storage_failed(error: &dyn std::error::Error) -> Problem {
    report(error);
    Problem::new(Code::StorageFailed, "the storage failed")
}

/// An error that these routes have no code for.
fn unknown(error: &dyn std::error::Error) -> Problem {
    report(error);
    Problem::new(Code::Internal, "the log has failed")
}

/// Tells the operator what the peer is not told.
fn report(error: &dyn std::error::Error) {
    report::now_and_then("sws log", error);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn a_disk_without_room_is_told_from_one_that_fails() {
        for (kind, code) in [
            (ErrorKind::StorageFull, Code::StorageFull),
            (ErrorKind::QuotaExceeded, Code::StorageFull),
            (ErrorKind::Other, Code::StorageFailed),
        ] {
            let error = TopicError::Storage(std::io::Error::from(kind).into());
            assert_eq!(Problem::from(error).code(), code, "{kind:?}");
        }
    }
}
