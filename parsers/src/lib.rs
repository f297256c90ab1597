//! Bytes of a log stream in, trace records out: framing, envelopes and the `TRACE[id]` grammar.
//!
//! Owns the reading of logs. Refuses I/O, clocks, threads and logging: the caller hands in bytes and
//! takes records. Invariant: no bytes make it panic, its memory is bounded, and any chunking of the
//! same bytes gives the same records.
//!
//! The grammar is described in `docs/grammar.md`.

mod bytes;
mod decoder;
mod envelope;
mod error;
mod explain;
mod fields;
mod frame;
pub mod fuzzing;
mod glue;
mod header;
mod outlet;
mod payload;
mod quotes;
mod record;
mod rejoin;
mod stages;
mod text;
mod timestamp;
mod trace_line;
mod traceback;
mod values;

pub use bytes::every_byte;
pub use decoder::{Counts, Decoder, Limits};
pub use envelope::Form;
pub use error::{LineError, LineErrorKind};
pub use explain::{Explanation, FieldExplanation, PieceExplanation, Reading, explain};
pub use fields::{Fields, Value};
pub use record::{
    Body, Envelope, Phase, Precision, Record, Severity, Stream, Timestamp, TraceLine, Traceback,
};
pub use trace_line::parse_message;
