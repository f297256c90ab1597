//! Owns the behaviour of the decoder as its callers see it: bytes in, records out.
//! Refuses to look inside: what only one module does is tested there.
//! Invariant: every fixture is decoded in one piece and byte by byte, with the same result.

mod cut;
mod glued;
mod grammar;
mod properties;
mod quoted;
mod support;
mod tracebacks;
mod wrapped;
