//! [`Server`]: listeners and workers around a router.

use crate::admin;
use crate::conn::{HttpService, Shared};
use crate::limits::HttpLimits;
use crate::metrics::WorkerMetrics;
use crate::router::{RouteError, Router};
use crate::sse::Streams;
use crate::websocket::Sockets;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use sws_runtime::signal::Signals;
use sws_runtime::{Config, Handle, Runtime, RuntimeError, Topics, add_tick_hook, listen_tcp, turn_elapsed};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// Why a server did not start, or ended.
#[non_exhaustive]
pub enum ServeError {
    /// The address is no address.
    Address {
        /// What was given.
        addr: String,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be listened on: it is taken, or not ours.
    Bind {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The router has routes that conflict.
    Route(RouteError),
    /// A worker could not be made.
    Runtime(RuntimeError),
    /// A thread could not be started.
    Thread(io::Error),
    /// Signals could not be taken over.
    Signals(io::Error),
}

impl fmt::Debug for ServeError {
    /// As `Display`: it is what a `main` that returns it prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Address { addr, source } => {
                write!(f, "`{addr}` is not an address to listen on: {source}")
            }
            ServeError::Bind { addr, source } if source.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "cannot listen on {addr}: another program listens there")
            }
            ServeError::Bind { addr, source } => write!(f, "cannot listen on {addr}: {source}"),
            ServeError::Route(error) => write!(f, "the routes do not fit together: {error}"),
            ServeError::Runtime(error) => error.fmt(f),
            ServeError::Thread(error) => write!(f, "no thread for a worker: {error}"),
            ServeError::Signals(error) => write!(f, "no signals through a descriptor: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServeError::Address { source, .. } | ServeError::Bind { source, .. } => Some(source),
            ServeError::Route(error) => Some(error),
            ServeError::Runtime(error) => Some(error),
            ServeError::Thread(error) | ServeError::Signals(error) => Some(error),
        }
    }
}

impl From<RouteError> for ServeError {
    fn from(error: RouteError) -> ServeError {
        ServeError::Route(error)
    }
}

impl From<RuntimeError> for ServeError {
    fn from(error: RuntimeError) -> ServeError {
        ServeError::Runtime(error)
    }
}

/// An HTTP server: bound at once, run by [`serve`](Server::serve) on this thread or by [`spawn`](Server::spawn) on others.
///
/// ```
/// use std::io::{Read, Write};
/// use sws::{Router, Server};
///
/// let running = Server::bind("127.0.0.1:0")?.spawn(|| Router::new().get("/", || "Hello, World!"))?;
///
/// let mut client = std::net::TcpStream::connect(running.addr()).unwrap();
/// client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).unwrap();
/// assert!(answer.ends_with("\r\n\r\nHello, World!"));
/// running.shutdown();
/// # Ok::<(), sws::ServeError>(())
/// ```
pub struct Server {
    listeners: Vec<TcpListener>,
    addr: SocketAddr,
    admin: Option<TcpListener>,
    limits: HttpLimits,
    config: Config,
    topics: Topics,
}

/// Makes the router of each worker, on its thread.
type Factory = dyn Fn() -> Router + Send + Sync;

impl Server {
    /// Listens on an address; port 0 picks a free one.
    ///
    /// # Errors
    /// [`ServeError::Address`] and [`ServeError::Bind`].
    pub fn bind(addr: impl ToSocketAddrs + fmt::Display) -> Result<Server, ServeError> {
        let listener = bind_first(addr, false)?;
        let addr = local_addr(&listener)?;
        Ok(Server {
            listeners: vec![listener],
            addr,
            admin: None,
            limits: HttpLimits::default(),
            config: Config::default(),
            topics: Topics::default(),
        })
    }

