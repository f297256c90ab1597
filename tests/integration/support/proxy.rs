//! A link between a store and its server that can die at the first message with a given text: cut, when
//! nothing passes any more and nobody is told, or broken, when the connection ends.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The link; gone when it goes out of scope.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    trap: Mutex<Option<Trap>>,
    was_sprung: AtomicBool,
    is_cut: watch::Sender<bool>,
}

/// What happens at which message.
struct Trap {
    text: Vec<u8>,
    /// The message arrives and the connection ends; otherwise nothing arrives and nothing ends.
    breaks: bool,
}

impl Proxy {
    /// A link to the server of a URL.
    pub(crate) async fn to(url: &str) -> Self {
        let (_, rest) = url.split_once('@').unwrap();
        let (server, _) = rest.split_once('/').unwrap();
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            trap: Mutex::new(None),
            was_sprung: AtomicBool::new(false),
            is_cut: watch::Sender::new(false),
        });
        let task = tokio::spawn(serve(listener, server, Arc::clone(&state)));
        Self {
            address,
            state,
            task,
        }
    }

    /// The URL by this link.
    pub(crate) fn url(&self, url: &str) -> String {
        let (user, rest) = url.split_once('@').unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        format!("{user}@{}/{database}", self.address)
    }

    /// Cuts the link before the next message that contains `text`.
    pub(crate) fn cut_at(&self, text: &str) {
        self.set_trap(text, false);
    }

    /// Ends the connection behind the next message that contains `text`, its answer unread.
    pub(crate) fn break_at(&self, text: &str) {
        self.set_trap(text, true);
    }

    fn set_trap(&self, text: &str, breaks: bool) {
        self.state.was_sprung.store(false, Relaxed);
        let text = text.as_bytes().to_vec();
        *self.state.trap.lock().unwrap() = Some(Trap { text, breaks });
    }

    /// Whether the last trap has done its work.
    pub(crate) fn was_sprung(&self) -> bool {
        self.state.was_sprung.load(Relaxed)
    }

    /// Mends it for new connections; the old ones end, as their servers find out.
    pub(crate) fn mend(&self) {
        self.state.is_cut.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, server: String, state: Arc<State>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (server, state) = (server.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let server = TcpStream::connect(server).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = pass(from_client, to_server, &state) => {}
                () = pass(from_server, to_client, &state) => {}
            }
        });
    }
}

/// Passes bytes on until an end closes, or the link was cut and mended again.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..length];
        let trap = state.trap.lock().unwrap().take_if(|trap| {
            let mut windows = bytes.windows(trap.text.len());
            windows.any(|window| window == trap.text.as_slice())
        });
        if let Some(trap) = trap {
            if trap.breaks {
                // It arrives or it doesn't: the other end may be gone as well.
                let _ = to.write_all(bytes).await;
                state.was_sprung.store(true, Relaxed);
                return;
            }
            state.was_sprung.store(true, Relaxed);
            state.is_cut.send_replace(true);
        }
        let mut is_cut = state.is_cut.subscribe();
        if *is_cut.borrow_and_update() {
            // Only a sender that is gone fails, and this end holds one.
            let _ = is_cut.wait_for(|is_cut| !is_cut).await;
            return;
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
    // An end that was closed behind a dead link is noticed by nobody.
    let _ = state.is_cut.subscribe().wait_for(|is_cut| !is_cut).await;
}
