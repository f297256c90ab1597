//! Owns what holds for any bytes.
//! Refuses particular lines: see the fixtures.
//! Invariant: the generators favour the pieces that the grammar cares about.

use beacon_parsers::fuzzing;
use proptest::prelude::*;

/// Streams made of pieces that matter, torn and mixed.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "🔍 ", "TRACE[", "aaaa1111]: ", "SUCC", "ESS", "FAILED - ", "error=", "duration=1.5s",
            ", tokens=156", "started", "Traceback (most recent call last):\n", "ValueError: x\n",
            "2026-11-23 12:00:00+00:00 ", "fc-1 ", "ta-1 ", "ta-2 ", "\n", "\r", "\r\n", "\"", "'",
            "\\", "\x1b[0m", "{\"message\":\"", "\"}\n", "During handling of the above exception\n",
            "  File\n", "[DEBUG] x: ", " - ", ",", "<34>1 ", "stdout F ", "\u{9b}", "\x1b]",
        ]).prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => Just(vec![b'x'; 70]),
        1 => Just("🔍 TRACE[aaaa1111]: SUCCESS - duration=1.5s, tokens=156\n".as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn chunking_never_changes_lines(bytes in stream()) {
        fuzzing::framer(&bytes);
    }

    #[test]
    fn chunking_never_changes_records(bytes in stream()) {
        fuzzing::decoder(&bytes);
        fuzzing::traceback(&bytes);
    }

    #[test]
    fn no_bytes_make_a_grammar_panic(bytes in stream()) {
        fuzzing::envelope(&bytes);
        fuzzing::message(&bytes);
        fuzzing::payload(&bytes);
    }

    #[test]
    fn no_text_at_all_makes_a_grammar_panic(text in any::<String>()) {
        fuzzing::decoder(text.as_bytes());
        fuzzing::message(text.as_bytes());
        fuzzing::payload(text.as_bytes());
    }
}