    /// Serves with `count` workers, each a thread with its own listener, ring, slots and router. Zero is one.
    ///
    /// # Errors
    /// [`ServeError::Bind`] when the address cannot be shared.
    pub fn workers(mut self, count: usize) -> Result<Server, ServeError> {
        if count > 1 {
            // Bound alone first, so that a taken address is an error; then again to be shared.
            self.listeners.clear();
            for _ in 0..count {
                let listener = listen_tcp(self.addr, true, BACKLOG);
                self.listeners.push(listener.map_err(|source| ServeError::Bind { addr: self.addr, source })?);
            }
        }
        Ok(self)
    }

    /// Serves `/healthz` and `/metrics` (Prometheus text) on an address of their own.
    ///
    /// # Errors
    /// [`ServeError::Address`] and [`ServeError::Bind`].
    pub fn admin(mut self, addr: impl ToSocketAddrs + fmt::Display) -> Result<Server, ServeError> {
        self.admin = Some(bind_first(addr, false)?);
        Ok(self)
    }

    /// Sets the bounds and times of HTTP.
    #[must_use]
    pub fn limits(mut self, limits: HttpLimits) -> Server {
        self.limits = limits;
        self
    }

    /// Sets the bounds and sizes of each worker. Without topics in it they stay the server's own.
    #[must_use]
    pub fn config(mut self, config: Config) -> Server {
        self.topics = config.topics.clone().unwrap_or(self.topics);
        self.config = config;
        self
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The topics of its workers: to be configured, and to be published to from any thread.
    pub fn topics(&self) -> Topics {
        self.topics.clone()
    }

    /// The address of `/healthz` and `/metrics`, if there is one.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    /// Serves on other threads. `router` makes the router of each worker, on its thread.
    ///
    /// # Errors
    /// What keeps a worker from starting: [`ServeError`].
    pub fn spawn(self, router: impl Fn() -> Router + Send + Sync + 'static) -> Result<Running, ServeError> {
        let (addr, admin_addr) = (self.addr, self.admin_addr());
        let mut listeners = self.listeners;
        let config = Config { topics: Some(self.topics), ..self.config };
        let plan = Plan::new(Arc::new(router), self.limits, config, listeners.len());
        let mut running = Running { addr, admin_addr, handles: Vec::new(), threads: Vec::new() };
        let mut admin = self.admin;
        for (number, listener) in listeners.drain(..).enumerate() {
            let started = plan.spawn(number, listener, admin.take());
            match started {
                Ok((handle, thread)) => {
                    running.handles.push(handle);
                    running.threads.push(thread);
                }
                Err(error) => {
                    running.shutdown();
                    return Err(error);
                }
            }
        }
        plan.roster.complete(&running.handles);
        Ok(running)
    }

    /// Serves on this thread (and others, with [`workers`](Server::workers)) until SIGINT or SIGTERM: then it accepts no more,
    /// lets what runs finish within the drain timeout, and returns. A second signal ends the process at once; SIGUSR1 lists
    /// the fibers on stderr. Call it before other threads are started, because they would get the signals.
    ///
    /// # Errors
    /// What keeps a worker from starting: [`ServeError`].
    pub fn serve(self, router: impl Fn() -> Router + Send + Sync + 'static) -> Result<(), ServeError> {
        let mut signals = Signals::block().map_err(ServeError::Signals)?;
        let mut listeners = self.listeners.into_iter().enumerate();
        let config = Config { topics: Some(self.topics), ..self.config };
        let plan = Plan::new(Arc::new(router), self.limits, config, listeners.len());
        let Some((first, listener)) = listeners.next() else { return Ok(()) };
        let runtime = plan.make(first, listener, self.admin)?;
        let mut handles = vec![runtime.handle()];
        let mut others =
            Running { addr: self.addr, admin_addr: None, handles: Vec::new(), threads: Vec::new() };
        for (number, listener) in listeners {
            let (handle, thread) = match plan.spawn(number, listener, None) {
                Ok(started) => started,
                Err(error) => {
                    others.shutdown();
                    return Err(error);
                }
            };
            handles.push(handle.clone());
            others.handles.push(handle);
            others.threads.push(thread);
        }
        plan.roster.complete(&handles);
        for handle in &others.handles {
            signals = signals.also(handle.clone());
        }
        runtime.handle_signals(signals);
        runtime.run();
        others.shutdown();
        Ok(())
    }
}

/// Lets requests of this worker become sockets and streams of events.
fn install_protocols(runtime: &Runtime) {
    Sockets::install(runtime);
    Streams::install(runtime);
}

/// What every worker is made by.
#[derive(Clone)]
struct Plan {
    factory: Arc<Factory>,
    limits: HttpLimits,
    config: Config,
    roster: Arc<Roster>,
}

impl Plan {
    fn new(factory: Arc<Factory>, limits: HttpLimits, mut config: Config, workers: usize) -> Plan {
        // The pools for CPU work share the cores that the IO threads leave.
        config.workers.threads = (config.workers.threads / workers.max(1)).max(1);
        Plan { factory, limits, config, roster: Arc::new(Roster::new(workers)) }
    }

