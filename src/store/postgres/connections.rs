//! Connections to the server, kept for the next call.
//!
//! Invariants: no wait here is without a limit, not even for a server that has fallen silent; only a
//! connection whose last call ended well, or in a refusal after which it stands where it stood, is used
//! again. Any other is closed at once and without a word, so that it takes up nobody's place: a farewell
//! would wait on the link that has just failed.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType,
};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor as _};

use super::fault::Fault;

/// How long a call waits for a connection that others use.
const WAIT: Duration = Duration::from_secs(10);
/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection may take to show that it lives: a round trip on a slow link, many times over.
const TEST: Duration = Duration::from_secs(3);
/// A connection unused for longer is replaced untested: firewalls forget such ones without a word.
const UNUSED: Duration = Duration::from_secs(300);
/// An older connection is replaced, so that a server that took over is found by its name.
const LIFE: Duration = Duration::from_secs(1800);

/// A bounded number of connections, made when they are needed.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: Pool<Dialer>,
}

impl Connections {
    pub(super) fn new(options: PgConnectOptions, size: usize) -> Result<Self, Fault> {
        let pool = Pool::builder(Dialer { options })
            .max_size(size)
            // What is used least goes unused and is given up.
            .queue_mode(QueueMode::Lifo)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CONNECT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|err| Fault::Driver(sqlx::Error::Configuration(err.into())))?;
        Ok(Self { pool })
    }

    /// How many there may be at once.
    pub(super) fn most(&self) -> usize {
        self.pool.status().max_size
    }

    /// A connection that is whole as far as anybody can tell.
    pub(super) async fn acquire(&self) -> Result<Lent, Fault> {
        loop {
            let mut conn = self.lend().await?;
            // Not the driver's ping: that is answered in the middle of a transaction too.
            if !conn.is_used() || conn.say("select 1", TEST).await.is_ok() {
                return Ok(conn);
            }
        }
    }

    /// A connection on which these words have been said. One that was used before may have gone since: the
    /// words are its test, so they must do no harm when they are said again on another one.
    pub(super) async fn begin(&self, words: &'static str) -> Result<Lent, Fault> {
        loop {
            let mut conn = self.lend().await?;
            let is_used = conn.is_used();
            // Behind a pooler a new connection is there at once, and its first words wake the server.
            let limit = if is_used { TEST } else { CONNECT };
            match conn.say(words, limit).await {
                Ok(()) => return Ok(conn),
                Err(_) if is_used => {}
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn lend(&self) -> Result<Lent, Fault> {
        let object = self.pool.get().await.map_err(|err| match err {
            PoolError::Timeout(TimeoutType::Wait) => Fault::Busy(self.most()),
            PoolError::Timeout(_) => Fault::Silence,
            PoolError::Backend(err) => Fault::Driver(err),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Fault::Driver(sqlx::Error::PoolClosed)
            }
        })?;
        Ok(Lent {
            object: Some(object),
        })
    }

    /// Closes those that are idle, and each of the others when its call ends.
    pub(super) async fn close(&self) {
        let idle = self.pool.retain(|_, _| false).removed;
        self.pool.close();
        for conn in idle {
            // It is thrown away in any case.
            let _ = tokio::time::timeout(TEST, conn.close()).await;
        }
    }
}

/// A connection in use; dropping it closes it.
#[derive(Debug)]
pub(super) struct Lent {
    /// There until the end.
    object: Option<Object<Dialer>>,
}

impl Lent {
    /// Whether it had been lent before.
    fn is_used(&self) -> bool {
        let object = self.object.as_ref();
        object.is_some_and(|object| Object::metrics(object).recycle_count > 0)
    }

    async fn say(&mut self, words: &'static str, limit: Duration) -> Result<(), Fault> {
        match tokio::time::timeout(limit, self.execute(words)).await {
            Ok(said) => said.map(|_| ()).map_err(Fault::Driver),
            Err(_) => Err(Fault::Silence),
        }
    }

    /// Leaves the connection for the next call.
    pub(super) fn give_back(mut self) {
        drop(self.object.take());
    }

    /// Does the same after a call that ended in a refusal, once what the call left open is closed.
    pub(super) async fn clear_and_give_back(mut self) {
        // A transaction that was dropped is rolled back with the next thing that is said.
        if let Ok(Ok(())) = tokio::time::timeout(TEST, self.ping()).await {
            self.give_back();
        }
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    #[expect(
        clippy::expect_used,
        reason = "only what takes it by value takes it out"
    )]
    fn deref(&self) -> &PgConnection {
        self.object.as_ref().expect("lent")
    }
}

impl DerefMut for Lent {
    #[expect(
        clippy::expect_used,
        reason = "only what takes it by value takes it out"
    )]
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.object.as_mut().expect("lent")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

/// Makes connections, and says which may be used again.
#[derive(Debug)]
struct Dialer {
    options: PgConnectOptions,
}

impl Manager for Dialer {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect_with(&self.options).await
    }

    async fn recycle(&self, _: &mut PgConnection, past: &Metrics) -> RecycleResult<sqlx::Error> {
        if past.age() > LIFE || past.last_used() > UNUSED {
            return Err(RecycleError::message("too old"));
        }
        Ok(())
    }
}
