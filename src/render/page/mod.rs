//! The pages for people, as HTML without scripts and without anything from elsewhere: what failed lately,
//! an execution with its diagnosis, a job, a trace as a waterfall.
//!
//! Invariant: text reaches a page through [`escape`] only, and no style stands in an attribute, so that
//! the pages work under a policy that allows nothing but the one stylesheet.

mod bars;
mod execution;
mod overview;
mod trace;

use std::fmt::Write as _;

pub use execution::{execution_page, job_page};
pub use overview::failures_page;
pub use trace::trace_page;

use super::report::{clean, quoted};
use super::waterfall::milliseconds;
use crate::analysis::report::RootCause;

/// The stylesheet of all pages.
pub const STYLESHEET: &str = include_str!("page.css");

/// A page that says why there is none.
pub fn error_page(status: u16, why: &str) -> String {
    let body = format!(
        "<h1>{}</h1><p>{}</p><p><a href=\"/\">What failed lately</a></p>",
        if status == 404 {
            "Not here"
        } else {
            "That did not work"
        },
        escape(why)
    );
    frame("Not here", &body)
}

/// A whole page around its body.
fn frame(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{} · beacon-collector</title><link rel=\"stylesheet\" href=\"/style.css\"></head>\
         <body><header><a href=\"/\">beacon-collector</a><nav><a href=\"/\">Failures</a> \
         <a href=\"/openapi.json\">API</a></nav></header><main>{body}</main></body></html>\n",
        escape(title)
    )
}

/// A cause as a coloured label.
fn cause(cause: RootCause) -> String {
    format!(
        "<span class=\"cause {}\">{}</span>",
        mood(cause),
        escape(cause.title())
    )
}

/// The class that colours a cause.
fn mood(cause: RootCause) -> &'static str {
    match cause {
        RootCause::None => "good",
        RootCause::Undetermined => "unsure",
        cause if cause.is_slowness() => "unsure",
        _ => "bad",
    }
}

/// A titled list; nothing when it is empty. The items are HTML.
fn list(page: &mut String, title: &str, items: impl IntoIterator<Item = String>) {
    let mut items = items.into_iter().peekable();
    if items.peek().is_none() {
        return;
    }
    // Writing to a String can't fail, here and below.
    let _ = write!(page, "<section><h2>{}</h2><ul>", escape(title));
    for item in items {
        let _ = write!(page, "<li>{item}</li>");
    }
    page.push_str("</ul></section>");
}

/// Text of a log, marked as a quote.
fn quote(text: &str) -> String {
    format!("<q>{}</q>", escape(&quoted(text)))
}

/// A time of a report (`2025-10-22T13:05:15.000Z`), as people read it.
fn time(at: &str) -> String {
    let shown = at.replace('T', " ");
    let shown = shown.split('.').next().unwrap_or_default();
    format!(
        "<time datetime=\"{}\">{}</time>",
        escape(at),
        escape(shown.trim_end_matches('Z'))
    )
}

/// Words of a report, escaped.
fn words(text: &str) -> String {
    escape(&clean(text))
}

fn took(ms: Option<i64>) -> String {
    ms.map_or_else(|| "open".to_owned(), |ms| milliseconds(ms as f64))
}

/// What may stand in a path without being taken for something else.
fn in_path(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            safe.push(char::from(byte));
        } else {
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_can_not_become_markup() {
        assert_eq!(
            escape("<script>alert('\"&')</script>"),
            "&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;"
        );
    }

    #[test]
    fn an_id_of_others_can_not_leave_its_place_in_a_path() {
        assert_eq!(
            in_path("job-1/../x?y=\"é"),
            "job-1%2F..%2Fx%3Fy%3D%22%C3%A9"
        );
    }

    #[test]
    fn no_page_carries_a_style_or_script_of_its_own() {
        let page = error_page(404, "no trace \"<b>\" in this database");
        assert!(!page.contains("style=") && !page.contains("<script") && !page.contains("<b>"));
    }
}
