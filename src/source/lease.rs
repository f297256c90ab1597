//! Leases over the store: which sources this collector reads while others share its database.
//!
//! One task renews all leases. A database that is away takes nobody's lease: whoever reads goes on, and
//! who could not ask yet reads unasked, because then nobody else can either. Two collectors may therefore
//! read the same for a while; as storing is idempotent and checkpoints are fenced, that costs work
//! and nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{Outlet, SourceError, SourceState};
use crate::store::{Claim, Holder, Lease, Store};

/// Renewals in the term of a lease: two may fail before another collector takes over.
const RENEWALS: u32 = 3;

/// How this process stands to a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody was asked yet.
    Unasked,
    /// The database was never there to be asked.
    Unanswered,
    /// It is ours, under this fence.
    Ours(i64),
    /// It is another collector's, known as this.
    Theirs(String),
}

/// What a source reads under: shared with the one that keeps the lease.
#[derive(Debug, Clone, Default)]
pub struct Tenure {
    /// Name of this host: positions in files are positions in its files.
    pub host: Arc<str>,
    fence: Arc<AtomicI64>,
}

impl Tenure {
    /// On the host of this name, without a lease yet.
    pub fn on(host: &Arc<str>) -> Self {
        Self {
            host: Arc::clone(host),
            fence: Arc::default(),
        }
    }

    /// The fence to put on checkpoints from now on.
    pub fn fence(&self) -> i64 {
        // Relaxed: a lower one for a moment more only makes a checkpoint lag.
        self.fence.load(Relaxed)
    }
}

/// All leases that this process wants.
#[derive(Debug)]
pub struct Leases {
    store: Arc<dyn Store>,
    holder: Holder,
    term: Duration,
    wanted: Mutex<BTreeMap<String, watch::Sender<Standing>>>,
    /// Rung when a lease is wanted that was not asked for yet.
    wake: Notify,
}

impl Leases {
    /// Leases of a term; [`Self::keep`] asks for them.
    pub fn new(store: Arc<dyn Store>, holder: Holder, term: Duration) -> Self {
        Self {
            store,
            holder,
            term,
            wanted: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Asks for a lease from now on; how it stands is told by what is returned.
    pub fn want(&self, name: &str) -> watch::Receiver<Standing> {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let told = wanted
            .entry(name.to_owned())
            .or_insert_with(|| watch::Sender::new(Standing::Unasked));
        self.wake.notify_one();
        told.subscribe()
    }

    /// Renews what is wanted until told to stop.
    pub async fn keep(&self, stop: CancellationToken) {
        loop {
            self.renew().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.term / RENEWALS) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Gives back what is held, so that another collector need not wait for its end.
    pub async fn give_back(&self) {
        let names = self.names();
        // An error: it runs out by itself.
        if !names.is_empty() {
            let _ = self.claim(names, Duration::ZERO).await;
        }
    }

    async fn renew(&self) {
        let names = self.names();
        if names.is_empty() {
            return;
        }
        match self.claim(names, self.term).await {
            Ok(leases) => leases.into_iter().for_each(|lease| self.tell(lease)),
            Err(error) => {
                tracing::debug!(%error, "cannot renew leases; going on as they were");
                let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
                for told in wanted.values() {
                    told.send_if_modified(|standing| {
                        let unasked = *standing == Standing::Unasked;
                        if unasked {
                            *standing = Standing::Unanswered;
                        }
                        unasked
                    });
                }
            }
        }
    }

    async fn claim(
        &self,
        names: Vec<String>,
        term: Duration,
    ) -> Result<Vec<Lease>, crate::store::StoreError> {
        let holder = self.holder.clone();
        let claim = Claim {
            names,
            holder,
            term,
        };
        self.store.claim(&claim).await
    }

    fn names(&self) -> Vec<String> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.keys().cloned().collect()
    }

    fn tell(&self, lease: Lease) {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(told) = wanted.get(&lease.name) else {
            return;
        };
        let new = match (lease.fence, lease.before) {
            (Some(fence), _) => Standing::Ours(fence),
            (None, before) => Standing::Theirs(before.unwrap_or_else(|| "another".to_owned())),
        };
        let was = told.send_replace(new.clone());
        if was != new {
            // A source that has to wait says so itself.
            tracing::debug!(lease = lease.name, ?was, now = ?new, "a lease changed");
        }
    }
}

/// Runs a source while its lease is ours, and again whenever it becomes ours. `taken_over` is told when
/// another collector had it before.
pub async fn while_ours<F>(
    mut lease: watch::Receiver<Standing>,
    out: Outlet,
    taken_over: impl Fn(),
    start: impl Fn(Outlet) -> F,
) -> Result<(), SourceError>
where
    F: Future<Output = Result<(), SourceError>>,
{
    let mut waited = false;
    loop {
        let standing = wait(&mut lease, &out).await?;
        if let Standing::Theirs(holder) = standing {
            waited = true;
            out.status.enter(SourceState::Standby(format!(
                "collector {holder} reads it; this one takes over when that one stops"
            )));
            changed(&mut lease, &out).await?;
            continue;
        }
        if std::mem::take(&mut waited) {
            taken_over();
        }
        let ours = Outlet {
            stop: out.stop.child_token(),
            tenure: Tenure::on(&out.tenure.host),
            ..out.clone()
        };
        let stop = ours.stop.clone();
        let tenure = ours.tenure.clone();
        let mut running = std::pin::pin!(start(ours));
        let lost = hold(&mut lease, standing, &tenure);
        tokio::select! {
            ended = &mut running => return ended,
            () = lost => {}
        }
        stop.cancel();
        // Whatever it says: it was told to stop.
        let _ = running.await;
    }
}

/// Waits until something is known of the lease.
async fn wait(
    lease: &mut watch::Receiver<Standing>,
    out: &Outlet,
) -> Result<Standing, SourceError> {
    loop {
        let standing = lease.borrow_and_update().clone();
        if standing != Standing::Unasked {
            return Ok(standing);
        }
        changed(lease, out).await?;
    }
}

async fn changed(lease: &mut watch::Receiver<Standing>, out: &Outlet) -> Result<(), SourceError> {
    tokio::select! {
        // An error: who keeps the leases is gone, and so is the process before long.
        changed = lease.changed() => changed.map_err(|_| SourceError::Stopped),
        () = out.stop.cancelled() => Err(SourceError::Stopped),
    }
}

/// Returns when the lease that the source began under is no longer the same. One that could not be asked
/// for at the beginning may still become ours.
async fn hold(lease: &mut watch::Receiver<Standing>, began: Standing, tenure: &Tenure) {
    let mut standing = began;
    loop {
        if let Standing::Ours(fence) = standing {
            tenure.fence.store(fence, Relaxed);
        }
        if lease.changed().await.is_err() {
            return std::future::pending().await;
        }
        let now = lease.borrow_and_update().clone();
        let goes_on =
            now == standing || standing == Standing::Unanswered && matches!(now, Standing::Ours(_));
        if !goes_on {
            return;
        }
        standing = now;
    }
}
