//! Owns the fuzzing of tracebacks: what follows a failure, in any chunking.
//! Refuses expectations of its own: the entry point, which unit tests call too, holds them.
//! Invariant: one input, one call.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| beacon_parsers::fuzzing::traceback(bytes));
