//! Connections to the server, kept for the next call.
//!
//! A statement that is prepared once under a name is read and planned once, but the name is the server
//! process's: behind a pooler in transaction mode the next transaction may meet another one. So each new
//! connection is asked whether it leads to the server itself: it logs in with a setting that nobody else
//! has, and only a server process that was started by this login knows it. A pooler refuses the setting or
//! drops it. The question is a round trip, so who asks each statement once leaves it out.
//!
//! Invariants: no wait here is without a limit, not even for a server that has fallen silent; only a
//! connection whose last call ended well, or in a refusal after which it stands where it stood, is used
//! again. Any other is closed at once and without a word, so that it takes up nobody's place: a farewell
//! would wait on the link that has just failed.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType,
};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor as _, Row as _};
use uuid::Uuid;

use super::fault::{Fault, is_refusal_of_settings};
use super::read::Query;

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
/// Named statements on a connection: more than there are.
const STATEMENTS: usize = 64;
/// The setting that tells a server process of our own.
const TOKEN: &str = "beacon_collector.login";

/// A bounded number of connections, made when they are needed.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: Pool<Dialer>,
}

impl Connections {
    /// At most `size` of them; `asks`: whether statements are named where that is possible.
    pub(super) fn new(options: PgConnectOptions, size: usize, asks: bool) -> Result<Self, Fault> {
        let dialer = Dialer {
            options,
            asks: AtomicBool::new(asks),
        };
        let pool = Pool::builder(dialer)
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

    /// Closes those that are idle: a table has changed, and their statements are of the old one.
    pub(super) fn forget_idle(&self) {
        drop(self.pool.retain(|_, _| false));
    }

    /// Closes those that are idle, and each of the others when its call ends.
    pub(super) async fn close(&self) {
        let idle = self.pool.retain(|_, _| false).removed;
        self.pool.close();
        for line in idle {
            // It is thrown away in any case.
            let _ = tokio::time::timeout(TEST, line.conn.close()).await;
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

    /// The statement as this connection can take it: with a name only where the name lasts.
    pub(super) fn fit<'q>(&self, query: Query<'q>) -> Query<'q> {
        let is_direct = self.object.as_ref().is_some_and(|line| line.is_direct);
        let is_named = is_direct && sqlx::Execute::persistent(&query);
        query.persistent(is_named)
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
        &self.object.as_ref().expect("lent").conn
    }
}

impl DerefMut for Lent {
    #[expect(
        clippy::expect_used,
        reason = "only what takes it by value takes it out"
    )]
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.object.as_mut().expect("lent").conn
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

/// A connection, and what is at its other end.
#[derive(Debug)]
struct Line {
    conn: PgConnection,
    /// The server process that the login started, and no other: names last as long as the connection.
    is_direct: bool,
}

/// Makes connections, and says which may be used again.
#[derive(Debug)]
struct Dialer {
    options: PgConnectOptions,
    /// Whether a new connection is asked where it leads; no more once something on the way has refused a
    /// login with a setting.
    asks: AtomicBool,
}

impl Dialer {
    /// Logs in with a setting of its own and looks whether it has arrived.
    async fn ask_who_is_there(&self) -> sqlx::Result<Line> {
        let token = Uuid::new_v4().to_string();
        let options = (self.options.clone())
            .statement_cache_capacity(STATEMENTS)
            .options([(TOKEN, token.as_str())]);
        let mut conn = PgConnection::connect_with(&options).await?;
        let words = format!("select current_setting('{TOKEN}', true)");
        let row = sqlx::raw_sql(sqlx::AssertSqlSafe(words))
            .fetch_one(&mut conn)
            .await?;
        let known: Option<String> = row.try_get(0)?;
        let is_direct = known.is_some_and(|known| known == token);
        Ok(Line { conn, is_direct })
    }
}

impl Manager for Dialer {
    type Type = Line;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<Line> {
        let asks = self.asks.load(Ordering::Relaxed);
        if asks {
            match self.ask_who_is_there().await {
                Err(err) if is_refusal_of_settings(&err) => {
                    tracing::debug!(%err, "logging in without a setting of our own");
                }
                done => return done,
            }
        }
        let conn = PgConnection::connect_with(&self.options).await?;
        // Had this failed as well, it would not have been for the setting.
        self.asks.fetch_and(!asks, Ordering::Relaxed);
        let is_direct = false;
        Ok(Line { conn, is_direct })
    }

    async fn recycle(&self, _: &mut Line, past: &Metrics) -> RecycleResult<sqlx::Error> {
        if past.age() > LIFE || past.last_used() > UNUSED {
            return Err(RecycleError::message("too old"));
        }
        Ok(())
    }
}
