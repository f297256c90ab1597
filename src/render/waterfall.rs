//! A trace as a waterfall: one line a span, nested as called, its bar where it stood in time.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use uuid::Uuid;

use super::{Paint, folded};
use crate::analysis::report::TraceGaps;
use crate::model::{Span, SpanStatus, meta};

/// Columns of the bar, at least; narrower bars show nothing.
const MIN_BAR: usize = 20;
/// Depth beyond which nesting is no longer indented.
const MAX_INDENT: usize = 12;

/// Spans drawn; more can't be read in a terminal.
const MAX_ROWS: usize = 500;

type Interval = (DateTime<Utc>, DateTime<Utc>);

/// What a picture points out.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// Spans that had to end before the trace could.
    critical: HashSet<Uuid>,
    /// Times that nothing covers, by the span that they lie in.
    gaps: HashMap<Uuid, Vec<Interval>>,
}

impl Marks {
    /// The critical path and the gaps of a report on these spans.
    pub fn new(report: &TraceGaps, spans: &[Span]) -> Self {
        let known: HashMap<String, &Span> = spans
            .iter()
            .map(|span| (span.span_id.to_string(), span))
            .collect();
        let critical = report.critical_path.iter();
        let critical = critical.filter_map(|step| Some(known.get(&step.span_id)?.span_id));
        let mut gaps: HashMap<Uuid, Vec<_>> = HashMap::new();
        for gap in &report.gaps {
            let (Some(inside), Some(after)) = (known.get(&gap.inside), known.get(&gap.after_span))
            else {
                continue;
            };
            let from = match after.completed_at {
                Some(end) if gap.after_span != gap.inside => end,
                _ => inside.started_at,
            };
            let Some(length) = TimeDelta::try_milliseconds(gap.gap_ms) else {
                continue;
            };
            gaps.entry(inside.span_id)
                .or_default()
                .push((from, from + length));
        }
        Self {
            critical: critical.collect(),
            gaps,
        }
    }
}

/// Draws the spans of one trace into `width` columns. `now` ends the bars of open spans.
pub fn waterfall(
    spans: &[Span],
    marks: &Marks,
    now: DateTime<Utc>,
    width: usize,
    paint: Paint,
) -> String {
    let Some(first) = spans.first() else {
        return "no spans\n".into();
    };
    let rows = nest(spans);
    let begin = spans
        .iter()
        .map(|span| span.started_at)
        .min()
        .unwrap_or(first.started_at);
    let last_end = |span: &Span| {
        span.completed_at
            .unwrap_or(span.started_at)
            .max(span.started_at)
    };
    let mut end = spans.iter().map(last_end).max().unwrap_or(begin);
    if spans.iter().any(|span| span.status == SpanStatus::Started) {
        end = end.max(now.min(end + chrono::TimeDelta::minutes(1)));
    }
    let layout = Layout::of(&rows, width);
    let bar_width = layout.bar;
    let scale = Scale {
        begin,
        end,
        columns: bar_width,
    };
    let mut text = String::new();
    let started = begin.to_rfc3339_opts(SecondsFormat::Millis, true);
    let count = spans.len();
    let took = milliseconds((end - begin).num_microseconds().unwrap_or(i64::MAX) as f64 / 1000.0);
    let plural = if count == 1 { "" } else { "s" };
    // Writing to a String can't fail, here and below.
    let head = format!(
        "trace {}  {count} span{plural}  {took}  from {started}",
        first.trace_id
    );
    text.push_str(&folded(&head, width));
    let repeated = repeated(spans);
    let shown = if rows.len() > MAX_ROWS {
        MAX_ROWS
    } else {
        rows.len()
    };
    for (depth, span) in &rows[..shown] {
        let name = layout.name(*depth, span);
        let pad = layout.names.saturating_sub(name.chars().count());
        let gaps = marks.gaps.get(&span.span_id).map_or(&[][..], Vec::as_slice);
        let bar = scale.bar(span, gaps, paint);
        let path = match marks.critical.contains(&span.span_id) {
            true => "▸ ",
            false if marks.critical.is_empty() => "",
            false => "  ",
        };
        let time = span
            .elapsed_ms()
            .map_or_else(|| "open".to_owned(), milliseconds);
        let _ = writeln!(
            text,
            "{path}{name}{:pad$}  {bar}  {time:>8}  {}",
            "",
            layout.status(span, paint)
        );
        for line in notes(span, &repeated) {
            let indent = layout.notes + path.chars().count();
            let line = format!("{:indent$}  {}", "", paint.dim(&line));
            text.push_str(&folded(&line, width));
        }
    }
    if shown < rows.len() {
        let _ = writeln!(
            text,
            "… {} spans more; --json lists them",
            rows.len() - shown
        );
    }
    if !marks.critical.is_empty() || !marks.gaps.is_empty() {
        let legend = "▸ critical path   ░ open   ╌ time that nothing below covers";
        text.push_str(&folded(&paint.dim(legend), width));
    }
    text
}

