//! Owns the entry points that fuzz targets and unit tests share.
//! Refuses expectations about content: only that nothing panics and that chunking changes nothing.
//! Invariant: ordinary functions, so that a crash found by fuzzing is replayed by a test.

use crate::decoder::{Counts, Decoder, Limits};
use crate::frame::{Framer, Want};

/// Frames bytes in one piece and in pieces of the sizes that the first bytes name, and compares.
///
/// # Panics
/// When the two differ.
pub fn framer(bytes: &[u8]) {
    let (sizes, stream) = bytes.split_at(bytes.len().min(4));
    let whole = framed(stream, &[stream.len().max(1)]);
    let sizes: Vec<usize> = sizes
        .iter()
        .map(|size| usize::from(*size) % 19 + 1)
        .collect();
    assert_eq!(whole, framed(stream, &sizes), "chunking changed the lines");
}

type Framed = (Vec<(String, u64, u64)>, crate::frame::FrameCounts, u64);

fn framed(stream: &[u8], sizes: &[usize]) -> Framed {
    let mut framer = Framer::new(64, Want::Every);
    let mut lines = Vec::new();
    let mut visit = |line: crate::frame::Line<'_>| {
        lines.push((line.text.into_owned(), line.start, line.end));
        Want::Every
    };
    for chunk in chunks(stream, sizes) {
        framer.push(chunk, &mut visit);
    }
    framer.finish(&mut visit);
    (lines, *framer.counts(), framer.line_start())
}

/// Decodes bytes in one piece and in several, and compares.
///
/// # Panics
/// When the two differ.
pub fn decoder(bytes: &[u8]) {
    let (sizes, stream) = bytes.split_at(bytes.len().min(4));
    let whole = decoded(stream, &[stream.len().max(1)]);
    let sizes: Vec<usize> = sizes
        .iter()
        .map(|size| usize::from(*size) % 61 + 1)
        .collect();
    assert_eq!(
        whole,
        decoded(stream, &sizes),
        "chunking changed the records"
    );
}

fn decoded(stream: &[u8], sizes: &[usize]) -> (Vec<String>, Counts, u64) {
    let mut decoder = Decoder::with_limits(Limits {
        max_line_bytes: 512,
    });
    let mut records = Vec::new();
    let mut sink = |record: crate::Record<'_>| records.push(format!("{record:?}"));
    for chunk in chunks(stream, sizes) {
        decoder.push(chunk, &mut sink);
    }
    decoder.finish(&mut sink);
    (records, *decoder.counts(), decoder.resume_offset())
}

fn chunks<'a>(mut stream: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    sizes.iter().cycle().map_while(move |size| {
        let (chunk, rest) = stream.split_at(stream.len().min(*size));
        stream = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Decodes bytes as what follows a failure and the first line of a traceback.
///
/// # Panics
/// When chunking makes a difference.
pub fn traceback(bytes: &[u8]) {
    let (sizes, rest) = bytes.split_at(bytes.len().min(4));
    let head = b"TRACE[aaaa1111]: FAILED\nTraceback (most recent call last):\n";
    decoder(&[sizes, &[0; 4][sizes.len()..], head, rest].concat());
}

/// Opens the envelope of any text.
pub fn envelope(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let cleaned = crate::text::clean(&text);
    std::hint::black_box(crate::envelope::open(&cleaned));
}

/// Reads any text as a message of the trace grammar, and explains it.
///
/// # Panics
/// When an error's offset lies outside the message.
pub fn message(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(error) = crate::parse_message(&text) {
        assert!(
            error.offset <= text.len(),
            "offset {} of {}",
            error.offset,
            text.len()
        );
    }
    std::hint::black_box(crate::explain(bytes).to_string());
}

/// Reads any text as a payload.
pub fn payload(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    std::hint::black_box(crate::payload::read(&text, "message"));
}
