//! WebSocket peers on one thread of tokio, written as their documentation and a careful user would: `/ws` sends text
//! and binary back, a text sent to `/room` reaches every member.
//!
//! Both rooms hand a message to their members by tokio's broadcast channel, by reference; a member takes all that has
//! come and flushes once. tokio-tungstenite has no frames encoded beforehand; fastwebsockets encodes one, and the
//! members write its bytes.

use std::io;
use std::net;

use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Role, WebSocketError, after_handshake_split,
    upgrade,
};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{broadcast, mpsc};
use tokio_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request as Asked, Response as Answer,
};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use crate::peers::{async_listener, on_one_thread};

/// Messages that a member of a room may be behind; one that is further is let go.
const ROOM_MESSAGES_MAX: usize = 1024;
/// tokio-tungstenite's read and write buffers; by default they are 128 KiB each.
const BUFFER_BYTES: usize = 4096;

/// Serves with tokio-tungstenite until the process is told to end.
pub fn serve_tungstenite(listener: net::TcpListener) -> io::Result<()> {
    on_one_thread(async move {
        let listener = async_listener(listener)?;
        let room = broadcast::Sender::new(ROOM_MESSAGES_MAX);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let room = room.clone();
            tokio::spawn(async move {
                // A peer that goes away ends its own connection only.
                drop(tungstenite_connection(stream, room).await);
            });
        }
    })
}

async fn tungstenite_connection(stream: TcpStream, room: broadcast::Sender<Utf8Bytes>) -> Result<(), Error> {
    let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    let mut in_room = false;
    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
    let route = |asked: &Asked, answer: Answer| {
        in_room = asked.uri().path() == "/room";
        if in_room || asked.uri().path() == "/ws" {
            return Ok(answer);
        }
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        Err(refusal)
    };
    let socket = accept_hdr_async_with_config(stream, route, Some(config)).await?;
    if in_room { tungstenite_member(socket, room).await } else { tungstenite_echo(socket).await }
}

async fn tungstenite_echo(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn tungstenite_member(
    mut socket: WebSocketStream<TcpStream>,
    room: broadcast::Sender<Utf8Bytes>,
) -> Result<(), Error> {
    let mut published = room.subscribe();
    loop {
        tokio::select! {
            message = socket.next() => match message {
                // There is always a member: this one.
                Some(Ok(Message::Text(text))) => drop(room.send(text)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            first = published.recv() => {
                let Ok(first) = first else { return Ok(()) };
                socket.feed(Message::Text(first)).await?;
                while let Ok(next) = published.try_recv() {
                    socket.feed(Message::Text(next)).await?;
                }
                socket.flush().await?;
            }
        }
    }
}

/// Serves with fastwebsockets over hyper until the process is told to end.
pub fn serve_fastwebsockets(listener: net::TcpListener) -> io::Result<()> {
    on_one_thread(async move {
        let listener = async_listener(listener)?;
        let room = broadcast::Sender::new(ROOM_MESSAGES_MAX);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let room = room.clone();
            let service = service_fn(move |request| fastwebsockets_upgrade(request, room.clone()));
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
            tokio::spawn(async move {
                // A peer that goes away ends its own connection only.
                drop(connection.await);
            });
        }
    })
}

async fn fastwebsockets_upgrade(
    mut request: Request<Incoming>,
    room: broadcast::Sender<Bytes>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let in_room = request.uri().path() == "/room";
    if !in_room && request.uri().path() != "/ws" {
        let mut refusal = Response::new(Empty::new());
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        return Ok(refusal);
    }
    let (response, upgraded) = upgrade::upgrade(&mut request)?;
    if in_room {
        tokio::spawn(async move { drop(fastwebsockets_member(upgraded, room).await) });
    } else {
        tokio::spawn(tokio::task::unconstrained(async move { drop(fastwebsockets_echo(upgraded).await) }));
    }
    Ok(response)
}

async fn fastwebsockets_echo(upgraded: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            OpCode::Continuation | OpCode::Ping | OpCode::Pong => {}
        }
    }
}

async fn fastwebsockets_member(
    upgraded: upgrade::UpgradeFut,
    room: broadcast::Sender<Bytes>,
) -> Result<(), WebSocketError> {
    let published = room.subscribe();
    let (read, write) = tokio::io::split(upgraded.await?.into_inner());
    let (read, _) = after_handshake_split(read, tokio::io::sink(), Role::Server);
    let mut read = FragmentCollectorRead::new(read);
    // Pongs and the answer to a close, which the reader owes.
    let (owe, owed) = mpsc::channel::<Bytes>(8);
    let reader = async move {
        loop {
            let mut pay = |frame: Frame<'_>| {
                let bytes = encoded(frame);
                let owe = owe.clone();
                async move { owe.send(bytes).await.map_err(|_| WebSocketError::ConnectionClosed) }
            };
            let frame = read.read_frame(&mut pay).await?;
            match frame.opcode {
                OpCode::Close => return Ok::<(), WebSocketError>(()),
                // There is always a member: this one.
                OpCode::Text => drop(room.send(encoded(Frame::text(frame.payload)))),
                OpCode::Binary | OpCode::Continuation | OpCode::Ping | OpCode::Pong => {}
            }
        }
    };
    tokio::select! {
        ended = reader => ended,
        ended = write_published(write, published, owed) => ended,
    }
}

async fn write_published<S: tokio::io::AsyncWrite>(
    mut write: WriteHalf<S>,
    mut published: broadcast::Receiver<Bytes>,
    mut owed: mpsc::Receiver<Bytes>,
) -> Result<(), WebSocketError> {
    let mut several = Vec::new();
    loop {
        let first = tokio::select! {
            Some(frame) = owed.recv() => frame,
            frame = published.recv() => match frame {
                Ok(frame) => frame,
                Err(_) => return Ok(()),
            },
        };
        let Ok(second) = published.try_recv() else {
            write.write_all(&first).await?;
            continue;
        };
        several.clear();
        several.extend_from_slice(&first);
        several.extend_from_slice(&second);
        while let Ok(next) = published.try_recv() {
            several.extend_from_slice(&next);
        }
        write.write_all(&several).await?;
    }
}

fn encoded(mut frame: Frame<'_>) -> Bytes {
    let mut bytes = Vec::new();
    let length = frame.write(&mut bytes).len();
    bytes.truncate(length);
    Bytes::from(bytes)
}
