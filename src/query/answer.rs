//! An answer as it leaves the program: one JSON text, the same for the command line, REST and MCP.
//!
//! Invariants: no string in it carries control or invisible characters or a secret that could be
//! recognised, it is no longer than its cap unless a single element already is, and what was left out
//! is counted under `truncated` with the cursor that fetches the rest.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::QueryError;
use crate::untrusted;

/// Bytes of an answer for which nothing else was said: what a language model can read with profit.
pub const DEFAULT_CAP: usize = 24 * 1024;
/// Longest text in an answer that had to be cut.
const SHORT_TEXT: usize = 300;
/// Bytes of the shortest element a list has.
const LEAST_ELEMENT: usize = 8;
/// Room for the note about what was left out.
const NOTE_ROOM: usize = 700;

/// A sealed answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    value: Value,
    text: String,
}

/// Where a list that is handed out in pieces stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    /// Elements before the first that is listed.
    pub offset: usize,
    /// Elements in all; absent when the list in the report is all of it from `offset` on.
    pub total: Option<usize>,
}

impl Page {
    /// The page that a cursor of [`Answer::seal`] stands for.
    pub fn at(cursor: Option<&str>, list: &'static str) -> Result<Self, QueryError> {
        let Some(cursor) = cursor else {
            return Ok(Self::default());
        };
        let offset = cursor
            .strip_prefix(list)
            .and_then(|rest| rest.strip_prefix('@'))
            .and_then(|offset| offset.parse().ok());
        let offset = offset.ok_or_else(|| QueryError::Argument {
            argument: "cursor",
            value: untrusted::clean(cursor, 80),
            reason: "expected the next_cursor of an earlier answer of the same tool".to_owned(),
        })?;
        Ok(Self {
            offset,
            total: None,
        })
    }
}

impl Answer {
    /// Seals a report: cleans every text, and cuts it to `cap` bytes. `list` names the field whose
    /// elements a cursor goes through, with the page that is asked for.
    pub fn seal<T: Serialize>(report: &T, list: &str, page: Page, cap: usize) -> Self {
        // A report is plain data; that it can't be written as JSON would be a defect of its type.
        let mut value = serde_json::to_value(report)
            .unwrap_or_else(|error| json!({ "error": error.to_string() }));
        match &mut value {
            Value::Object(map) => fit(map, list, page, cap),
            value => {
                purify(value);
            }
        }
        let text = value.to_string();
        Self { value, text }
    }

    /// The answer as JSON text, without a line feed at its end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many elements of a list it holds.
    pub(super) fn listed(&self, list: &str) -> usize {
        let items = self.value.get(list).and_then(Value::as_array);
        items.map_or(0, Vec::len)
    }

    /// The answer as a value and the same as text.
    pub fn into_parts(self) -> (Value, String) {
        (self.value, self.text)
    }
}

/// Cleans every string, wherever it stands. Says whether that changed any.
fn purify(value: &mut Value) -> bool {
    match value {
        Value::String(text) => match untrusted::cleaned(text, untrusted::MAX_TRACEBACK) {
            Cow::Owned(clean) => {
                *text = clean;
                true
            }
            Cow::Borrowed(_) => false,
        },
        Value::Array(items) => items.iter_mut().filter_map(changed).count() > 0,
        Value::Object(map) => purify_map(map),
        _ => false,
    }
}

/// For counting: all have to be looked at, whatever the first one says.
fn changed(value: &mut Value) -> Option<()> {
    purify(value).then_some(())
}

fn purify_map(map: &mut Map<String, Value>) -> bool {
    // Keys come out of payloads too.
    let cleaned = |key: &String| match untrusted::cleaned(key, untrusted::MAX_TRACEBACK) {
        Cow::Owned(clean) => Some((key.clone(), clean)),
        Cow::Borrowed(_) => None,
    };
    let strange: Vec<(String, String)> = map.keys().filter_map(cleaned).collect();
    let renamed = !strange.is_empty();
    for (key, clean) in strange {
        if let Some(value) = map.remove(&key) {
            map.insert(clean, value);
        }
    }
    map.values_mut().filter_map(changed).count() > 0 || renamed
}

