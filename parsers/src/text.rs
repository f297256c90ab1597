//! Owns the cleaning of a line: ANSI sequences and control characters go, tabs stay.
//! Refuses to judge content.
//! Invariant: the result holds no character below U+0020 but tab, and no C1 control.

use std::borrow::Cow;
use std::str::Chars;

use crate::bytes::every_byte;

const ESC: char = '\u{1b}';

/// Removes terminal control from a line; borrows when there is none.
pub(crate) fn clean(line: &str) -> Cow<'_, str> {
    if every_byte(line.as_bytes(), is_plain) {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    let mut strings_end = true;
    while let Some(c) = chars.next() {
        match c {
            ESC => skip_escape(&mut chars, &mut strings_end),
            '\u{9b}' => skip_csi(&mut chars),
            '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// 0xC2 leads the two-byte forms of the C1 controls (and of some printable Latin letters, which the
/// slow path keeps).
const fn is_plain(byte: u8) -> bool {
    (byte >= 0x20 || byte == b'\t') && byte != 0x7f && byte != 0xc2
}

/// `strings_end` remembers that a control string had no end in this line: then no later one has.
fn skip_escape(chars: &mut Chars<'_>, strings_end: &mut bool) {
    let mut ahead = chars.clone();
    match ahead.next() {
        Some('[') => {
            *chars = ahead;
            skip_csi(chars);
        }
        // OSC, DCS, SOS, PM and APC run to a string terminator or a bell.
        Some(']' | 'P' | 'X' | '^' | '_') if *strings_end => match behind_string(ahead) {
            Some(behind) => *chars = behind,
            None => *strings_end = false,
        },
        Some(']' | 'P' | 'X' | '^' | '_') => {}
        Some('(' | ')' | '*' | '+' | '#' | '%') => {
            ahead.next();
            *chars = ahead;
        }
        Some(c) if c.is_ascii_graphic() => *chars = ahead,
        _ => {}
    }
}

/// Parameters and intermediates, then one final character. What does not fit stays.
fn skip_csi(chars: &mut Chars<'_>) {
    let mut ahead = chars.clone();
    while let Some(c) = ahead.next() {
        match c {
            '\u{20}'..='\u{3f}' => {}
            '\u{40}'..='\u{7e}' => {
                *chars = ahead;
                return;
            }
            _ => return,
        }
    }
    *chars = ahead;
}

/// Where the text goes on behind a control string; `None` when the string never ends, because then
/// only its opening goes and the rest of the line stays readable.
fn behind_string(mut ahead: Chars<'_>) -> Option<Chars<'_>> {
    loop {
        match ahead.next()? {
            '\u{7}' | '\u{9c}' => return Some(ahead),
            ESC => {
                let mut terminator = ahead.clone();
                if terminator.next() == Some('\\') {
                    return Some(terminator);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn a_line_without_control_is_borrowed() {
        assert!(matches!(clean("a\tb 🔍"), std::borrow::Cow::Borrowed(_)));
    }

    #[test]
    fn colours_cursor_moves_and_titles_go() {
        assert_eq!(clean("\x1b[1;31mred\x1b[0m"), "red");
        assert_eq!(clean("\x1b[1A\x1b[2Kx"), "x");
        assert_eq!(clean("\x1b]0;title\x07x\x1b]8;;u\x1b\\y"), "xy");
        assert_eq!(clean("\u{9b}31mx"), "x");
    }

    #[test]
    fn other_control_characters_go_and_printable_latin_stays() {
        assert_eq!(clean("a\0b\x08c\x7fd\u{85}é µs"), "abcdé µs");
    }

    #[test]
    fn an_unfinished_sequence_costs_nothing_but_itself() {
        assert_eq!(clean("x\x1b]TRACE"), "x]TRACE");
        assert_eq!(clean("x\x1b"), "x");
        assert_eq!(clean("x\x1b[é"), "xé");
    }
}
