//! Requests and their answers, drawn from a seed.

use crate::answers::{ANY, Answer, CONTINUE, Way};
use fastrand::Rng;
use sws::http1::{Decoded, Head, HeadLimits, Reject, decode};

/// What decides how a request is answered.
pub struct Setting {
    pub head: HeadLimits,
    pub body_bytes_max: usize,
    pub discard_bytes_max: u64,
    /// Whether handlers may be refused for want of fibers.
    pub fibers_are_few: bool,
    /// Milliseconds after which a handler is given up.
    pub handler_timeout: u64,
    /// Whether the worker is told to end while peers still ask.
    pub drains: bool,
}

/// The file that `/file` sends.
pub const FILE: &str = include_str!("../../Cargo.toml");
const MALFORMED_BODY: &str = "the request body is malformed or ends early";
const LATE_BODY: &str = "the request body did not arrive in time";
const TEXT: Option<&str> = Some("text/plain; charset=utf-8");
const OCTETS: Option<&str> = Some("application/octet-stream");

/// What is said of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stays {
    /// HTTP/1.1, kept.
    Yes,
    /// HTTP/1.0, kept because it was asked for.
    OnRequest,
    No,
}

/// A piece of a peer's stream, with what it is owed.
#[derive(Default)]
pub struct Exchange {
    pub bytes: Vec<u8>,
    pub answers: Vec<Answer>,
}

impl Exchange {
    pub fn add(&mut self, other: Exchange) {
        self.bytes.extend(other.bytes);
        self.answers.extend(other.answers);
    }
}

fn head(status: &str, content_type: Option<&str>, stays: Stays, framing: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\nDate: ").into_bytes();
    head.extend([ANY; 29]);
    head.extend(b"\r\n");
    if let Some(content_type) = content_type {
        head.extend(format!("Content-Type: {content_type}\r\n").bytes());
    }
    head.extend(match stays {
        Stays::Yes => "".bytes(),
        Stays::OnRequest => "Connection: keep-alive\r\n".bytes(),
        Stays::No => "Connection: close\r\n".bytes(),
    });
    head.extend(framing.bytes());
    head.extend(b"\r\n");
    head
}

fn way(status: &str, content_type: Option<&str>, stays: Stays, body: &[u8]) -> Way {
    let framing = format!("Content-Length: {}\r\n", body.len());
    let head = head(status, content_type, stays, &framing);
    Way { head, body: body.to_vec(), is_last: stays == Stays::No, may_be_cut: false }
}

/// The answer of the table of errors.
fn rejected(reject: Reject) -> Way {
    let response = reject.response();
    let line = response.iter().position(|byte| *byte == b'\n').expect("a status line") + 1;
    let mut head = response[..line].to_vec();
    head.extend(b"Date: ");
    head.extend([ANY; 29]);
    head.extend(b"\r\n");
    Way { head, body: response[line..].to_vec(), is_last: true, may_be_cut: false }
}

/// The bytes of this name that every one can compute.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| b'a' + (at / 7 % 26) as u8).collect()
}

pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(1, |sum, byte| u32::wrapping_mul(sum, 31).wrapping_add(u32::from(*byte)))
}

/// The chunks of `/stream/{count}`.
pub fn stream_piece(number: usize) -> Vec<u8> {
    pattern(1 + number * 379 % 3000)
}

/// How a body is framed.
struct Sent {
    fields: String,
    bytes: Vec<u8>,
    is_chunked: bool,
    expects: bool,
}

fn body(rng: &mut Rng, body: &[u8], is_old: bool) -> Sent {
    let is_chunked = !is_old && rng.bool();
    let expects = !is_old && rng.u8(0..5) == 0;
    let mut fields = match expects {
        true => "Expect: 100-continue\r\n".to_owned(),
        false => String::new(),
    };
    let mut bytes = Vec::new();
    match is_chunked {
        true => {
            fields += "Transfer-Encoding: chunked\r\n";
            bytes.extend(chunks(rng, body));
        }
        false => {
            fields += &format!("Content-Length: {}\r\n", body.len());
            bytes.extend(body);
        }
    }
    Sent { fields, bytes, is_chunked, expects }
}

