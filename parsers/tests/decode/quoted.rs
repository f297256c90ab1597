//! Owns the cases in which `TRACE[` is only quoted, and those in which it merely looks so.
//! Refuses payloads: see the grammar's own tests.
//! Invariant: no quoted id ever becomes a record.

use crate::support::{decode, decode_bytes};
use insta::assert_snapshot;

const QUOTED: [&str; 14] = [
    "[DEBUG] Full response: '… TRACE[deadbeef]: SUCCESS …'",
    "[DEBUG] Full response: TRACE[deadbeef]: SUCCESS",
    "[DEBUG] response: TRACE[deadbeef]: SUCCESS",
    "Explain \"TRACE[deadbeef]: SUCCESS\"",
    "Explain TRACE[deadbeef]: SUCCESS",
    "[DEBUG] Extracted response: '🔍 TRACE[deadbeef]: FAILED - error=NotAnError: x'",
    "[DEBUG] Extracted response: 'TRACE[deadbeef]: FAILED - error=NotAnError: x'",
    "[DEBUG] Full response: 'In the log you would see: 🔍 TRACE[deadbeef]: SUCCESS - duration=0.01s and then nothing.'",
    "In the log you would see: 🔍 TRACE[deadbeef]: SUCCESS - duration=0.01s",
    "'TRACE[deadbeef]: SUCCESS'",
    "`TRACE[deadbeef]: SUCCESS`",
    "[METRICS] {\"last\": \"TRACE[deadbeef]: SUCCESS\"}",
    "Answer: TRACE[deadbeef]: SUCCESS",
    "[DEBUG] Full response: 'x 2026-11-23 12:00:00+00:00 fc-1 ta-1 🔍 TRACE[deadbeef]: SUCCESS - tokens=1\\n'",
];

#[test]
fn what_only_quotes_a_trace_line_is_none() {
    for prefix in [
        "",
        "2026-11-23 12:00:00+00:00 fc-2 ta-2 ",
        "2026-11-23T12:00:00.000Z ",
    ] {
        for line in QUOTED {
            let (records, counts) = decode_bytes(format!("{prefix}{line}\n").as_bytes());
            assert_eq!(records, Vec::<String>::new(), "{prefix}{line}");
            assert_eq!(counts.quoted, 1, "{prefix}{line}");
        }
    }
}

#[test]
fn a_header_behind_a_machine_written_prefix_is_one() {
    for line in [
        "[2025-01-01 10:00:00,123] INFO worker.py:12 - 🔍 TRACE[ab12cd34]: SUCCESS",
        "INFO:root:TRACE[ab12cd34]: SUCCESS",
        "INFO:root: 🔍 TRACE[ab12cd34]: SUCCESS",
        "INFO worker - 🔍 TRACE[ab12cd34]: SUCCESS",
        "worker: 🔍 TRACE[ab12cd34]: SUCCESS",
        "worker[123]: 🔍 TRACE[ab12cd34]: SUCCESS",
        "web-1  | 🔍 TRACE[ab12cd34]: SUCCESS",
        "level=info ts=123 🔍 TRACE[ab12cd34]: SUCCESS",
        "\u{feff}🔍 TRACE[ab12cd34]: SUCCESS",
        "   \t🔍 TRACE[ab12cd34]: SUCCESS",
        "🔍TRACE[ab12cd34]: SUCCESS",
        "🔎 TRACE[ab12cd34]: SUCCESS",
        "? TRACE[ab12cd34]: SUCCESS",
        "TRACE[AB12CD34]: SUCCESS",
        "\x1b[32m🔍 \x1b[1mTRACE\x1b[0m[\x1b[33mab12cd34\x1b[0m]: SUCCESS\x1b[0m",
        "2025-01-01 10:00:00,123 - app.worker - INFO - 🔍 TRACE[ab12cd34]: SUCCESS",
        "(MainThread) [worker-3] 🔍 TRACE[ab12cd34]: SUCCESS",
        "[12:00:00] prod-eu-1 🔍 TRACE[ab12cd34]: SUCCESS",
    ] {
        let records = decode(&format!("{line}\n"));
        assert!(records.ends_with("ab12cd34 Succeeded"), "{line}: {records}");
    }
}

#[test]
fn a_header_that_follows_a_quoted_tag_is_found() {
    assert_snapshot!(decode("[INFO] TRACE[nope TRACE[ab12cd34]: SUCCESS\n"), @"");
}
