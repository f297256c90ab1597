//! Owns the cases in which a Python traceback follows a failure.
//! Refuses failures themselves.
//! Invariant: every traceback is attached to a container that failed, or dropped and counted.

use crate::support::{decode, decode_bytes, print};
use beacon_parsers::Decoder;
use insta::assert_snapshot;

const T: &str = "2026-11-23 12:00:00+00:00";

#[test]
fn a_traceback_with_a_prefix_on_each_line_ends_at_its_exception() {
    let log = format!(
        "{T} fc-1 ta-1 🔍 TRACE[aaaa1111]: FAILED - error=torch.OutOfMemoryError: CUDA, duration=2s\n\
         {T} fc-1 ta-1 Traceback (most recent call last):\n\
         {T} fc-1 ta-1   File \"/pkg/x.py\", line 318, in run\n\
         {T} fc-2 ta-2 noise of another container\n\
         {T} fc-1 ta-1     outputs = model.generate(\n\
         {T} fc-1 ta-1 torch.OutOfMemoryError: CUDA out of memory.\n\
         {T} fc-1 ta-1 [INFERENCE] next\n"
    );
    assert_snapshot!(decode(&log), @r#"
    1795435200000000/Second fc-1 ta-1 aaaa1111 Failed error="torch.OutOfMemoryError: CUDA" duration=2000000µs
    1795435200000000/Second fc-1 ta-1 traceback Some("torch.OutOfMemoryError") Some("CUDA out of memory.")
    Traceback (most recent call last):
      File "/pkg/x.py", line 318, in run
        outputs = model.generate(
    torch.OutOfMemoryError: CUDA out of memory.
    "#);
}

#[test]
fn chained_exceptions_are_one_traceback() {
    let log = "TRACE[aaaa1111]: FAILED - error=KeyError\n\
               Traceback (most recent call last):\n  File \"a.py\", line 1, in a\nKeyError: 'x'\n\n\
               During handling of the above exception, another exception occurred:\n\n\
               Traceback (most recent call last):\n  File \"b.py\", line 2, in b\nValueError: no x\nbye\n";
    assert_snapshot!(decode(log), @r#"
    aaaa1111 Failed error="KeyError"
    traceback Some("ValueError") Some("no x")
    Traceback (most recent call last):
      File "a.py", line 1, in a
    KeyError: 'x'

    During handling of the above exception, another exception occurred:

    Traceback (most recent call last):
      File "b.py", line 2, in b
    ValueError: no x
    "#);
}

#[test]
fn a_traceback_printed_straight_before_its_failure_belongs_to_it() {
    let log = format!(
        "{T} fc-1 ta-1 Traceback (most recent call last):\n{T} fc-1 ta-1   File \"a.py\"\n\
         {T} fc-1 ta-1 ValueError: y\n{T} fc-1 ta-1 [RETRY] giving up\n\
         {T} fc-1 ta-1 🔍 TRACE[aaaa1111]: FAILED - error=ValueError: y\n\
         Traceback (most recent call last):\nKeyError: 'z'\nTRACE[bbbb2222]: FAILED - error=KeyError\n\
         Traceback (most recent call last):\nKeyError: 'q'\nnoise\nTRACE[cccc3333]: SUCCESS\n"
    );
    assert_snapshot!(decode(&log), @r#"
    1795435200000000/Second fc-1 ta-1 aaaa1111 Failed error="ValueError: y"
    1795435200000000/Second fc-1 ta-1 traceback Some("ValueError") Some("y")
    Traceback (most recent call last):
      File "a.py"
    ValueError: y
    bbbb2222 Failed error="KeyError"
    traceback Some("KeyError") Some("'z'")
    Traceback (most recent call last):
    KeyError: 'z'
    traceback Some("KeyError") Some("'q'")
    Traceback (most recent call last):
    KeyError: 'q'
    cccc3333 Succeeded
    "#);
}

#[test]
fn a_traceback_without_a_failure_is_dropped_and_counted() {
    let log = format!(
        "{T} ta-1 🔍 TRACE[aaaa1111]: FAILED - error=E: x\n\
         {T} ta-2 Traceback (most recent call last):\n{T} ta-2   File\n{T} ta-2 ValueError: y\n\
         {T} ta-1 🔍 TRACE[bbbb2222]: Modal inference started - model=m\n\
         {T} ta-1 Traceback (most recent call last):\n{T} ta-1 ValueError: y\n"
    );
    let (records, counts) = decode_bytes(log.as_bytes());
    assert_eq!(
        (records.len(), counts.tracebacks, counts.tracebacks_dropped),
        (2, 0, 2)
    );
}

#[test]
fn a_trace_line_of_the_same_container_ends_an_open_traceback() {
    let log = format!(
        "{T} ta-1 🔍 TRACE[aaaa1111]: FAILED - error=E: x\n{T} ta-1 Traceback (most recent call last):\n\
         {T} ta-1   File \"a.py\", line 1\n{T} ta-1 🔍 TRACE[bbbb2222]: Modal inference started - model=m\n"
    );
    assert_snapshot!(decode(&log), @r#"
    1795435200000000/Second ta-1 aaaa1111 Failed error="E: x"
    1795435200000000/Second ta-1 traceback None None truncated
    Traceback (most recent call last):
      File "a.py", line 1
    1795435200000000/Second ta-1 bbbb2222 started<Modal inference> model="m"
    "#);
}

#[test]
fn an_open_traceback_holds_the_resume_offset_at_its_failure_but_not_for_ever() {
    let mut decoder = Decoder::new();
    let mut records = Vec::new();
    let log = format!(
        "{T} ta-1 x\n{T} ta-1 🔍 TRACE[aaaa1111]: FAILED - error=E: x\n{T} ta-1 Traceback (most recent call last):\n"
    );
    decoder.push(log.as_bytes(), &mut |record| records.push(print(&record)));
    assert_eq!((records.len(), decoder.resume_offset()), (1, 33));
    let rest = format!("{T} ta-1   File\n").repeat(300);
    decoder.push(rest.as_bytes(), &mut |record| records.push(print(&record)));
    assert_eq!(
        (records.len(), decoder.resume_offset()),
        (2, (log.len() + rest.len()) as u64)
    );
}