fn chunks(rng: &mut Rng, mut body: &[u8]) -> Vec<u8> {
    let chunk_max = *rng.choice(&[1, 20, 1000, 100_000]).expect("not empty");
    let (mut bytes, mut count) = (Vec::new(), 0);
    while !body.is_empty() {
        let len = if count > 200 { body.len() } else { rng.usize(1..=body.len().min(chunk_max)) };
        let extension = if rng.u8(0..8) == 0 && count < 20 { ";a=\"b\"" } else { "" };
        bytes.extend(format!("{len:x}{extension}\r\n").bytes());
        bytes.extend(&body[..len]);
        bytes.extend(b"\r\n");
        body = &body[len..];
        count += 1;
    }
    bytes.extend(if rng.u8(0..4) == 0 { &b"0\r\nX-Trailer: c\r\n\r\n"[..] } else { b"0\r\n\r\n" });
    bytes
}

fn body_len(rng: &mut Rng) -> usize {
    let max = *rng.choice(&[0, 10, 3_000, 60_000]).expect("not empty");
    rng.usize(0..=max)
}

/// One request after which the connection is kept, or with `is_last` is not.
pub fn request(rng: &mut Rng, setting: &Setting, is_last: bool) -> Exchange {
    let is_old = rng.u8(0..10) == 0;
    let stays = match (is_last, is_old) {
        (true, _) => Stays::No,
        (false, true) => Stays::OnRequest,
        (false, false) => Stays::Yes,
    };
    let mut asked = Asked { method: "GET", path: "/plaintext".to_owned(), sent: None };
    let mut answer: Answer = match rng.u8(0..13) {
        0 | 1 => way("200 OK", TEXT, stays, b"Hello, World!").into(),
        2 => {
            asked.method = "HEAD";
            Way { body: Vec::new(), ..way("200 OK", TEXT, stays, b"Hello, World!") }.into()
        }
        3 => {
            asked.path = format!("/sleep/{}", rng.u32(0..200));
            way("200 OK", TEXT, stays, b"slept").into()
        }
        4 => {
            asked.path = format!("/deferred/{}", rng.u32(0..200));
            way("200 OK", TEXT, stays, b"deferred").into()
        }
        5 => {
            asked.path = "/early".to_owned();
            way("200 OK", TEXT, stays, b"early").into()
        }
        6 => {
            asked.path = "/panic".to_owned();
            way("500 Internal Server Error", TEXT, stays, b"Internal Server Error").into()
        }
        7 => {
            asked.path = "/nothing".to_owned();
            way("404 Not Found", TEXT, stays, b"Not Found").into()
        }
        8 => {
            asked.path = "/file".to_owned();
            way("200 OK", TEXT, stays, FILE.as_bytes()).into()
        }
        9 => {
            let len = *rng.choice(&[100, 4_096, 8_193, 150_000]).expect("not empty");
            asked.path = format!("/big/{len}");
            way("200 OK", OCTETS, stays, &pattern(len)).into()
        }
        10 => {
            let count = rng.usize(0..40);
            asked.path = format!("/stream/{count}");
            streamed(count, stays, is_old).into()
        }
        _ => with_body(rng, setting, stays, is_old, &mut asked),
    };
    refusable(setting, &mut answer);
    let version = if is_old { "1.0" } else { "1.1" };
    Exchange { bytes: asked.encode(version, stays), answers: vec![answer] }
}

struct Asked {
    method: &'static str,
    path: String,
    sent: Option<Sent>,
}