/// Cleans an answer and cuts it until it fits.
fn fit(map: &mut Map<String, Value>, list: &str, page: Page, cap: usize) {
    let mut lists = Lists::of(map);
    if page.total.is_none() {
        lists.skip(map, list, page.offset);
    }
    // No more elements than this can fit; a trace of fifty thousand spans is not written out to see.
    for items in map.values_mut().filter_map(Value::as_array_mut) {
        items.truncate(cap / LEAST_ELEMENT);
    }
    // What will not be there needs no cleaning; what takes a secret's place may be longer than it.
    let mut shortened = cut(map, cap);
    if purify_map(map) {
        shortened |= cut(map, cap);
    }
    lists.note(map, list, page, shortened);
}

/// Shortens what is longer than `cap`, room for a note included: long texts first, then lists inside of
/// lists, then the lists. Says whether it had to.
fn cut(map: &mut Map<String, Value>, cap: usize) -> bool {
    let room = cap.saturating_sub(NOTE_ROOM);
    if size(map) <= cap {
        return false;
    }
    map.values_mut().for_each(shorten_texts);
    let mut length = size(map);
    for most in [16, 6, 2, 0] {
        if length <= room {
            break;
        }
        // A list in an object of the answer's is as much inside as one in a list.
        let freed = map
            .values_mut()
            .map(|value| shorten_inner(value, most, usize::from(value.is_object())));
        length -= freed.sum::<usize>();
    }
    cut_lists(map, length.saturating_sub(room));
    true
}

/// Bytes of its JSON text.
fn size<T: Serialize>(value: &T) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Writing plain values to a counter can't fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

fn shorten_texts(value: &mut Value) {
    match value {
        // One that is short enough is cleaned with all others.
        Value::String(text) if text.len() > SHORT_TEXT => {
            *text = untrusted::clean(text, SHORT_TEXT);
        }
        Value::Array(items) => items.iter_mut().for_each(shorten_texts),
        Value::Object(map) => map.values_mut().for_each(shorten_texts),
        _ => {}
    }
}

/// Keeps `most` elements of every list that stands inside another one; their counts stand beside them
/// in the reports. Bytes that this frees.
fn shorten_inner(value: &mut Value, most: usize, depth: usize) -> usize {
    match value {
        Value::Array(items) => {
            let mut freed = 0;
            if depth > 0 && items.len() > most {
                let dropped: usize = items.drain(most..).map(|item| size(&item) + 1).sum();
                // The commas stand between.
                freed = dropped - usize::from(items.is_empty());
            }
            let inner = items
                .iter_mut()
                .map(|item| shorten_inner(item, most, depth + 1));
            freed + inner.sum::<usize>()
        }
        Value::Object(map) => map
            .values_mut()
            .map(|value| shorten_inner(value, most, depth))
            .sum(),
        _ => 0,
    }
}

/// Takes elements off the end of the heaviest list until so many bytes are freed.
fn cut_lists(map: &mut Map<String, Value>, mut over: usize) {
    while over > 0 {
        let heaviest = map
            .values_mut()
            .filter_map(Value::as_array_mut)
            .filter(|items| items.len() > 1)
            .max_by_key(|items| items.iter().map(size).sum::<usize>());
        let Some(items) = heaviest else { return };
        while over > 0 && items.len() > 1 {
            let freed = items.pop().map_or(0, |item| size(&item) + 1);
            over = over.saturating_sub(freed);
        }
    }
}

/// How long the lists of an answer were before it was cut.
struct Lists(Vec<(String, usize)>);

