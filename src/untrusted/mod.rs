//! What may be kept of log text. It is written by models and strangers and read by people's terminals
//! and by language models, so control characters go, secrets are taken out and length is capped:
//! before anything is stored, and again before it is shown.

#[cfg(test)]
mod corpus;
mod redact;

use std::borrow::Cow;

pub use redact::{FORM_NAMES, Redaction, configure};

/// Longest error message, step or payload value kept, in bytes.
pub const MAX_TEXT: usize = 4 * 1024;
/// Longest traceback kept, in bytes.
pub const MAX_TRACEBACK: usize = 16 * 1024;

/// Every form of secret of ours that is not longer than this holds a `:` or a `=`.
const HARMLESS: usize = 18;

/// A copy of `text` without secrets, control and invisible characters (line feeds and tabs stay), cut
/// to `max` bytes with a mark that says so.
pub fn clean(text: &str, max: usize) -> String {
    cleaned(text, max).into_owned()
}

/// The same, borrowed where nothing has to change.
pub fn cleaned(text: &str, max: usize) -> Cow<'_, str> {
    let short = text.len() <= HARMLESS.min(max) && !redact::has_own_forms();
    if short && text.bytes().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    // A little more than is kept, so that a secret at the cut is seen whole.
    let seen = text
        .get(..text.floor_char_boundary(max.saturating_add(1024)))
        .unwrap_or(text);
    let visible: Cow<'_, str> = if seen.chars().any(is_invisible) {
        seen.chars()
            .filter(|character| !is_invisible(*character))
            .collect()
    } else {
        seen.into()
    };
    let fits = seen.len() == text.len();
    let kept = match visible {
        Cow::Borrowed(text) => redact::redact(text),
        Cow::Owned(text) => Cow::Owned(redact::redact(&text).into_owned()),
    };
    if kept.len() <= max && fits {
        return kept;
    }
    let cut = kept.floor_char_boundary(max);
    let more = kept.len() - cut + text.len() - seen.len();
    format!("{}… ({more} bytes more)", kept.get(..cut).unwrap_or(&kept)).into()
}

/// Visible, and neither the `:` nor the `=` that stands before a short secret.
fn is_harmless(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b':' | b'=')
}

/// Control characters, and characters that reorder or hide text or carry hidden text along: bidirectional
/// marks and overrides, zero-width characters, fillers, variation selectors, tags.
fn is_invisible(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' => {
            true
        }
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => true,
        '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' => true,
        '\u{e0000}'..='\u{e0fff}' => true,
        _ => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_invisible_characters_go_and_other_text_stays() {
        assert_eq!(
            clean("a\u{1b}[31mb\u{0}\u{202e}c\td\n天安门", 100),
            "a[31mbc\td\n天安门"
        );
        let hidden = "\u{61c}\u{200b}\u{34f}\u{3164}\u{fe0f}\u{e0041}\u{e0101}\u{180e}";
        assert_eq!(clean(&format!("a{hidden}b"), 100), "ab");
    }

    #[test]
    fn a_short_text_is_cleaned_like_a_long_one() {
        assert_eq!(clean("ab\u{1b}c", 100), "abc");
        assert_eq!(clean("pwd=abc1", 100), "pwd=[redacted]");
        assert_eq!(clean("abcdef", 3), "abc… (3 bytes more)");
    }

    #[test]
    fn long_text_is_cut_at_a_character_and_says_so() {
        assert_eq!(clean("天安门", 7), "天安… (3 bytes more)");
    }
}
