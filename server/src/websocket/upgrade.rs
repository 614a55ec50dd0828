//! [`WebSocketUpgrade`]: from a request to a socket.

use super::codec::handshake::{self, HandshakeError};
use super::codec::{DeflateConfig, negotiate};
use super::handler::{OnMessage, Refusal, SocketHandler};
use super::line::{LineHandler, WebSocket};
use super::options::SocketOptions;
use super::sockets::{Sockets, TooManyKinds};
use super::state::SocketConn;
use super::{Message, Socket};
use crate::conn::takeover::{Takeover, TakeoverCell};
use crate::context::Context;
use crate::extract::FromRequest;
use crate::into_response::IntoResponse;
use crate::request::Request;
use crate::response::{Response, header_pair};
use http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, StatusCode, Version};
use std::fmt;
use std::rc::Rc;
use sws_runtime::find_local;

impl IntoResponse for HandshakeError {
    /// 400, or 426 with what is spoken here (RFC 6455, 4.2.2 and 4.4).
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::BAD_REQUEST);
        let response = Response::text(self.reason()).with_status(status);
        match self {
            HandshakeError::NotAnUpgrade | HandshakeError::Version => response
                .with_header(UPGRADE, "websocket")
                .with_header(SEC_WEBSOCKET_VERSION, handshake::VERSION),
            _ => response,
        }
    }
}

/// A request that wants to become a socket: an extractor. It is answered by one of [`accept`](WebSocketUpgrade::accept),
/// [`on_message`](WebSocketUpgrade::on_message) and [`run`](WebSocketUpgrade::run); a handler that answers something else refuses.
///
/// A browser sends its cookies along, whatever page asks: where they matter, allow only your own pages by
/// [`same_origin`](WebSocketUpgrade::same_origin) or [`origins`](WebSocketUpgrade::origins).
///
/// ```
/// use sws::websocket::{Message, Socket, WebSocketUpgrade};
/// use sws::{Response, Router};
///
/// fn echo(upgrade: WebSocketUpgrade) -> Response {
///     upgrade.on_message(|socket: &mut Socket<'_>, message: Message<'_>| {
///         let _ = socket.send(message);
///     })
/// }
///
/// let router = Router::new().get("/echo", echo);
/// # use sws::TestClient;
/// # assert_eq!(TestClient::new(router).get("/echo").send().status(), 426);
/// ```
pub struct WebSocketUpgrade {
    accept: [u8; handshake::ACCEPT_BYTES],
    offered_protocols: Vec<Vec<u8>>,
    extensions: Vec<Vec<u8>>,
    origin: Option<String>,
    host: String,
    options: SocketOptions,
    protocol: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    refused: Option<Refused>,
    takeover: TakeoverCell,
    sockets: Option<Rc<Sockets>>,
}

impl FromRequest for WebSocketUpgrade {
    type Rejection = HandshakeError;

    fn from_request(ctx: &mut Context) -> Result<WebSocketUpgrade, HandshakeError> {
        let request = ctx.request();
        if *request.method() != Method::GET || request.version() != Version::HTTP_11 {
            return Err(HandshakeError::NotAnUpgrade);
        }
        handshake::check_upgrade(all(request, "upgrade"), all(request, "connection"))?;
        handshake::check_version(all(request, "sec-websocket-version"))?;
        let key = handshake::check_key(all(request, "sec-websocket-key"))?;
        let accept = handshake::accept_key(key);
        handshake::check_subprotocols(all(request, "sec-websocket-protocol"))?;
        // Also where nothing is compressed: a malformed list fails the handshake (RFC 6455, 9.1).
        negotiate(all(request, "sec-websocket-extensions"), &DeflateConfig::default())?;
        let origin = handshake::check_origin(all(request, "origin"))?;
        let owned = |name| all(request, name).map(<[u8]>::to_vec).collect();
        Ok(WebSocketUpgrade {
            accept,
            offered_protocols: owned("sec-websocket-protocol"),
            extensions: owned("sec-websocket-extensions"),
            origin: origin.map(str::to_owned),
            host: request.host().unwrap_or_default().to_owned(),
            options: SocketOptions::default(),
            protocol: None,
            headers: Vec::new(),
            refused: None,
            sockets: ctx.connection().and_then(|_| find_local::<Sockets>()),
            takeover: ctx.takeover_cell(),
        })
    }
}