impl Lists {
    fn of(map: &Map<String, Value>) -> Self {
        let lengths = map
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_array()?.len())));
        Self(lengths.collect())
    }

    fn skip(&mut self, map: &mut Map<String, Value>, list: &str, offset: usize) {
        if let Some(items) = map.get_mut(list).and_then(Value::as_array_mut) {
            items.drain(..offset.min(items.len()));
        }
    }

    /// Enters what was left out, and how to get it.
    fn note(&self, map: &mut Map<String, Value>, list: &str, page: Page, shortened: bool) {
        let shown = |map: &Map<String, Value>, name: &str| {
            map.get(name).and_then(Value::as_array).map_or(0, Vec::len)
        };
        let mut omitted = Vec::new();
        let mut next = None;
        for (name, length) in &self.0 {
            let listed = shown(map, name);
            let (offset, total) = if name == list {
                (page.offset, page.total.unwrap_or(*length))
            } else {
                (0, *length)
            };
            let until = offset + listed;
            if listed < total {
                omitted.push(json!({ "field": name, "shown": listed, "total": total }));
            }
            if name == list && until < total && listed > 0 {
                next = Some(format!("{list}@{until}"));
            }
        }
        if let Some(returned) = map.get("returned").and_then(Value::as_u64) {
            let listed = shown(map, list) as u64;
            map.insert("returned".to_owned(), returned.min(listed).into());
        }
        if omitted.is_empty() && !shortened {
            return;
        }
        let how = match &next {
            Some(_) => "call again with this next_cursor as cursor for the rest",
            None => "ask for single spans or executions by id for the rest",
        };
        map.insert(
            "truncated".to_owned(),
            json!({ "omitted": omitted, "texts_shortened": shortened, "next_cursor": next, "how": how }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(length: usize) -> Value {
        let items: Vec<Value> = (0..length)
            .map(|n| json!({ "n": n, "quoted_log": "x".repeat(400), "spans": vec![n; 40] }))
            .collect();
        json!({ "total": length, "items": items, "notes": ["a"] })
    }

    #[test]
    fn a_short_answer_is_left_as_it_is() {
        let answer = Answer::seal(&report(3), "items", Page::default(), DEFAULT_CAP);
        assert_eq!(answer.text(), report(3).to_string());
    }

    #[test]
    fn going_through_the_cursors_shows_every_element_once_and_never_exceeds_the_cap() {
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..1000 {
            let page = Page::at(cursor.as_deref(), "items").unwrap_or_default();
            let answer = Answer::seal(&report(60), "items", page, 4096);
            assert!(answer.text().len() <= 4096, "{}", answer.text().len());
            let (value, _) = answer.into_parts();
            let items = value["items"].as_array().cloned().unwrap_or_default();
            seen.extend(items.iter().filter_map(|item| item["n"].as_u64()));
            cursor = value["truncated"]["next_cursor"]
                .as_str()
                .map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..60).collect::<Vec<u64>>());
    }

    #[test]
    fn a_long_list_in_an_object_is_cut_like_any_other() {
        let report = json!({ "execution": { "span_count": 50_000, "spans": vec!["x".repeat(40); 50_000] }, "items": [] });
        let answer = Answer::seal(&report, "items", Page::default(), DEFAULT_CAP);
        assert!(
            answer.text().len() <= DEFAULT_CAP,
            "{}",
            answer.text().len()
        );
        let (value, _) = answer.into_parts();
        assert_eq!(value["execution"]["span_count"], 50_000);
        assert_eq!(value["truncated"]["texts_shortened"], true);
    }

    #[test]
    fn what_takes_the_place_of_secrets_counts() {
        let items: Vec<Value> = (0..140)
            .map(|n| json!({ "n": n, "q": "pwd=abc" }))
            .collect();
        let report = json!({ "items": items });
        assert!(report.to_string().len() <= 4096);
        let answer = Answer::seal(&report, "items", Page::default(), 4096);
        assert!(answer.text().len() <= 4096, "{}", answer.text().len());
        assert!(answer.text().contains("[redacted]") && !answer.text().contains("abc"));
        assert!(answer.text().contains("items@"), "{}", answer.text());
    }

    #[test]
    fn a_cursor_of_another_tool_is_refused() {
        for cursor in ["spans@1", "items@-1", "items@x", "items", "' or 1=1"] {
            assert!(Page::at(Some(cursor), "items").is_err(), "{cursor}");
        }
    }

    #[test]
    fn control_and_invisible_characters_do_not_leave_in_values_or_names() {
        let report = json!({ "quoted_log": "\u{1b}[2Jab\u{202e}cd", "odd\u{200b}key": 1 });
        let answer = Answer::seal(&report, "items", Page::default(), DEFAULT_CAP);
        assert_eq!(answer.text(), r#"{"oddkey":1,"quoted_log":"[2Jabcd"}"#);
    }
}
