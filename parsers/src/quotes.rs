//! Owns the walk over a line's quoted parts.
//! Refuses quotes that nothing closes: those are apostrophes or cut text.
//! Invariant: asking for rising positions costs time linear in the line.

use crate::payload::{closing_quote, opens_quote};

/// Tells whether positions of a text lie inside quotes.
pub(crate) struct Quotes<'a> {
    bytes: &'a [u8],
    /// Everything before this has been looked at.
    at: usize,
    /// The last quoted part that was found.
    open: usize,
    close: usize,
    /// A kind of quote that finds no partner finds none further on either.
    single_left: bool,
    double_left: bool,
}

impl<'a> Quotes<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            at: 0,
            open: 0,
            close: 0,
            single_left: true,
            double_left: true,
        }
    }

    /// Whether the position is inside quotes. Positions may not fall from call to call.
    pub(crate) fn cover(&mut self, position: usize) -> bool {
        while self.at < position {
            let found = self
                .bytes
                .get(self.at..position)
                .and_then(|part| memchr::memchr2(b'"', b'\'', part));
            let Some(found) = found else {
                self.at = position;
                break;
            };
            self.step(self.at + found);
        }
        self.open < position && position <= self.close
    }

    fn step(&mut self, quote: usize) {
        self.at = quote + 1;
        let left = if self.bytes.get(quote) == Some(&b'"') {
            &mut self.double_left
        } else {
            &mut self.single_left
        };
        if !*left || !opens_quote(self.bytes, quote) {
            return;
        }
        match closing_quote(self.bytes, quote) {
            Some(close) => {
                (self.open, self.close) = (quote, close);
                self.at = close + 1;
            }
            None => *left = false,
        }
    }
}
