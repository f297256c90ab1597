//! Spreading the tables over the machines of a Citus cluster by trace.
//!
//! Invariant: only run when asked for. The one thing that it changes of a table of others is the primary key
//! of `trace_spans`, which must contain the column by which rows are spread.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::fault::Fault;
use super::read::query;
use crate::store::StoreError;

const ACTION: &str = "distribute";

/// What distributing takes.
#[derive(Debug, Default)]
pub(super) struct Distribution {
    /// Statements that were not run yet, in order.
    pub(super) statements: Vec<String>,
    /// What somebody has to take out of the way first.
    obstacles: Vec<String>,
    has_citus: bool,
}

impl Distribution {
    /// Looks at the database.
    pub(super) async fn read(conn: &mut PgConnection) -> Result<Self, Fault> {
        let mut tx = conn.begin_with("begin read only").await?;
        let has_citus = has_citus(&mut tx).await?;
        let done = if has_citus {
            distributed(&mut tx).await?
        } else {
            Vec::new()
        };
        let mut found = Self {
            has_citus,
            ..Self::default()
        };
        if !done.iter().any(|table| table == "public.trace_spans") {
            found.look_at_keys(&mut tx).await?;
        }
        for (table, statement) in [
            (
                "public.jobs",
                "select create_reference_table('public.jobs')",
            ),
            (
                "public.executions",
                "select create_reference_table('public.executions')",
            ),
            (
                "public.trace_spans",
                "select create_distributed_table('public.trace_spans', 'trace_id')",
            ),
            (
                "beacon_collector.execution_links",
                "select create_distributed_table('beacon_collector.execution_links', 'trace_id', \
                 colocate_with => 'public.trace_spans')",
            ),
        ] {
            if exists(&mut tx, table).await? && !done.iter().any(|known| known == table) {
                found.statements.push(statement.to_owned());
            }
        }
        tx.commit().await?;
        Ok(found)
    }

    async fn look_at_keys(&mut self, conn: &mut PgConnection) -> sqlx::Result<()> {
        let rows = query(include_str!("../sql/postgres/distribution.sql"))
            .fetch_all(conn)
            .await?;
        for row in rows {
            let text: String = row.try_get(1)?;
            if row.try_get(0)? {
                self.statements.push(text);
            } else {
                self.obstacles.push(text);
            }
        }
        Ok(())
    }

    /// Whether it can be done here.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let refuse = |reason, remedy| {
            Err(StoreError::Refused {
                action: ACTION,
                reason,
                remedy,
            })
        };
        if !self.has_citus {
            return refuse(
                "the extension citus is not in this database".to_owned(),
                "plain Postgres keeps its tables on one machine; on a server that has Citus run \
                 `create extension citus` first",
            );
        }
        if !self.obstacles.is_empty() {
            return refuse(
                format!(
                    "trace_spans can't be spread by trace_id: {}",
                    self.obstacles.join(", ")
                ),
                "drop them, or give unique keys the column trace_id",
            );
        }
        Ok(())
    }

    /// Runs one of the statements, outside any transaction of ours: each moves a table's rows.
    pub(super) async fn run(conn: &mut PgConnection, statement: &str) -> Result<(), Fault> {
        conn.execute(AssertSqlSafe(statement)).await?;
        Ok(())
    }
}

/// Whether `trace_spans` is spread over machines.
pub(super) async fn is_distributed(conn: &mut PgConnection) -> Result<bool, Fault> {
    let mut tx = conn.begin_with("begin read only").await?;
    let is = has_citus(&mut tx).await?
        && (distributed(&mut tx).await?.iter()).any(|table| table == "public.trace_spans");
    tx.commit().await?;
    Ok(is)
}

async fn has_citus(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let sql = "select exists (select from pg_extension where extname = 'citus')";
    query(sql).fetch_one(conn).await?.try_get(0)
}

/// Tables that Citus keeps, reference tables among them.
async fn distributed(conn: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let sql = "select n.nspname || '.' || c.relname from pg_dist_partition p \
        join pg_class c on c.oid = p.logicalrelid join pg_namespace n on n.oid = c.relnamespace";
    let rows = query(sql).fetch_all(conn).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

async fn exists(conn: &mut PgConnection, table: &str) -> sqlx::Result<bool> {
    let row = query("select to_regclass($1) is not null").bind(table.to_owned());
    row.fetch_one(conn).await?.try_get(0)
}