    /// Makes a worker on this thread.
    fn make(
        &self,
        number: usize,
        listener: TcpListener,
        admin: Option<TcpListener>,
    ) -> Result<Runtime, ServeError> {
        let metrics = Arc::clone(self.roster.metrics(number));
        let runtime = Runtime::new(self.config.clone())?;
        install_protocols(&runtime);
        // Inside the worker, so that the router's maker can watch descriptors, start fibers and add hooks.
        let app = runtime.enter(|| (self.factory)()).build()?;
        let shared = Shared::new(app, self.limits.clone(), Arc::clone(&metrics));
        runtime.listen(listener, HttpService::new(shared));
        if let Some(admin) = admin {
            let app = admin::router(Arc::clone(&self.roster)).build()?;
            let metrics = Arc::new(WorkerMetrics::default());
            let shared = Shared::new(app, self.limits.clone(), metrics);
            runtime.listen(admin, HttpService::new(shared));
        }
        runtime.enter(|| add_tick_hook(move || metrics.end_turn(turn_elapsed)));
        Ok(runtime)
    }

    /// Makes a worker on a thread of its own, and runs it there.
    fn spawn(
        &self,
        number: usize,
        listener: TcpListener,
        admin: Option<TcpListener>,
    ) -> Result<(Handle, JoinHandle<()>), ServeError> {
        let (sender, receiver) = mpsc::channel();
        let plan = self.clone();
        let body = move || match plan.make(number, listener, admin) {
            Ok(runtime) => {
                if sender.send(Ok(runtime.handle())).is_ok() {
                    runtime.run();
                }
            }
            Err(error) => {
                // The one who started this thread waits for the answer.
                let _ = sender.send(Err(error));
            }
        };
        let thread = std::thread::Builder::new().name(format!("sws-io-{number}")).spawn(body);
        let thread = thread.map_err(ServeError::Thread)?;
        let ended = || ServeError::Thread(io::Error::other("the worker's thread ended before it served"));
        let handle = receiver.recv().map_err(|_| ended())??;
        Ok((handle, thread))
    }
}

/// All workers of a server, for whoever sums over them.
pub(crate) struct Roster {
    metrics: Vec<Arc<WorkerMetrics>>,
    handles: OnceLock<Vec<Handle>>,
}

impl Roster {
    fn new(workers: usize) -> Roster {
        Roster { metrics: (0..workers).map(|_| Arc::default()).collect(), handles: OnceLock::new() }
    }

    fn complete(&self, handles: &[Handle]) {
        // Called once, by the one who starts the workers.
        let _ = self.handles.set(handles.to_vec());
    }

    pub(crate) fn metrics(&self, worker: usize) -> &Arc<WorkerMetrics> {
        &self.metrics[worker]
    }