/// All values of a header.
fn all<'r>(request: &'r Request, name: &'static str) -> impl Iterator<Item = &'r [u8]> {
    request.header_list().filter(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Whether a header is one of the handshake's own: in an answer each stands once at most (RFC 6455, 11.3).
fn is_of_handshake(name: &HeaderName) -> bool {
    *name == CONNECTION || *name == UPGRADE || name.as_str().starts_with("sec-websocket-")
}

/// A refused handshake.
enum Refused {
    Handshake(HandshakeError),
    Status(StatusCode),
}

impl WebSocketUpgrade {
    /// Sets the bounds and times of the socket.
    #[must_use]
    pub fn options(mut self, options: SocketOptions) -> WebSocketUpgrade {
        self.options = options;
        self
    }

    /// Chooses a subprotocol: the first of `supported` that the client offers. Without a common one the socket has none.
    #[must_use]
    pub fn protocols(mut self, supported: &[&str]) -> WebSocketUpgrade {
        match handshake::select_subprotocol(supported, self.offered_protocols.iter().map(Vec::as_slice)) {
            Ok(protocol) => self.protocol = protocol.map(str::to_owned),
            Err(error) => self.refused = Some(Refused::Handshake(error)),
        }
        self
    }

    /// The subprotocol that was chosen.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The page that asks, as browsers tell; other clients tell none.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Refuses browsers on pages of other origins than the request's own host, with 403.
    #[must_use]
    pub fn same_origin(mut self) -> WebSocketUpgrade {
        if self.origin.as_ref().is_some_and(|origin| !handshake::is_same_origin(origin, &self.host)) {
            self.refused = Some(Refused::Status(StatusCode::FORBIDDEN));
        }
        self
    }

    /// Refuses browsers on pages of other origins (`https://example.com`) than these, with 403.
    #[must_use]
    pub fn origins(mut self, allowed: &[&str]) -> WebSocketUpgrade {
        if self.origin.as_ref().is_some_and(|origin| !handshake::is_listed_origin(origin, allowed)) {
            self.refused = Some(Refused::Status(StatusCode::FORBIDDEN));
        }
        self
    }

    /// Adds a header to the answer. A name or value that HTTP does not allow makes it a 500, and so does a name that the handshake
    /// itself answers with: `Connection`, `Upgrade` and those that begin with `Sec-WebSocket-`.
    #[must_use]
    pub fn header<K, V>(mut self, name: K, value: V) -> WebSocketUpgrade
    where
        K: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match header_pair(name, value) {
            Some(pair) if !is_of_handshake(&pair.0) => self.headers.push(pair),
            Some(_) | None => self.refused = Some(Refused::Status(StatusCode::INTERNAL_SERVER_ERROR)),
        }
        self
    }

    /// Makes the connection a socket with these callbacks and data.
    pub fn accept<H: SocketHandler>(self, handler: H) -> Response {
        match self.refused {
            Some(Refused::Handshake(error)) => return error.into_response(),
            Some(Refused::Status(status)) => return Response::reason(status),
            None => {}
        }
        let offer = match (&self.options.deflate, &self.sockets) {
            (Some(config), Some(sockets)) => Some(sockets.deflate_offer(config, self.options.overflow)),
            (config, _) => *config,
        };
        let agreed = match offer.map(|offer| negotiate(self.extensions.iter().map(Vec::as_slice), &offer)) {
            None => None,
            Some(Ok(agreed)) => agreed.zip(offer),
            Some(Err(error)) => return error.into_response(),
        };
        let mut response = Response::new(StatusCode::SWITCHING_PROTOCOLS)
            .with_header(CONNECTION, "Upgrade")
            .with_header(UPGRADE, "websocket")
            .with_header(SEC_WEBSOCKET_ACCEPT, &self.accept[..]);
        if let Some(protocol) = &self.protocol {
            response.set_header(SEC_WEBSOCKET_PROTOCOL, protocol.as_str());
        }
        if let Some((agreed, _)) = &agreed {
            response.set_header(SEC_WEBSOCKET_EXTENSIONS, agreed.to_string());
        }
        for (name, value) in self.headers {
            response.append_header(name, value);
        }
        let Some(sockets) = self.sockets else { return response };
        let Some(target) = sockets.handler() else { return Response::internal_error() };
        let Ok((route, kind)) = sockets.kind::<H>(&self.options) else {
            return TooManyKinds.into_response();
        };
        let switch = Box::new(move |conn: &mut sws_runtime::Conn<'_, crate::conn::HttpConn>| {
            let mut state = SocketConn { route, entry: kind.acquire(handler), ..SocketConn::fresh() };
            if let Some((agreed, config)) = &agreed {
                sockets.agree(&mut state, config, agreed);
            }
            let id = conn.id();
            conn.hand_over(target, state);
            sockets.open(id);
        });
        self.takeover.set(Some(Takeover {
            status: StatusCode::SWITCHING_PROTOCOLS,
            content_type: None,
            switch,
        }));
        response
    }

    /// Makes the connection a socket with a function for its messages.
    pub fn on_message(self, f: impl FnMut(&mut Socket<'_>, Message<'_>) + 'static) -> Response {
        self.accept(OnMessage(f))
    }

    /// Makes the connection a socket that is closed at once, with a code and a reason: the one way by which a page's script learns why.
    pub fn refuse(self, code: u16, reason: &str) -> Response {
        self.accept(Refusal { code, reason: reason.to_owned() })
    }

    /// Makes the connection a socket for a function that has it for itself, on a fiber: to receive and send in a straight line. What it
    /// returns is dropped.
    pub fn run<R: 'static>(self, f: impl FnOnce(WebSocket) -> R + 'static) -> Response {
        self.accept(LineHandler::new(f))
    }
}

impl IntoResponse for TooManyKinds {
    fn into_response(self) -> Response {
        Response::reason(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl fmt::Debug for WebSocketUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgrade")
            .field("protocol", &self.protocol)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
