//! Stands between the collector and its database, and cuts, delays or swallows what passes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
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
}

/// A proxy for one server.
pub(crate) struct Proxy {
    /// Where to connect.
    pub(crate) port: u16,
    link: Arc<watch::Sender<Link>>,
}

impl Proxy {
    /// Starts one before a port of this machine.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let link = Arc::new(watch::channel(Link::Whole).0);
        let watched = Arc::clone(&link);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = SocketAddr::from(([127, 0, 0, 1], server));
                tokio::spawn(connect(client, server, watched.subscribe()));
            }
        });
        Self { port, link }
    }

    /// Changes what the link does, for connections that stand too.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
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
    let (up, down) = (link.clone(), link.clone());
    tokio::select! {
        () = pass(&mut from_client, &mut to_server, up) => {}
        () = pass(&mut from_server, &mut to_client, down) => {}
        _ = link.wait_for(|link| *link == Link::Cut) => {}
    }
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut link: watch::Receiver<Link>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let state = *link.borrow_and_update();
        match state {
            Link::Slow => tokio::time::sleep(Duration::from_millis(50)).await,
            Link::Whole | Link::Cut => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
