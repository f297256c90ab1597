//! Leases: which of several collectors that share a database does a piece of work, by the name of that
//! work. A lease is a row that its holder renews; one that was not renewed in time is anybody's.
//!
//! Invariant: what is written under a lease carries its fence, a number that grows with every change of
//! holder, so that a holder that was taken for dead and wakes up moves no checkpoint any more.

use std::time::Duration;

use uuid::Uuid;

/// Who asks for leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The same after a restart, which therefore need not wait for its own leases to run out.
    pub id: Uuid,
    /// Where that is, for people.
    pub label: String,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Names of the leases, each once, sorted.
    pub names: Vec<String>,
    /// By whom.
    pub holder: Holder,
    /// For how long from now, by the clock of the database. Zero gives back what the holder has.
    pub term: Duration,
}

/// How a lease stands after a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub name: String,
    /// The fence, if the claimant holds it now.
    pub fence: Option<i64>,
    /// Who held it before the claim.
    pub before: Option<String>,
}