impl Asked {
    fn encode(self, version: &str, stays: Stays) -> Vec<u8> {
        let Asked { method, path, sent } = self;
        let connection = match (stays, version) {
            (Stays::OnRequest, _) => "Connection: keep-alive\r\n",
            (Stays::No, "1.1") => "Connection: close\r\n",
            _ => "",
        };
        let (fields, body) = sent.map_or_else(Default::default, |sent| (sent.fields, sent.bytes));
        let head = format!("{method} {path} HTTP/{version}\r\nHost: sim\r\n{connection}{fields}\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(body);
        bytes
    }
}

fn streamed(count: usize, stays: Stays, is_old: bool) -> Way {
    let pieces = (0..count).map(stream_piece);
    if is_old {
        let head = head("200 OK", TEXT, Stays::No, "");
        return Way { head, body: pieces.flatten().collect(), is_last: true, may_be_cut: false };
    }
    let mut body = Vec::new();
    for piece in pieces {
        body.extend(format!("{:x}\r\n", piece.len()).bytes());
        body.extend(piece);
        body.extend(b"\r\n");
    }
    body.extend(b"0\r\n\r\n");
    let head = head("200 OK", TEXT, stays, "Transfer-Encoding: chunked\r\n");
    Way { head, body, is_last: stays == Stays::No, may_be_cut: false }
}

/// A request with a body: read whole, read in pieces, or not read.
fn with_body(rng: &mut Rng, setting: &Setting, stays: Stays, is_old: bool, asked: &mut Asked) -> Answer {
    let plain = pattern(body_len(rng));
    let sent = body(rng, &plain, is_old);
    asked.method = "POST";
    let len = plain.len();
    let may_discard = len as u64 <= setting.discard_bytes_max;
    let is_counted_by_chunks = sent.bytes.len() as u64 > setting.discard_bytes_max;
    let ways = match rng.u8(0..4) {
        0 | 1 => {
            let pause = if rng.bool() { 0 } else { rng.u32(0..4) };
            asked.path = format!("/upload/{pause}");
            vec![way("200 OK", TEXT, stays, format!("{len} {}", checksum(&plain)).as_bytes())]
        }
        2 if len <= setting.body_bytes_max => {
            asked.path = "/echo".to_owned();
            vec![way("200 OK", OCTETS, stays, &plain)]
        }
        2 if !sent.is_chunked || !is_counted_by_chunks => {
            asked.path = "/echo".to_owned();
            let text = format!("the request body is larger than {} bytes", setting.body_bytes_max);
            let mut ways = Vec::new();
            if sent.is_chunked || may_discard {
                ways.push(way("413 Payload Too Large", TEXT, stays, text.as_bytes()));
            }
            if !sent.is_chunked && (!may_discard || sent.expects) {
                ways.push(way("413 Payload Too Large", TEXT, Stays::No, text.as_bytes()));
            }
            ways
        }
        _ => {
            asked.path = format!("/ignore/{}", rng.u8(0..2) * rng.u8(0..50));
            let mut ways = vec![way("200 OK", TEXT, stays, b"ignored")];
            let may_close = sent.expects || (!sent.is_chunked && !may_discard);
            if may_close {
                ways.push(way("200 OK", TEXT, Stays::No, b"ignored"));
            }
            if sent.is_chunked && is_counted_by_chunks {
                // Closed after the answer, unless all of the body was there already.
                ways.push(Way { is_last: true, ..way("200 OK", TEXT, stays, b"ignored") });
            }
            ways
        }
    };
    let may_continue = sent.expects;
    asked.sent = Some(sent);
    Answer { may_continue, ways }
}

/// Adds what may come instead where the worker has too few fibers, or ends.
fn refusable(setting: &Setting, answer: &mut Answer) {
    if setting.fibers_are_few {
        answer.ways.push(rejected(Reject::Overloaded));
        answer.ways.extend([Stays::Yes, Stays::No, Stays::OnRequest].map(failed));
    }
    if setting.drains {
        let closing: Vec<Way> = answer.ways.iter().map(closing).collect();
        answer.ways.extend(closing);
        // What takes longer than the drain is cancelled, and says so.
        for text in ["the request was cancelled", "Service Unavailable"] {
            answer.ways.push(way("503 Service Unavailable", TEXT, Stays::No, text.as_bytes()));
        }
        answer.ways.push(failed(Stays::No));
    }
}

fn failed(stays: Stays) -> Way {
    way("500 Internal Server Error", TEXT, stays, b"Internal Server Error")
}

/// The same answer, as the last one; it may be so already.
fn closing(way: &Way) -> Way {
    let mut head = Vec::new();
    for line in way.head.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"Content-Length") || line.starts_with(b"Transfer-Encoding") {
            head.extend(b"Connection: close\r\n");
        }
        if !line.starts_with(b"Connection") {
            head.extend(line);
        }
    }
    Way { head, is_last: true, ..way.clone() }
}

