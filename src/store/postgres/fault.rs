//! Errors of Postgres and of the way to it, sorted by what can be done about them.

use std::io::ErrorKind;

use sqlx::postgres::PgDatabaseError;

use crate::store::StoreError;

/// What helps a table that is not as expected.
const COLUMNS: &str = "give it the columns that `beacon-collector migrate --dry-run` shows";

/// What helps where the server's certificate is not trusted.
const TLS: &str = "check sslmode and sslrootcert in the database URL";

/// What failed inside one attempt.
#[derive(Debug)]
pub(super) enum Fault {
    /// The driver or the server said so.
    Driver(sqlx::Error),
    /// The client gave up waiting; the connection is of no more use.
    Silence,
    /// Others use all connections, so many.
    Busy(usize),
    /// The table of others is not the one that rows are made for.
    Table(String),
}

impl From<sqlx::Error> for Fault {
    fn from(err: sqlx::Error) -> Self {
        Self::Driver(err)
    }
}

impl Fault {
    /// Whether the same transaction can succeed at once: it lost a race, or its connection. Writing is
    /// idempotent, so a commit whose answer was lost is simply done again.
    pub(super) fn is_race(&self) -> bool {
        match self {
            Self::Driver(sqlx::Error::Io(err)) => hangs_up(err),
            Self::Driver(err) => matches!(
                code(err),
                // Serialization failure, deadlock, administrator shutdown.
                Some("40001" | "40P01" | "57P01")
            ),
            Self::Silence | Self::Busy(_) | Self::Table(_) => false,
        }
    }

    /// Whether the connection must not be used again: it is dead, stands in an unknown place, or leads
    /// to a server that has become a replica.
    pub(super) fn spoils_connection(&self) -> bool {
        match self {
            Self::Silence => true,
            Self::Busy(_) | Self::Table(_) => false,
            Self::Driver(err) => match code(err) {
                Some(code) => {
                    matches!(code, "25006" | "25P02" | "57P01" | "57P02" | "57P03")
                        || self.is_outdated_statement()
                }
                None => true,
            },
        }
    }

    /// Whether a statement that the connection had prepared is of a table that has changed since.
    pub(super) fn is_outdated_statement(&self) -> bool {
        let Self::Driver(err) = self else {
            return false;
        };
        database_error(err).is_some_and(|err| err.routine() == Some("RevalidateCachedQuery"))
    }

    /// Whether the server may go on with a transaction that we have given up: it was not the one who
    /// ended it.
    pub(super) fn leaves_server_alone(&self) -> bool {
        match self {
            Self::Silence => true,
            Self::Busy(_) | Self::Table(_) => false,
            Self::Driver(err) => code(err).is_none(),
        }
    }

    /// Whether the database refuses the rows themselves: bad values, a constraint or trigger of the
    /// table's owner, a limit. A table whose columns have other types or more of them than expected
    /// is not the rows' fault.
    pub(super) fn is_refusal_of_rows(&self) -> bool {
        let Self::Driver(err) = self else {
            return false;
        };
        code(err).is_some_and(|code| {
            let class = ["22", "23", "54"]
                .iter()
                .any(|class| code.starts_with(class));
            (class || code == "P0001") && !is_mismatch(code)
        })
    }

    /// What the caller is told.
    pub(super) fn sort(&self, action: &'static str) -> StoreError {
        let err = match self {
            Self::Driver(err) => err,
            Self::Silence => {
                return StoreError::Unavailable {
                    action,
                    reason: "no answer in time".to_owned(),
                };
            }
            Self::Busy(connections) => {
                return StoreError::Unavailable {
                    action,
                    reason: format!("all {connections} connections are busy"),
                };
            }
            Self::Table(faults) => {
                return StoreError::Refused {
                    action,
                    reason: format!("the table public.trace_spans can't take our rows: {faults}"),
                    remedy: COLUMNS,
                };
            }
        };
        let reason = match database_error(err) {
            // Cancelled, as a rule by the limit on every statement.
            Some(err) if err.code() == "57014" => return StoreError::TooLong { action },
            Some(err) => format!("{} (SQLSTATE {})", err.message(), err.code()),
            None => err.to_string(),
        };
        // Asked again, it is prepared anew.
        let remedy = remedy(err).filter(|_| !self.is_outdated_statement());
        match remedy {
            Some(remedy) => StoreError::Refused {
                action,
                reason,
                remedy,
            },
            None => StoreError::Unavailable { action, reason },
        }
    }
}

fn database_error(err: &sqlx::Error) -> Option<&PgDatabaseError> {
    err.as_database_error()?.try_downcast_ref()
}

/// The SQLSTATE.
pub(super) fn code(err: &sqlx::Error) -> Option<&str> {
    Some(database_error(err)?.code())
}

/// Whether a login may have been refused for the settings it brings: neither the user, the database, a limit nor
/// the server's state was to blame. Some refuse by hanging up.
pub(super) fn is_refusal_of_settings(err: &sqlx::Error) -> bool {
    let others = ["28", "3D", "53", "57"];
    match (err, code(err)) {
        (_, Some(code)) => !others.iter().any(|class| code.starts_with(class)),
        (sqlx::Error::Io(err), None) => hangs_up(err),
        (err, None) => matches!(err, sqlx::Error::Protocol(_)),
    }
}

fn hangs_up(err: &std::io::Error) -> bool {
    matches!(
        err.kind(),
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
    )
}

/// Binary format refused, or a column without a default that nobody told us about.
fn is_mismatch(code: &str) -> bool {
    matches!(code, "22P03" | "22P04" | "23502")
}

/// What somebody has to change; `None` when waiting can help.
fn remedy(err: &sqlx::Error) -> Option<&'static str> {
    match err {
        sqlx::Error::Tls(_) => return Some(TLS),
        // What the TLS library thinks of a certificate comes as an error of the stream below it.
        sqlx::Error::Io(err) if err.kind() == ErrorKind::InvalidData => return Some(TLS),
        sqlx::Error::Configuration(_) => return Some("check the database URL"),
        _ => {}
    }
    let code = code(err)?;
    Some(match code {
        "28P01" | "28000" => "check user, password and the server's pg_hba.conf",
        "3D000" => "create the database, or correct its name in the URL",
        "42501" => "grant what `beacon-collector migrate --print-grants` lists",
        "42P01" | "3F000" | "42703" | "42883" => "run `beacon-collector migrate`",
        "0A000" => "use a server that supports it; Postgres 15 or newer",
        _ if code == "42804" || is_mismatch(code) => COLUMNS,
        _ => return None,
    })
}
