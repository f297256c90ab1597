//! What can go wrong with a store, sorted by what the caller can do about it.

/// An error of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, busy or failing over: the same call can succeed later.
    #[error("{action}: database unavailable: {reason}")]
    Unavailable {
        /// What was being done.
        action: &'static str,
        /// What the driver said.
        reason: String,
    },
    /// It was stopped after as long as it may take; the database is there.
    #[error(
        "{action}: stopped, it took too long: the database has much to do, or much was asked about \
         (a shorter time takes less)"
    )]
    TooLong {
        /// What was being done.
        action: &'static str,
    },
    /// The database refuses until somebody changes something: rights, password, schema, disk.
    #[error("{action}: {reason}; {remedy}")]
    Refused {
        /// What was being done.
        action: &'static str,
        /// What the database said.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The configuration names no usable database.
    #[error("{0}")]
    Configuration(String),
}

impl StoreError {
    /// Whether the same call can succeed later without anybody's help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::TooLong { .. })
    }
}
