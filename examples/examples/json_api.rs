//! Notes as JSON: typed extractors, state that handlers share, and one error type that answers for all of them.
//!
//! `cargo run --release -p examples --example json_api -- --listen 127.0.0.1:8080`, then
//! `curl -d '{"text":"buy milk","tag":"home"}' -H 'Content-Type: application/json' http://127.0.0.1:8080/notes`

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use sws::http::StatusCode;
use sws::{IntoResponse, Json, Path, Query, Rejection, Response, Router, ServeError, Server, State};

const NOTES_MAX: usize = 10_000;

#[derive(Deserialize)]
struct NewNote {
    text: String,
    #[serde(default)]
    tag: String,
}

#[derive(Clone, Serialize)]
struct Note {
    id: u64,
    text: String,
    tag: String,
}

#[derive(Deserialize)]
struct Filter {
    tag: Option<String>,
}

#[derive(Default)]
struct Notes {
    by_id: BTreeMap<u64, Note>,
    last_id: u64,
}

/// All handlers run on one thread, so no lock is needed. Each worker makes a router of its own: with several of them this would be
/// an `Arc<Mutex<Notes>>` made in `main`.
type Shared = Rc<RefCell<Notes>>;

enum ApiError {
    NoSuchNote(u64),
    TooManyNotes,
    Refused(Rejection),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            ApiError::NoSuchNote(id) => (StatusCode::NOT_FOUND, format!("there is no note {id}")),
            ApiError::TooManyNotes => (StatusCode::INSUFFICIENT_STORAGE, "delete a note first".into()),
            ApiError::Refused(rejection) => (rejection.status(), rejection.to_string()),
        };
        (status, Json(serde_json::json!({ "error": error }))).into_response()
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> ApiError {
        ApiError::Refused(rejection)
    }
}

fn list(State(notes): State<Shared>, Query(filter): Query<Filter>) -> Json<Vec<Note>> {
    let notes = notes.borrow();
    let wanted = |note: &&Note| filter.tag.as_ref().is_none_or(|tag| *tag == note.tag);
    Json(notes.by_id.values().filter(wanted).cloned().collect())
}

/// An extractor's `Result` lets the handler answer a refusal in its own way.
fn create(
    State(notes): State<Shared>,
    note: Result<Json<NewNote>, Rejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Json(NewNote { text, tag }) = note?;
    let mut notes = notes.borrow_mut();
    if notes.by_id.len() >= NOTES_MAX {
        return Err(ApiError::TooManyNotes);
    }
    notes.last_id += 1;
    let note = Note { id: notes.last_id, text, tag };
    notes.by_id.insert(note.id, note.clone());
    Ok((StatusCode::CREATED, [("location", format!("/notes/{}", note.id))], Json(note)))
}

fn show(State(notes): State<Shared>, id: Result<Path<u64>, Rejection>) -> Result<Json<Note>, ApiError> {
    let Path(id) = id?;
    notes.borrow().by_id.get(&id).cloned().map(Json).ok_or(ApiError::NoSuchNote(id))
}

fn delete(State(notes): State<Shared>, id: Result<Path<u64>, Rejection>) -> Result<StatusCode, ApiError> {
    let Path(id) = id?;
    notes.borrow_mut().by_id.remove(&id).ok_or(ApiError::NoSuchNote(id))?;
    Ok(StatusCode::NO_CONTENT)
}

fn router() -> Router {
    Router::new()
        .route("/notes", sws::get(list).post(create))
        .route("/notes/{id}", sws::get(show).delete(delete))
        .with_state(Shared::default())
}

fn main() -> Result<(), ServeError> {
    let server = Server::bind(examples::listen_addr())?;
    println!("listening on {}", server.addr());
    server.serve(router)
}