/// A request whose body is sent only when that is asked for: its head, its body, and the answer with what comes before it.
pub fn expecting(rng: &mut Rng, setting: &Setting) -> (Vec<u8>, Vec<u8>, Answer) {
    let plain = pattern(1 + body_len(rng));
    let mut sent = body(rng, &plain, false);
    if !sent.expects {
        sent.fields += "Expect: 100-continue\r\n";
    }
    let bytes = std::mem::take(&mut sent.bytes);
    let asked = Asked { method: "POST", path: "/upload/0".to_owned(), sent: Some(sent) };
    let head = asked.encode("1.1", Stays::Yes);
    let text = format!("{} {}", plain.len(), checksum(&plain));
    let mut answer = Answer::from(way("200 OK", TEXT, Stays::Yes, text.as_bytes()));
    refusable(setting, &mut answer);
    // A refusal can come before the body is asked for, and a cancellation behind that.
    let refusals: Vec<Way> =
        answer.ways.iter().filter(|way| !way.head.starts_with(b"HTTP/1.1 200")).cloned().collect();
    for way in &mut answer.ways {
        way.head.splice(0..0, CONTINUE.iter().copied());
    }
    answer.ways.extend(refusals);
    (head, bytes, answer)
}

/// The end of a stream to which the server has an end of its own.
pub fn ending(rng: &mut Rng, setting: &Setting) -> Exchange {
    let mut exchange = match rng.u8(0..8) {
        0..3 => request(rng, setting, true),
        3 | 4 => malformed(rng, setting),
        5 => malformed_chunk(rng),
        6 => given_up(rng, setting),
        _ => stalled(rng, setting),
    };
    exchange.answers.iter_mut().for_each(|answer| refusable(setting, answer));
    exchange
}

fn malformed(rng: &mut Rng, setting: &Setting) -> Exchange {
    let long = "x".repeat(setting.head.head_bytes_max + 10);
    let (headers, target) = (format!("A: {long}\r\n"), "x".repeat(setting.head.target_bytes_max + 1));
    let many = "A: b\r\n".repeat(setting.head.headers_max + 1);
    let heads = [
        "GET /plaintext HTTP/1.1\r\n\r\n".to_owned(),
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        "GET /plaintext HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(),
        "GET /plaintext http/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /plaintext HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(),
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n".to_owned(),
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_owned(),
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_owned(),
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n".to_owned(),
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: cake\r\nContent-Length: 5\r\n\r\n".to_owned(),
        format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
    ];
    let mut bytes = rng.choice(&heads).expect("not empty").clone().into_bytes();
    let decoded = decode(&bytes, &setting.head, &mut Head::default());
    let Decoded::Reject(reject) = decoded else {
        panic!("{:?} is not malformed: {decoded:?}", String::from_utf8_lossy(&bytes))
    };
    bytes.extend(pattern(rng.usize(0..2) * rng.usize(0..5_000)));
    Exchange { bytes, answers: vec![rejected(reject).into()] }
}

