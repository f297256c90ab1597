//! The schema as numbered steps, embedded in the program. Steps only ever add, but for an index of ours that
//! a better one takes the place of; one that was released is never changed.

/// One step.
#[derive(Debug)]
pub(super) struct Migration {
    /// Its number; steps run in this order, each once.
    pub(super) version: i64,
    /// What it does.
    pub(super) name: &'static str,
    /// Its statements.
    pub(super) sql: &'static str,
}

/// The steps of the embedded store.
pub(super) const SQLITE: &[Migration] = &[
    Migration {
        version: 1,
        name: "tables",
        sql: include_str!("../../migrations/sqlite/0001_tables.sql"),
    },
    Migration {
        version: 2,
        name: "leases",
        sql: include_str!("../../migrations/sqlite/0002_leases.sql"),
    },
    Migration {
        version: 3,
        name: "failed executions",
        sql: include_str!("../../migrations/sqlite/0003_failed_executions.sql"),
    },
    Migration {
        version: 4,
        name: "one index of random ids",
        sql: include_str!("../../migrations/sqlite/0004_one_index_of_random_ids.sql"),
    },
    Migration {
        version: 5,
        name: "shard writers",
        sql: include_str!("../../migrations/sqlite/0005_shard_writers.sql"),
    },
];

/// The steps of Postgres.
pub(super) const POSTGRES: &[Migration] = &[
    Migration {
        version: 1,
        name: "tables",
        sql: include_str!("../../migrations/postgres/0001_tables.sql"),
    },
    Migration {
        version: 2,
        name: "leases",
        sql: include_str!("../../migrations/postgres/0002_leases.sql"),
    },
    Migration {
        version: 3,
        name: "shard writers",
        sql: include_str!("../../migrations/postgres/0003_shard_writers.sql"),
    },
];

/// All statements of `steps`, for people.
pub(super) fn text(steps: &[Migration]) -> String {
    let step = |step: &Migration| format!("-- Step {}: {}\n{}", step.version, step.name, step.sql);
    steps.iter().map(step).collect::<Vec<_>>().join("\n")
}