    /// The workers, once all are started.
    pub(crate) fn handles(&self) -> &[Handle] {
        self.handles.get().map_or(&[], Vec::as_slice)
    }
}

fn bind_first(addr: impl ToSocketAddrs + fmt::Display, shared: bool) -> Result<TcpListener, ServeError> {
    let text = addr.to_string();
    let bad = |source| ServeError::Address { addr: text.clone(), source };
    let addrs = addr.to_socket_addrs().map_err(bad)?;
    let mut last = bad(io::Error::new(io::ErrorKind::InvalidInput, "it names no address"));
    for addr in addrs {
        match listen_tcp(addr, shared, BACKLOG) {
            Ok(listener) => return Ok(listener),
            Err(source) => last = ServeError::Bind { addr, source },
        }
    }
    Err(last)
}

fn local_addr(listener: &TcpListener) -> Result<SocketAddr, ServeError> {
    listener
        .local_addr()
        .map_err(|source| ServeError::Bind { addr: SocketAddr::from(([0, 0, 0, 0], 0)), source })
}

impl Router {
    /// Serves this router on a runtime of your own, so that HTTP shares a worker with other protocols; returns the listener's
    /// number. [`Server`] makes its workers itself.
    ///
    /// # Errors
    /// Where two routes conflict or a pattern is not one.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::{TcpListener, TcpStream};
    /// use sws::runtime::{Config, Conn, Data, EventHandler, Runtime};
    /// use sws::{HttpLimits, Router};
    ///
    /// /// Sends back what comes, beside HTTP.
    /// struct Echo;
    ///
    /// impl EventHandler for Echo {
    ///     type Workspace = ();
    ///     fn on_data(&mut self, conn: &mut Conn<'_, ()>, data: &Data<'_>) -> usize {
    ///         if conn.send(data).is_err() {
    ///             conn.abort();
    ///         }
    ///         data.len()
    ///     }
    /// }
    ///
    /// fn ask(addr: std::net::SocketAddr, text: &str) -> std::io::Result<String> {
    ///     let mut client = TcpStream::connect(addr)?;
    ///     client.write_all(text.as_bytes())?;
    ///     client.shutdown(std::net::Shutdown::Write)?;
    ///     let mut answer = String::new();
    ///     client.read_to_string(&mut answer)?;
    ///     Ok(answer)
    /// }
    ///
    /// let runtime = Runtime::new(Config::default())?;
    /// let (web, echo) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    /// let (web_addr, echo_addr) = (web.local_addr()?, echo.local_addr()?);
    /// Router::new().get("/", || "Hello, World!").listen_on(&runtime, web, HttpLimits::default())?;
    /// runtime.listen(echo, Echo);
    ///
    /// let handle = runtime.handle();
    /// let client = std::thread::spawn(move || {
    ///     let answers = (ask(web_addr, "GET / HTTP/1.0\r\n\r\n"), ask(echo_addr, "hello"));
    ///     handle.shutdown();
    ///     answers
    /// });
    /// runtime.run();
    /// let (web, echo) = client.join().unwrap();
    /// assert!(web?.ends_with("\r\n\r\nHello, World!"));
    /// assert_eq!(echo?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn listen_on(
        self,
        runtime: &Runtime,
        listener: impl Into<OwnedFd>,
        limits: HttpLimits,
    ) -> Result<usize, RouteError> {
        install_protocols(runtime);
        let metrics = Arc::new(WorkerMetrics::default());
        let shared = Shared::new(self.build()?, limits, metrics);
        Ok(runtime.listen_on(listener.into(), HttpService::new(shared)))
    }
}

/// A server that runs on other threads. Dropping it lets it run on.
pub struct Running {
    addr: SocketAddr,
    admin_addr: Option<SocketAddr>,
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of `/healthz` and `/metrics`, if there is one.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// Reaches the workers.
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Accepts no more, lets what runs finish within the drain timeout, and waits for the end.
    pub fn shutdown(self) {
        for handle in &self.handles {
            handle.shutdown();
        }
        for thread in self.threads {
            // A worker that panicked has said so.
            let _ = thread.join();
        }
    }
}
