//! A tool's name and arguments in, a report or a sealed answer out: the one way in for every surface.

use chrono::Utc;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::{
    Answer, Arguments, CollectorStatus, DEFAULT_CAP, FoundSpans, Page, Query, QueryError,
    RecentFailuresAndSpans, SearchFilter, Selection, Tool, TraceOverview,
};
use crate::analysis::report::{Comparison, Diagnosis, JobTimeouts, Performance, TraceGaps};
use crate::telemetry;

/// Failures listed unless the caller says how many.
const DEFAULT_FAILURES: i64 = 10;
/// Failures listed at most.
const MAX_FAILURES: i64 = 100;

/// The answer to a tool's question before it is sealed.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Of `diagnose_execution`.
    Diagnosis(Diagnosis),
    /// Of `find_timeout_root_cause`.
    Job(JobTimeouts),
    /// Of `compare_with_successful`.
    Comparison(Comparison),
    /// Of `get_recent_failures`.
    Failures(RecentFailuresAndSpans),
    /// Of `analyze_performance`.
    Performance(Performance),
    /// Of `find_trace_gaps`.
    Gaps(TraceGaps),
    /// Of `search_spans`.
    Spans(FoundSpans),
    /// Of `get_trace`.
    Trace(TraceOverview),
    /// Of `collector_status`.
    Status(CollectorStatus),
}

impl Query {
    /// Answers a tool's question, in at most [`DEFAULT_CAP`] bytes.
    pub async fn ask(
        &self,
        tool: Tool,
        arguments: Map<String, Value>,
    ) -> Result<Answer, QueryError> {
        let key = format!("{} {}", tool.name(), Value::Object(arguments.clone()));
        let find = async {
            let (report, page) = self.fetch(tool, arguments).await?;
            Ok(match report {
                Report::Spans(report) => seal_search(report),
                report => seal(tool, page, &report),
            })
        };
        let answer = self.memories.answers.recall(key, find);
        as_span(tool, answer).await
    }

    /// Answers a tool's question for a reader who has no need of cuts.
    pub async fn report(
        &self,
        tool: Tool,
        arguments: Map<String, Value>,
    ) -> Result<Report, QueryError> {
        let report = as_span(tool, self.fetch(tool, arguments));
        Ok(report.await?.0)
    }

    async fn fetch(
        &self,
        tool: Tool,
        arguments: Map<String, Value>,
    ) -> Result<(Report, Page), QueryError> {
        let moment = self.of_one_moment();
        let found = moment.find(tool, arguments).await;
        moment.store.rest().await;
        found
    }

    async fn find(
        &self,
        tool: Tool,
        arguments: Map<String, Value>,
    ) -> Result<(Report, Page), QueryError> {
        let mut given = Arguments::new(arguments);
        // A search goes on in the database, with cursors of its own.
        let mut page = match tool {
            Tool::SearchSpans | Tool::CollectorStatus => Page::default(),
            _ => Page::at(given.text_if_given("cursor")?.as_deref(), tool.list())?,
        };
        let report = match tool {
            Tool::DiagnoseExecution | Tool::CompareWithSuccessful => {
                self.fetch_execution(tool, given).await?
            }
            Tool::FindTraceGaps | Tool::GetTrace => self.fetch_trace(tool, given).await?,
            Tool::FindTimeoutRootCause => {
                let id = given.text("job_id")?;
                given.finish()?;
                Report::Job(self.find_timeout_root_cause(&id).await?)
            }
            Tool::GetRecentFailures => {
                let report = self.fetch_failures(given, page).await?;
                // The database left out what stands before the page and behind the limit.
                page.total = usize::try_from(report.report.total_failures).ok();
                Report::Failures(report)
            }
            Tool::AnalyzePerformance => {
                let selection = Selection::take(&mut given)?;
                given.finish()?;
                Report::Performance(self.analyze_performance(&selection).await?)
            }
            Tool::SearchSpans => {
                let filter = SearchFilter::take(&mut given, Utc::now())?;
                given.finish()?;
                Report::Spans(self.search_spans(&filter).await?)
            }
            Tool::CollectorStatus => {
                given.finish()?;
                Report::Status(self.collector_status().await?)
            }
        };
        Ok((report, page))
    }

    async fn fetch_execution(
        &self,
        tool: Tool,
        mut given: Arguments,
    ) -> Result<Report, QueryError> {
        let id = given.execution_id()?;
        given.finish()?;
        Ok(match tool {
            Tool::CompareWithSuccessful => {
                Report::Comparison(self.compare_with_successful(id).await?)
            }
            _ => Report::Diagnosis(self.diagnose_execution(id).await?),
        })
    }

    async fn fetch_trace(&self, tool: Tool, mut given: Arguments) -> Result<Report, QueryError> {
        let id = given.text("trace_id")?;
        if tool == Tool::FindTraceGaps {
            given.finish()?;
            return Ok(Report::Gaps(self.find_trace_gaps(&id).await?));
        }
        let span = given.text_if_given("span_id")?;
        given.finish()?;
        let report = self.trace_overview(&id, span.as_deref()).await?;
        Ok(Report::Trace(report))
    }

    async fn fetch_failures(
        &self,
        mut given: Arguments,
        page: Page,
    ) -> Result<RecentFailuresAndSpans, QueryError> {
        let limit = given.number("limit", 1, MAX_FAILURES)?;
        let limit = usize::try_from(limit.unwrap_or(DEFAULT_FAILURES)).unwrap_or(1);
        let selection = Selection::take(&mut given)?;
        given.finish()?;
        self.get_recent_failures(&selection, limit, page).await
    }
}

/// An answer in the making, as a span of our own telemetry that bears the tool's name.
async fn as_span<T>(
    tool: Tool,
    answer: impl Future<Output = Result<T, QueryError>>,
) -> Result<T, QueryError> {
    let span = tracing::info_span!(
        "answer",
        tool = tool.name(),
        otel.status_code = Empty,
        otel.status_description = Empty,
    );
    let answer = answer.instrument(span.clone()).await;
    if let Err(error) = &answer {
        telemetry::fail(&span, error);
    }
    answer
}

fn seal<T: Serialize>(tool: Tool, page: Page, report: &T) -> Answer {
    Answer::seal(report, tool.list(), page, DEFAULT_CAP)
}

/// The cursor of a search has to stand behind what is really listed.
fn seal_search(mut report: FoundSpans) -> Answer {
    loop {
        let answer = seal(Tool::SearchSpans, Page::default(), &report);
        let listed = answer.listed(Tool::SearchSpans.list());
        if listed >= report.spans.len() {
            return answer;
        }
        report.cut(listed);
    }
}
