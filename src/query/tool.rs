//! The questions that can be asked from outside: one list for the command line, REST, MCP and the
//! reference page, with the words that tell a language model when to ask which.
//!
//! Invariant: a tool's name, arguments and answer are the same on every surface.

/// A question that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// Why did this execution fail?
    DiagnoseExecution,
    /// Why did this job time out?
    FindTimeoutRootCause,
    /// How does this execution differ from successful ones?
    CompareWithSuccessful,
    /// What failed lately?
    GetRecentFailures,
    /// How fast and how reliable is it?
    AnalyzePerformance,
    /// Where did the time go, and what is not there?
    FindTraceGaps,
    /// Which spans are there?
    SearchSpans,
    /// What is in this trace?
    GetTrace,
    /// How is the collector doing?
    CollectorStatus,
}

/// One argument of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Whether it is a whole number; else it is text.
    pub integer: bool,
    /// Whether it must be given.
    pub required: bool,
    /// What it means, its unit, default and form.
    pub description: &'static str,
}

const fn text(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        integer: false,
        required: false,
        description,
    }
}

const fn number(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        integer: true,
        ..text(name, description)
    }
}

const fn needed(parameter: Parameter) -> Parameter {
    Parameter {
        required: true,
        ..parameter
    }
}

const EXECUTION: Parameter = needed(number("execution_id", "executions.id, e.g. 2379"));
const TRACE: Parameter = needed(text(
    "trace_id",
    "UUID, unique prefix of one, or the 8-hex id of a TRACE[…] log line",
));
const CURSOR: Parameter = text("cursor", "next_cursor of the previous answer");
const MODEL: Parameter = text("model_id", "exact, e.g. llama3.2-1b");
const REGION: Parameter = text("region", "as the runner spells it: US, EU, ASIA");

const BY_EXECUTION: &[Parameter] = &[EXECUTION, CURSOR];
const BY_JOB: &[Parameter] = &[
    needed(text(
        "job_id",
        "jobs.jobspec_id, e.g. bias-detection-1761140904034, or jobs.id",
    )),
    CURSOR,
];
const BY_TRACE: &[Parameter] = &[TRACE, CURSOR];
const TRACE_AND_SPAN: &[Parameter] = &[
    TRACE,
    text("span_id", "UUID or prefix of one of its spans"),
    CURSOR,
];
const FAILURES: &[Parameter] = &[
    number("limit", "1-100, default 10"),
    text("since", "RFC 3339, now-1h, or 7d; default all"),
    MODEL,
    REGION,
    CURSOR,
];
const PERFORMANCE: &[Parameter] = &[
    MODEL,
    REGION,
    text("since", "RFC 3339, now-1h, or 7d (default)"),
    CURSOR,
];
const SEARCH: &[Parameter] = &[
    text("since", "RFC 3339, now-1h, 7d; default 24h before until"),
    text("until", "same forms, default now"),
    text("service", "runner, router, modal, backend"),
    text("status", "started, completed, failed, timeout"),
    MODEL,
    text("region", "as its writer spells it: US, us-east"),
    text("job_id", "jobs.jobspec_id"),
    number("min_duration_ms", "at least so long"),
    text("text", "part of the error, operation or log id"),
    number("limit", "1-200, default 20"),
    CURSOR,
];

impl Tool {
    /// All of them, the most general questions first within each kind.
    pub const ALL: [Self; 9] = [
        Self::DiagnoseExecution,
        Self::FindTimeoutRootCause,
        Self::CompareWithSuccessful,
        Self::GetRecentFailures,
        Self::AnalyzePerformance,
        Self::FindTraceGaps,
        Self::SearchSpans,
        Self::GetTrace,
        Self::CollectorStatus,
    ];

    /// The tool with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiagnoseExecution => "diagnose_execution",
            Self::FindTimeoutRootCause => "find_timeout_root_cause",
            Self::CompareWithSuccessful => "compare_with_successful",
            Self::GetRecentFailures => "get_recent_failures",
            Self::AnalyzePerformance => "analyze_performance",
            Self::FindTraceGaps => "find_trace_gaps",
            Self::SearchSpans => "search_spans",
            Self::GetTrace => "get_trace",
            Self::CollectorStatus => "collector_status",
        }
    }

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::DiagnoseExecution => "Diagnose an execution",
            Self::FindTimeoutRootCause => "Find why a job timed out",
            Self::CompareWithSuccessful => "Compare with successful executions",
            Self::GetRecentFailures => "List recent failures",
            Self::AnalyzePerformance => "Analyze performance",
            Self::FindTraceGaps => "Find gaps in a trace",
            Self::SearchSpans => "Search spans",
            Self::GetTrace => "Show a trace",
            Self::CollectorStatus => "Collector status",
        }
    }

    /// When to use it, and what to call next.
    pub const fn description(self) -> &'static str {
        match self {
            Self::DiagnoseExecution => {
                "Why one execution failed or was slow: root cause with confidence, evidence, ruled-out causes, \
                 timing per service, recommendations. Start here with an execution id. Next: \
                 compare_with_successful, find_trace_gaps with its trace_id."
            }
            Self::FindTimeoutRootCause => {
                "Why a job's executions failed or timed out: cause of each, dominant cause, regional outages. \
                 Start here with a job id. Next: diagnose_execution for single ones."
            }
            Self::CompareWithSuccessful => {
                "How an execution differs from recent successful ones of the same model and region: structure, \
                 timing, attributes. Use when diagnose_execution is undetermined or slow."
            }
            Self::GetRecentFailures => {
                "Newest failed executions with their causes, and patterns among them. Start here without an id. \
                 Next: diagnose_execution."
            }
            Self::AnalyzePerformance => {
                "Counts, success rate and durations per model and region, against the window before. Use for \
                 trends and reports, not for single failures."
            }
            Self::FindTraceGaps => {
                "Time in a trace that no span explains (over 100 ms), missing spans and why, critical path, \
                 clock skew. Use when time or a service is missing."
            }
            Self::SearchSpans => {
                "Stored spans by time, service, status, model, region, job or error text, newest first. \
                 Next: get_trace."
            }
            Self::GetTrace => {
                "Overview of a trace's spans; with span_id also that span's log steps, traceback and metadata."
            }
            Self::CollectorStatus => {
                "Whether the data is fresh and whole: lag, sources, known losses of log lines. Use when spans \
                 seem to be missing."
            }
        }
    }

    /// What it can be given.
    pub const fn parameters(self) -> &'static [Parameter] {
        match self {
            Self::DiagnoseExecution | Self::CompareWithSuccessful => BY_EXECUTION,
            Self::FindTimeoutRootCause => BY_JOB,
            Self::GetRecentFailures => FAILURES,
            Self::AnalyzePerformance => PERFORMANCE,
            Self::FindTraceGaps => BY_TRACE,
            Self::SearchSpans => SEARCH,
            Self::GetTrace => TRACE_AND_SPAN,
            Self::CollectorStatus => &[],
        }
    }

    /// The list of the answer that a cursor goes through.
    pub(super) const fn list(self) -> &'static str {
        match self {
            Self::DiagnoseExecution => "evidence",
            Self::FindTimeoutRootCause => "analysis",
            Self::CompareWithSuccessful => "similar_successful",
            Self::GetRecentFailures => "failures",
            Self::AnalyzePerformance => "by_model_region",
            Self::FindTraceGaps | Self::SearchSpans | Self::GetTrace => "spans",
            Self::CollectorStatus => "losses",
        }
    }
}
