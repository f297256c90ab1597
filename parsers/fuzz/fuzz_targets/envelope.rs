//! Owns the fuzzing of the envelope grammars.
//! Refuses expectations of its own: the entry point, which unit tests call too, holds them.
//! Invariant: one input, one call.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| beacon_parsers::fuzzing::envelope(bytes));
