//! Errors of SQLite, sorted by what the caller can do about them.

use crate::store::StoreError;

/// The primary result code.
pub(super) fn code(err: &sqlx::Error) -> Option<i32> {
    let code: i32 = err.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// Whether another process has what is needed.
pub(super) fn is_busy(err: &sqlx::Error) -> bool {
    code(err) == Some(5)
}

/// Turns an error of the driver into one of ours.
pub(super) fn sort(action: &'static str, err: &sqlx::Error) -> StoreError {
    let reason = err.to_string();
    let remedy = match code(err) {
        Some(1) => "run `beacon-collector migrate`",
        Some(3 | 8 | 14 | 23) => "make the database file and its directory writable for this user",
        Some(11 | 26) => "restore the database file from a backup, or move it away to start anew",
        // Busy, locked, disk full, I/O errors, an exhausted pool: all can pass.
        _ => return StoreError::Unavailable { action, reason },
    };
    StoreError::Refused {
        action,
        reason,
        remedy,
    }
}