fn malformed_chunk(rng: &mut Rng) -> Exchange {
    let (chunk, reject) = *rng
        .choice(&[
            ("x\r\n", Reject::BadChunkSize),
            ("3\r\nabcdef\r\n", Reject::BadChunkEnd),
            ("11111111111111111\r\n", Reject::BadChunkSize),
        ])
        .expect("not empty");
    let head = "POST /upload/0 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let good = "5\r\nhello\r\n".repeat(rng.usize(0..20));
    let found_late =
        Way { is_last: true, ..way("400 Bad Request", TEXT, Stays::Yes, MALFORMED_BODY.as_bytes()) };
    let answer = Answer { may_continue: false, ways: vec![rejected(reject), found_late] };
    Exchange { bytes: format!("{head}{good}{chunk}").into_bytes(), answers: vec![answer] }
}

/// A handler that takes too long.
fn given_up(rng: &mut Rng, setting: &Setting) -> Exchange {
    let time = setting.handler_timeout + 5_000;
    let (path, answer) = match rng.u8(0..3) {
        0 => ("sleep", Some(&b"slept"[..])),
        1 => ("deferred", Some(&b"deferred"[..])),
        _ => ("slow-stream", None),
    };
    let bytes = format!("GET /{path}/{time} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes();
    let ways = match answer {
        // A deadline that comes while an earlier answer is being sent is the sending's.
        Some(text) => vec![rejected(Reject::HandlerTimeout), way("200 OK", TEXT, Stays::No, text)],
        None => {
            let head = head("200 OK", TEXT, Stays::No, "Transfer-Encoding: chunked\r\n");
            let body = b"5\r\nbegin\r\n3\r\nend\r\n0\r\n\r\n".to_vec();
            vec![Way { head, body, is_last: true, may_be_cut: true }]
        }
    };
    Exchange { bytes, answers: vec![Answer { may_continue: false, ways }] }
}

/// A peer that stops in the middle of what it sends, and waits.
fn stalled(rng: &mut Rng, setting: &Setting) -> Exchange {
    match rng.u8(0..3) {
        0 => Exchange::default(),
        1 => {
            let whole = b"GET /plaintext HTTP/1.1\r\nHost: sim\r\n\r\n";
            let bytes = whole[..rng.usize(1..whole.len())].to_vec();
            Exchange { bytes, answers: vec![rejected(Reject::RequestTimeout).into()] }
        }
        _ => partial_body(rng, setting, "408 Request Timeout", LATE_BODY),
    }
}

/// A body that does not come to its end.
fn partial_body(rng: &mut Rng, setting: &Setting, status: &str, text: &str) -> Exchange {
    let plain = pattern(rng.usize(1..3_000));
    let sent = body(rng, &plain, false);
    let (may_continue, len) = (sent.expects, sent.bytes.len());
    let cut = rng.usize(0..sent.bytes.len());
    let may_discard = sent.is_chunked || (len - cut) as u64 <= setting.discard_bytes_max;
    let asked = Asked { method: "POST", path: "/upload/0".to_owned(), sent: Some(sent) };
    let mut bytes = asked.encode("1.1", Stays::Yes);
    bytes.truncate(bytes.len() - (len - cut));
    let stays = if may_discard { Stays::Yes } else { Stays::No };
    let way = Way { is_last: true, ..way(status, TEXT, stays, text.as_bytes()) };
    Exchange { bytes, answers: vec![Answer { may_continue, ways: vec![way] }] }
}

/// A request that is not whole when the peer ends its side.
pub fn truncated(rng: &mut Rng, setting: &Setting) -> Exchange {
    let mut exchange = match rng.bool() {
        true => Exchange { bytes: b"GET /plaintext HTTP/1.1\r\nHo".to_vec(), answers: Vec::new() },
        false => partial_body(rng, setting, "400 Bad Request", MALFORMED_BODY),
    };
    exchange.answers.iter_mut().for_each(|answer| refusable(setting, answer));
    exchange
}
