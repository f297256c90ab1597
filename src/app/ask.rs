//! Questions on the command line: the words that were typed become a tool's arguments, and the answer is
//! printed as JSON or as text with a picture.

use std::sync::Arc;

use chrono::Utc;
use serde_json::{Map, Value};

use crate::cli::{Command, OutputArguments, SearchArguments, SelectionArguments};
use crate::query::{Query, QueryError, Report, Tool};
use crate::render::{self, Marks, Paint};
use crate::store::Store;

/// Width of pictures where nobody limits it.
const PIPE_WIDTH: usize = 100;

/// What was asked, and how the answer is printed.
#[derive(Debug)]
pub(super) struct Asked {
    tool: Tool,
    arguments: Map<String, Value>,
    json: bool,
}

impl Asked {
    /// The question that a command is; `None` for commands that are none.
    pub(super) fn of(command: Command) -> Option<Self> {
        let (tool, given, output) = match command {
            Command::DiagnoseExecution(by) => {
                let given = vec![("execution_id", Some(by.execution_id))];
                (Tool::DiagnoseExecution, given, by.output)
            }
            Command::CompareWithSuccessful(by) => {
                let given = vec![("execution_id", Some(by.execution_id))];
                (Tool::CompareWithSuccessful, given, by.output)
            }
            Command::FindTimeoutRootCause { job_id, output } => {
                let given = vec![("job_id", Some(job_id))];
                (Tool::FindTimeoutRootCause, given, output)
            }
            Command::FindTraceGaps { trace_id, output } => {
                let given = vec![("trace_id", Some(trace_id))];
                (Tool::FindTraceGaps, given, output)
            }
            Command::GetRecentFailures {
                limit,
                selection,
                output,
            } => {
                let mut given = selected(selection);
                given.push(("limit", limit));
                (Tool::GetRecentFailures, given, output)
            }
            Command::AnalyzePerformance { selection, output } => {
                (Tool::AnalyzePerformance, selected(selection), output)
            }
            Command::SearchSpans(search) => {
                let output = search.output.clone();
                (Tool::SearchSpans, searched(search), output)
            }
            Command::Trace {
                id,
                span_id,
                output,
            } => {
                let given = vec![("trace_id", Some(id)), ("span_id", span_id)];
                (Tool::GetTrace, given, output)
            }
            Command::CollectorStatus { output } => (Tool::CollectorStatus, Vec::new(), output),
            Command::Run(_)
            | Command::Mcp { .. }
            | Command::McpConfig { .. }
            | Command::Migrate { .. }
            | Command::Link { .. }
            | Command::CheckConfig { .. }
            | Command::Doctor { .. }
            | Command::Config { .. }
            | Command::Service { .. }
            | Command::ExplainLine { .. }
            | Command::Completions { .. }
            | Command::Man { .. } => return None,
        };
        Some(Self::new(tool, given, output))
    }

    fn new(
        tool: Tool,
        given: Vec<(&'static str, Option<String>)>,
        output: OutputArguments,
    ) -> Self {
        let cursor = ("cursor", output.cursor);
        let given = given.into_iter().chain([cursor]);
        let given = given.filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
        Self {
            tool,
            arguments: given.collect(),
            json: output.json,
        }
    }

    /// The answer as it is printed.
    pub(super) async fn answer(
        self,
        store: &Arc<dyn Store>,
        columns: Option<usize>,
    ) -> Result<String, QueryError> {
        let query = Query::new(Arc::clone(store));
        if self.json {
            let answer = query.ask(self.tool, self.arguments).await?;
            return Ok(format!("{}\n", answer.text()));
        }
        let report = query.report(self.tool, self.arguments).await?;
        let paint = Paint::for_stdout();
        let trace = match &report {
            Report::Diagnosis(report) => report.trace_id.clone(),
            Report::Gaps(report) => Some(report.trace_id.clone()),
            _ => None,
        };
        let mut text = in_words(&report, paint);
        if let Some(columns) = columns {
            text = render::folded(&text, columns);
        }
        if let Some(trace) = trace {
            text.push('\n');
            text.push_str(&picture(&query, &trace, columns, paint).await?);
        }
        Ok(text)
    }
}

/// A trace drawn, its gaps and critical path pointed out.
pub(super) async fn picture(
    query: &Query,
    trace: &str,
    columns: Option<usize>,
    paint: Paint,
) -> Result<String, QueryError> {
    let view = query.trace(trace).await?;
    let gaps = query.find_trace_gaps(&view.trace_id.to_string()).await?;
    let marks = Marks::new(&gaps, &view.spans);
    Ok(render::waterfall(
        &view.spans,
        &marks,
        Utc::now(),
        columns.unwrap_or(PIPE_WIDTH),
        paint,
    ))
}

fn in_words(report: &Report, paint: Paint) -> String {
    match report {
        Report::Diagnosis(report) => render::diagnosis(report, paint),
        Report::Job(report) => render::job(report, paint),
        Report::Comparison(report) => render::comparison(report, paint),
        Report::Failures(report) => render::failures(report, paint),
        Report::Performance(report) => render::performance(report, paint),
        Report::Gaps(report) => render::gaps(report, paint),
        Report::Spans(report) => render::spans(report, paint),
        Report::Trace(report) => render::overview(report, paint),
        Report::Status(report) => render::status(report, paint),
    }
}

fn selected(selection: SelectionArguments) -> Vec<(&'static str, Option<String>)> {
    vec![
        ("model_id", selection.model_id),
        ("region", selection.region),
        ("since", selection.since),
    ]
}

fn searched(search: SearchArguments) -> Vec<(&'static str, Option<String>)> {
    vec![
        ("since", search.since),
        ("until", search.until),
        ("service", search.service),
        ("status", search.status),
        ("model_id", search.model_id),
        ("region", search.region),
        ("job_id", search.job_id),
        ("min_duration_ms", search.min_duration_ms),
        ("text", search.text),
        ("limit", search.limit),
    ]
}
