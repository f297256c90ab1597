//! What Modal's tools say beside log lines: on stderr why they ended or reconnect, and in the log
//! that lines were dropped.

/// What to do about an end, from what the tool said last.
pub(in crate::source) fn explain(stderr: &str, app: &str) -> String {
    // Up to 1.5 errors stand in a box that is wrapped at 80 columns.
    let words: Vec<&str> = stderr
        .split(|c: char| c.is_whitespace() || "│╭╮╰╯─".contains(c))
        .filter(|word| !word.is_empty())
        .collect();
    let text = words.join(" ");
    let lower = text.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    if says(&[
        "token missing",
        "could not authenticate",
        "token validation",
        "unauthenticated",
        "token id",
    ]) {
        return "not logged in to Modal; run `modal setup` as this user, or set MODAL_TOKEN_ID and \
                MODAL_TOKEN_SECRET"
            .to_owned();
    }
    if says(&[
        "no app with name",
        "could not find a deployed app",
        "lookup failed",
    ]) || (lower.contains("app") && lower.contains("not found"))
    {
        return format!(
            "Modal knows no app {app} in this environment; `modal app list` names them, \
             modal:APP@ENVIRONMENT chooses another environment"
        );
    }
    if says(&["no such option", "no such command", "unexpected keyword"]) {
        return "the installed modal has not the flags that are needed; upgrade it with \
                `pip install -U modal`"
            .to_owned();
    }
    let at = text.rfind("Error").unwrap_or_default();
    text.get(at..)
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect()
}

/// Whether a window holds more than can be fetched at once.
pub(super) fn is_too_much(stderr: &str) -> bool {
    stderr.to_lowercase().contains("too many logs")
}

/// Whether a line of stderr tells of a silent reconnection.
pub(super) fn is_reconnection(line: &str) -> bool {
    line.contains("Retrying")
}

/// Finds notices of the platform that it dropped lines. What a function prints about rate limits of
/// its own is none: the platform's lines belong to no function call.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// The line that has not ended.
    line: Vec<u8>,
}

/// Bytes of an unfinished line that are kept; notices are short.
const MAX_LINE: usize = 4096;

impl Notices {
    /// Reads on; the number of notices.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        let mut found = 0;
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let last = lines.next_back().unwrap_or_default();
        for line in lines {
            if self.line.is_empty() {
                found += usize::from(is_notice(line));
            } else {
                self.line.extend_from_slice(line);
                found += usize::from(is_notice(&self.line));
                self.line.clear();
            }
        }
        let room = MAX_LINE.saturating_sub(self.line.len());
        self.line
            .extend_from_slice(last.get(..last.len().min(room)).unwrap_or_default());
        found
    }

    /// The line that has not ended.
    pub(super) fn unfinished(&self) -> &[u8] {
        &self.line
    }
}

fn is_notice(line: &[u8]) -> bool {
    const MARKS: [&[u8]; 2] = [b"ate limit", b"ate-limit"];
    let has = |mark: &[u8]| line.windows(mark.len()).any(|window| window == mark);
    if line.len() > MAX_LINE || !MARKS.iter().any(|mark| has(mark)) {
        return false;
    }
    let text = String::from_utf8_lossy(line).to_lowercase();
    let of_a_call = text.contains(" fc-") || text.contains("\"function_call_id\":\"fc-");
    !of_a_call && text.contains("log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_errors_come_with_a_remedy_whatever_their_layout() {
        let boxed =
            "╭─ Error ───╮\n│ Token missing. Could not      │\n│ authenticate client.  │\n╰───╯";
        assert!(explain(boxed, "x").contains("modal setup"));
        let unknown = "Error: No App with name 'x' found in the 'main' environment.";
        assert!(explain(unknown, "x").contains("modal app list"));
        assert!(explain("Error: No such option: -f", "x").contains("upgrade"));
        let other = "[modal-client] debug\nError: [Errno 111] Connect call failed";
        assert_eq!(
            explain(other, "x"),
            "Error: [Errno 111] Connect call failed"
        );
    }

    #[test]
    fn a_notice_of_the_platform_is_found_across_pieces_and_a_functions_own_words_are_not() {
        let mut notices = Notices::default();
        assert_eq!(notices.read(b"2026-11-23 12:00:00+00:00 ta-1 Log ra"), 0);
        assert_eq!(notices.read(b"te limit exceeded, dropping\nnext"), 1);
        assert_eq!(notices.unfinished(), b"next");
        let own = b"\n2026-11-23 12:00:00+00:00 fc-1 ta-1 API rate limit, see log\n";
        assert_eq!(notices.read(own), 0);
    }
}