/// Spans with their depth, parents before children, siblings by start. A parent that is not there, or
/// a circle of parents, makes a root.
fn nest(spans: &[Span]) -> Vec<(usize, &Span)> {
    let known: HashSet<Uuid> = spans.iter().map(|span| span.span_id).collect();
    let mut children: HashMap<Option<Uuid>, Vec<&Span>> = HashMap::new();
    for span in spans {
        let parent = span
            .parent_span_id
            .filter(|id| known.contains(id) && *id != span.span_id);
        children.entry(parent).or_default().push(span);
    }
    let mut rows = Vec::with_capacity(spans.len());
    let mut seen: HashSet<Uuid> = HashSet::new();
    let roots = children.remove(&None).unwrap_or_default();
    let mut stack: Vec<(usize, &Span)> = roots.into_iter().rev().map(|span| (0, span)).collect();
    let mut left = spans.iter();
    loop {
        while let Some((depth, span)) = stack.pop() {
            rows.push((depth, span));
            if seen.insert(span.span_id) {
                let below = children.remove(&Some(span.span_id)).unwrap_or_default();
                stack.extend(below.into_iter().rev().map(|span| (depth + 1, span)));
            }
        }
        // What no root leads to stands in a circle; begin it somewhere.
        match left.find(|span| {
            span.parent_span_id
                .is_some_and(|id| children.contains_key(&Some(id)))
        }) {
            Some(span) => {
                let parent = span.parent_span_id;
                let group = children.remove(&parent).unwrap_or_default();
                stack.extend(group.into_iter().rev().map(|span| (0, span)));
            }
            None => return rows,
        }
    }
}

/// How the columns are shared out.
struct Layout {
    names: usize,
    bar: usize,
    /// Where what stands below a bar begins.
    notes: usize,
    /// Too narrow for words: names are cut, and a sign stands for the status.
    narrow: bool,
}

impl Layout {
    /// Columns of everything but name and bar: marks, spaces, a duration and a status.
    const AROUND: usize = 26;
    /// The same where a sign stands for the status.
    const AROUND_NARROW: usize = 17;
    const LEAST_NAME: usize = 12;

    fn of(rows: &[(usize, &Span)], width: usize) -> Self {
        let names = rows
            .iter()
            .map(|(depth, span)| name(*depth, span).chars().count());
        let names = names.max().unwrap_or(0);
        if width >= names + Self::AROUND + MIN_BAR {
            let bar = width - names - Self::AROUND;
            return Self {
                names,
                bar,
                notes: names,
                narrow: false,
            };
        }
        let left = width.saturating_sub(Self::AROUND_NARROW + MIN_BAR);
        let names = names.min(left.max(Self::LEAST_NAME));
        let bar = width
            .saturating_sub(names + Self::AROUND_NARROW)
            .max(MIN_BAR);
        Self {
            names,
            bar,
            notes: 2,
            narrow: true,
        }
    }

    fn name(&self, depth: usize, span: &Span) -> String {
        let name = name(depth, span);
        match name.chars().count() > self.names {
            true => name.chars().take(self.names - 1).chain(['…']).collect(),
            false => name,
        }
    }

