//! Owns the decision where a trace header stands and where `TRACE[` is only quoted.
//! Refuses to parse the header itself.
//! Invariant: nothing inside quotes or after prose is a header; see `docs/grammar.md` for the rule.

use memchr::memmem;

use crate::trace_line::MARKER;

/// More than any logger prints before its message.
const PREFIX_MAX: usize = 256;
/// A line that mentions the marker more often than this is about markers.
const MENTIONS_MAX: usize = 8;

/// Where the header of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// `TRACE[` stands here, as a header can.
    At(usize),
    /// `TRACE[` stands here, but quoted.
    Quoted(usize),
    /// `TRACE[` does not occur.
    Absent,
}

/// Finds the first place in the message at which a header can stand.
pub(crate) fn find(message: &str) -> Header {
    let direct = message.strip_prefix("🔍 ").unwrap_or(message);
    if direct.starts_with(MARKER) {
        return Header::At(message.len() - direct.len());
    }
    let mut first = None;
    for at in memmem::find_iter(message.as_bytes(), MARKER).take(MENTIONS_MAX) {
        let prefix = message.get(..at).unwrap_or("");
        if can_precede(without_glyph(prefix)) {
            return Header::At(at);
        }
        first.get_or_insert(at);
        if prefix.len() > PREFIX_MAX {
            break;
        }
    }
    first.map_or(Header::Absent, Header::Quoted)
}

/// Cuts the magnifying glass, and the blanks around it, off the end of what precedes a header.
pub(crate) fn without_glyph(prefix: &str) -> &str {
    prefix
        .trim_end()
        .trim_end_matches('\u{fe0f}')
        .trim_end_matches(['🔍', '🔎'])
        .trim_end()
}

/// What one word of a prefix looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Separator,
    Tag,
    Level,
    Time,
    Machine,
    Word,
}

/// Whether everything before a header is such as machines write: tags, levels, times, logger names,
/// `key=value`, separators. One plain word is allowed as a host or program name, directly behind a
/// time or, when a separator follows, behind a level.
pub(crate) fn can_precede(prefix: &str) -> bool {
    if prefix.len() > PREFIX_MAX {
        return false;
    }
    let (mut rest, mut last) = (
        prefix.trim_start_matches(['\u{feff}', ' ', '\t']),
        Token::Separator,
    );
    let mut needs_separator = false;
    while !rest.is_empty() {
        let Some((token, tail)) = next_token(rest) else {
            return false;
        };
        if token == Token::Word {
            if !matches!(last, Token::Time | Token::Level) {
                return false;
            }
            needs_separator = last == Token::Level;
        } else if token == Token::Separator {
            needs_separator = false;
        }
        last = token;
        rest = tail.trim_start();
    }
    !needs_separator
}

fn next_token(text: &str) -> Option<(Token, &str)> {
    let first = text.chars().next()?;
    let close = match first {
        '"' | '\'' | '`' | '“' | '‘' | '«' => return None,
        '[' => Some(']'),
        '(' => Some(')'),
        '<' => Some('>'),
        _ => None,
    };
    if let Some(close) = close {
        let end = text.find(close)?;
        let inside = text.get(1..end)?;
        if inside.contains(['"', '\'', '`', '[', '(']) {
            return None;
        }
        let tail = text.get(end + 1..)?;
        return Some((Token::Tag, tail.strip_prefix([':', ',']).unwrap_or(tail)));
    }
    let end = text.find([' ', '\t', '[', '(', '|']).filter(|end| *end > 0);
    let end = end.unwrap_or(if first == '|' { 1 } else { text.len() });
    let (word, tail) = text.split_at_checked(end)?;
    match tail
        .strip_prefix('[')
        .and_then(|inside| inside.split_once(']'))
    {
        // `worker[123]:`
        Some((pid, tail)) if pid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') => {
            classify(word)?;
            Some((Token::Machine, tail.strip_prefix(':').unwrap_or(tail)))
        }
        _ => Some((classify(word)?, tail)),
    }
}

fn classify(word: &str) -> Option<Token> {
    if word.contains(['"', '\'', '`']) {
        return None;
    }
    if !word.contains(char::is_alphanumeric) {
        return Some(Token::Separator);
    }
    let bare = word.trim_end_matches([':', ',']);
    if is_level(bare) {
        return Some(Token::Level);
    }
    if is_time(bare) {
        return Some(Token::Time);
    }
    if is_machine(word, bare) {
        return Some(Token::Machine);
    }
    if word.len() == bare.len() + 1 && word.ends_with(':') {
        return if introduces_quote(bare) {
            None
        } else {
            Some(Token::Machine)
        };
    }
    (bare.len() == word.len() && bare.bytes().all(|b| b.is_ascii_alphanumeric()))
        .then_some(Token::Word)
}

fn is_level(word: &str) -> bool {
    const LEVELS: [&str; 14] = [
        "trace", "debug", "info", "notice", "warn", "warning", "error", "err", "critical", "crit",
        "fatal", "inf", "stdout", "stderr",
    ];
    LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level))
}

fn is_time(word: &str) -> bool {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let numeric = word.starts_with(|c: char| c.is_ascii_digit() || c == '+')
        && word
            .bytes()
            .all(|b| b.is_ascii_digit() || b"-:.,/TZ+".contains(&b));
    numeric || MONTHS.contains(&word)
}

/// Names that no prose has: `worker.py:12`, `INFO:root:`, `pod-7f9c`, `level=info`, `a/b`, `my_app`.
fn is_machine(word: &str, bare: &str) -> bool {
    if let Some((key, _)) = word.split_once('=') {
        return key.bytes().all(crate::payload::is_key_byte);
    }
    let named = bare
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_.-:/@#$+~".contains(&b));
    named
        && !bare.ends_with('.')
        && bare
            .bytes()
            .any(|b| b.is_ascii_digit() || b"_.:/@".contains(&b))
}

/// Words that, with a colon, introduce what somebody said.
fn introduces_quote(word: &str) -> bool {
    const INTRODUCE: [&str; 24] = [
        "response",
        "answer",
        "output",
        "prompt",
        "result",
        "text",
        "content",
        "reply",
        "completion",
        "example",
        "said",
        "says",
        "user",
        "assistant",
        "system",
        "question",
        "quote",
        "input",
        "message",
        "generated",
        "see",
        "like",
        "line",
        "q",
    ];
    INTRODUCE
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
}
