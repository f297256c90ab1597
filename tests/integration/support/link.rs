//! Stands between the collector and its database, and cuts, delays, swallows or redirects what passes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Passes everything.
    Whole,
    /// Resets every connection at once, old and new.
    Cut,
    /// Passes everything late.
    Slow,
    /// Every connection falls silent, old and new.
    Silent(Way),
    /// A connection falls silent in the middle of the first message with this text.
    SilentAt(&'static str, Way),
}

/// In which direction nothing passes any more. What fell silent stays so: both ends keep their
/// connection and hear nothing of it, not even that the other one has closed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Both,
    ToServer,
    FromServer,
}

/// A proxy for one server.
pub(crate) struct Proxy {
    /// Where to connect.
    pub(crate) port: u16,
    link: Arc<watch::Sender<Link>>,
    server: Arc<watch::Sender<u16>>,
}

impl Proxy {
    /// Starts one before a port of this machine.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let link = Arc::new(watch::channel(Link::Whole).0);
        let server = Arc::new(watch::channel(server).0);
        let (watched, target) = (Arc::clone(&link), server.subscribe());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = SocketAddr::from(([127, 0, 0, 1], *target.borrow()));
                tokio::spawn(connect(client, server, watched.subscribe()));
            }
        });
        Self { port, link, server }
    }

    /// Changes what the link does, for connections that stand too.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }

    /// Leads new connections to another server.
    pub(crate) fn lead_to(&self, server: u16) {
        self.server.send_replace(server);
    }
}

async fn connect(client: TcpStream, server: SocketAddr, mut link: watch::Receiver<Link>) {
    // A reset, not a farewell.
    let _ = client.set_zero_linger();
    if *link.borrow() == Link::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let silent = Arc::new(watch::channel(None).0);
    let (up, down) = (
        Pass::new(&link, &silent, Way::ToServer),
        Pass::new(&link, &silent, Way::FromServer),
    );
    let mut told = link.clone();
    let falls_silent = async {
        let link = told.wait_for(|link| matches!(link, Link::Silent(_))).await;
        if let Ok(Link::Silent(way)) = link.map(|link| *link) {
            silent.send_replace(Some(way));
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = up.run(&mut from_client, &mut to_server) => {}
        () = down.run(&mut from_server, &mut to_client) => {}
        () = falls_silent => {}
        _ = link.wait_for(|link| *link == Link::Cut) => {}
    }
}

/// One direction of a connection.
struct Pass {
    link: watch::Receiver<Link>,
    silent: Arc<watch::Sender<Option<Way>>>,
    way: Way,
}

impl Pass {
    fn new(
        link: &watch::Receiver<Link>,
        silent: &Arc<watch::Sender<Option<Way>>>,
        way: Way,
    ) -> Self {
        let (link, silent) = (link.clone(), Arc::clone(silent));
        Self { link, silent, way }
    }

    /// Passes on until an end closes or breaks; never returns once it has fallen silent.
    async fn run(mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) {
        let mut fate = self.silent.subscribe();
        let way = self.way;
        let silenced = async move {
            let falls = |silent: &Option<Way>| {
                silent.is_some_and(|silent| silent == way || silent == Way::Both)
            };
            // The sender is held here.
            drop(fate.wait_for(falls).await);
        };
        tokio::select! {
            biased;
            () = silenced => std::future::pending().await,
            () = self.pass(from, to) => {}
        }
    }

    async fn pass(&mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let Ok(count @ 1..) = from.read(&mut buffer).await else {
                return;
            };
            let mut bytes = &buffer[..count];
            let link = *self.link.borrow();
            match link {
                Link::Slow => tokio::time::sleep(Duration::from_millis(50)).await,
                Link::SilentAt(text, way) if self.way == Way::ToServer => {
                    let mut windows = bytes.windows(text.len());
                    if let Some(at) = windows.position(|window| window == text.as_bytes()) {
                        if way != Way::FromServer {
                            bytes = &bytes[..at + text.len()];
                        }
                        // Before the answer can come.
                        if way != Way::ToServer {
                            self.silent.send_replace(Some(Way::FromServer));
                        }
                        let _ = to.write_all(bytes).await;
                        self.silent.send_replace(Some(way));
                        // What takes note of it stands above.
                        tokio::task::yield_now().await;
                        continue;
                    }
                }
                _ => {}
            }
            if to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }
}
