//! What may be kept of log text. It is written by models and strangers and read by people's terminals
//! and by language models, so control characters go, secrets are taken out and length is capped:
//! before anything is stored, and again before it is shown.

mod redact;

use std::borrow::Cow;

/// Longest error message, step or payload value kept, in bytes.
pub const MAX_TEXT: usize = 4 * 1024;
/// Longest traceback kept, in bytes.
pub const MAX_TRACEBACK: usize = 16 * 1024;

/// A copy of `text` without secrets, control and invisible characters (line feeds and tabs stay), cut
/// to `max` bytes with a mark that says so.
pub fn clean(text: &str, max: usize) -> String {
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
    let kept = redact::redact(&visible);
    if kept.len() <= max && seen.len() == text.len() {
        return kept.into_owned();
    }
    let cut = kept.floor_char_boundary(max);
    let more = kept.len() - cut + text.len() - seen.len();
    format!("{}… ({more} bytes more)", kept.get(..cut).unwrap_or(&kept))
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
    fn long_text_is_cut_at_a_character_and_says_so() {
        assert_eq!(clean("天安门", 7), "天安… (3 bytes more)");
    }
}
