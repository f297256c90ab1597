//! Owns the error of the trace grammar: what was wrong and at which byte of the message.
//! Refuses to describe lines that merely are not trace lines in a stream: the decoder counts those.
//! Invariant: `offset` always lies within the message, on a character boundary.

use serde::Serialize;
use thiserror::Error;

/// Why a message is no trace line, and where that shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, Serialize)]
#[error("{kind} at byte {offset}")]
pub struct LineError {
    /// What was wrong.
    pub kind: LineErrorKind,
    /// Byte offset in the message at which it was found.
    pub offset: usize,
}

/// The ways in which a message fails to be a trace line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineErrorKind {
    /// `TRACE[` does not occur.
    #[error("no trace header")]
    NoHeader,
    /// `TRACE[` occurs only inside quotes or after prose.
    #[error("trace header is only quoted")]
    Quoted,
    /// The id has fewer than four characters.
    #[error("trace id shorter than 4 characters")]
    IdTooShort,
    /// The id has more than sixty-four characters.
    #[error("trace id longer than 64 characters")]
    IdTooLong,
    /// The id holds a character that is neither a letter, a digit, `_` nor `-`.
    #[error("character not allowed in a trace id")]
    IdCharacter,
    /// The message ends inside the id.
    #[error("trace id without closing bracket")]
    UnclosedId,
    /// No colon follows the closing bracket.
    #[error("no colon after the trace id")]
    MissingColon,
    /// Nothing follows the colon.
    #[error("nothing after the trace id")]
    Empty,
}

impl LineError {
    pub(crate) const fn new(kind: LineErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }
}