    fn status(&self, span: &Span, paint: Paint) -> String {
        let (word, sign) = match span.status {
            SpanStatus::Completed => ("completed", " "),
            SpanStatus::Failed => ("failed", "✗"),
            SpanStatus::Timeout => ("timeout", "✗"),
            SpanStatus::Started => ("started", "…"),
        };
        let shown = if self.narrow { sign } else { word };
        match span.status {
            SpanStatus::Completed if self.narrow => String::new(),
            SpanStatus::Completed => paint.green(shown),
            SpanStatus::Failed | SpanStatus::Timeout => paint.red(shown),
            SpanStatus::Started => paint.yellow(shown),
        }
    }
}

fn name(depth: usize, span: &Span) -> String {
    let indent = "  ".repeat(depth.min(MAX_INDENT));
    let text = format!("{indent}{} {}", span.service, span.operation);
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// Spans that only repeat the error of a span below them.
fn repeated(spans: &[Span]) -> HashSet<Uuid> {
    let said: HashMap<Uuid, &Span> = spans.iter().map(|span| (span.span_id, span)).collect();
    let callers = spans.iter().filter_map(|span| {
        let caller = said.get(&span.parent_span_id?)?;
        let same =
            caller.error_message == span.error_message && caller.error_type == span.error_type;
        (same && span.error_message.is_some()).then_some(caller.span_id)
    });
    callers.collect()
}

/// What stands below the bar: where it ran, and what went wrong.
fn notes(span: &Span, repeated: &HashSet<Uuid>) -> Vec<String> {
    let mut lines = Vec::new();
    let facts: Vec<String> = [
        span.model(),
        span.region_name(),
        span.text(meta::CONTAINER_ID),
    ]
    .into_iter()
    .flatten()
    .map(|fact| crate::untrusted::clean(fact, 80))
    .collect();
    if span.is_ours() && !facts.is_empty() {
        lines.push(facts.join(" · "));
    }
    let own = !repeated.contains(&span.span_id);
    if let Some(message) = span.error_message.as_ref().filter(|_| own) {
        let kind = span
            .error_type
            .as_deref()
            .map(|kind| format!("{kind}: "))
            .unwrap_or_default();
        lines.push(super::report::quoted(&format!("{kind}{message}")).replace('\n', " "));
    }
    lines
}

struct Scale {
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
    columns: usize,
}

impl Scale {
    fn bar(&self, span: &Span, gaps: &[Interval], paint: Paint) -> String {
        let from = self.column(span.started_at).min(self.columns - 1);
        let end = span
            .completed_at
            .map_or(self.columns, |end| self.column(end));
        let end = end.clamp(from + 1, self.columns);
        let glyph = if span.completed_at.is_some() {
            '█'
        } else {
            '░'
        };
        let mut bar = vec![glyph; end - from];
        for (begin, until) in gaps {
            let begin = self.column(*begin).clamp(from, end) - from;
            let until = self.column(*until).clamp(from, end) - from;
            bar[begin..until.max(begin)].fill('╌');
        }
        let bar: String = bar.into_iter().collect();
        let bar = match span.status {
            SpanStatus::Completed => paint.green(&bar),
            SpanStatus::Started => paint.yellow(&bar),
            SpanStatus::Failed | SpanStatus::Timeout => paint.red(&bar),
        };
        format!(
            "{}{bar}{}",
            " ".repeat(from),
            " ".repeat(self.columns - end)
        )
    }

    fn column(&self, at: DateTime<Utc>) -> usize {
        let whole = (self.end - self.begin)
            .num_microseconds()
            .unwrap_or(i64::MAX)
            .max(1) as f64;
        let part = (at - self.begin)
            .num_microseconds()
            .unwrap_or(i64::MAX)
            .max(0) as f64;
        ((part / whole * self.columns as f64).round() as usize).min(self.columns)
    }
}

/// A duration as people say it: `13ms`, `2.45s`, `4m10s`.
pub(super) fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1}ms"),
        ms if ms < 1000.0 => format!("{ms:.0}ms"),
        ms if ms < 120_000.0 => format!("{:.2}s", ms / 1000.0),
        ms if ms < 7_200_000.0 => format!(
            "{}m{:02}s",
            (ms / 60_000.0) as u64,
            (ms / 1000.0) as u64 % 60
        ),
        ms => format!("{:.1}h", ms / 3_600_000.0),
    }
}
