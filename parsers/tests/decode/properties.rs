//! Owns what holds for any bytes.
//! Refuses particular lines: see the fixtures.
//! Invariant: the generators favour the pieces that the grammar cares about.

use beacon_parsers::fuzzing;
use proptest::prelude::*;

use crate::support::decode_bytes;

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

/// A log of whole lines, of which some are read from a copy and some are followed by a traceback; and how many trace
/// lines are in it, numbered by their ids.
fn numbered() -> impl Strategy<Value = (String, usize)> {
    let forms = prop::collection::vec(0..40_u8, 0..120);
    forms.prop_map(|forms| {
        let (mut log, mut number) = (String::new(), 0_usize);
        let mut line = || {
            number += 1;
            format!("🔍 TRACE[{number:08x}]: SUCCESS - duration=1.5s")
        };
        for form in forms {
            log += &match form {
                0 => format!("\x1b[32m{}\x1b[0m\n", line()),
                1 => format!("{{\"message\":\"{}\\u0020\"}}\n", line()),
                2 => format!("{}{}\n", line(), line()),
                3 => {
                    let failed = line().replace("SUCCESS", "FAILED");
                    let traceback = "Traceback (most recent call last):";
                    format!("ta-1 {failed}\nta-1 {traceback}\nta-1   File x\nta-1 ValueError: x\n")
                }
                _ => format!("ta-1 {}\nnoise\n", line()),
            };
        }
        (log, number)
    })
}

proptest! {
    #[test]
    fn trace_lines_come_out_in_their_order((log, lines) in numbered()) {
        let (records, counts) = decode_bytes(log.as_bytes());
        prop_assert_eq!(counts.trace_lines, lines as u64);
        let ids = records.iter().filter(|record| !record.contains("traceback ")).map(|record| {
            record.split_whitespace().find(|word| usize::from_str_radix(word, 16).is_ok() && word.len() == 8)
        });
        let ids: Vec<_> = ids.map(|id| id.map(str::to_owned)).collect();
        let expected: Vec<_> = (1..=lines).map(|number| Some(format!("{number:08x}"))).collect();
        prop_assert_eq!(ids, expected);
        prop_assert_eq!(counts.tracebacks, log.matches("FAILED").count() as u64);
    }

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
