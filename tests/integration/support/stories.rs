//! One execution for every cause, and thirty that went well, as runner, router and Modal leave them
//! behind: rows, and the log's lines. All times are fixed, so that an answer is the same to the byte.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::database::{self, Database};
use super::server::program;

/// The job that all of them belong to.
pub(crate) const JOB: &str = "bias-detection-1761138000000";
/// Executions that went well before the first story.
const HEALTHY: i64 = 30;
/// Id of the first execution.
const FIRST: i64 = 2301;

/// What a service did: its span, in ms after the execution began, and how it failed.
type Leg = (&'static str, &'static str, i64, i64, Option<Said>);
/// Class and text of an error.
type Said = (&'static str, &'static str);

/// What Modal printed, in ms after the execution began.
#[derive(Clone, Copy)]
enum Printed {
    Nothing,
    /// It began and nothing more is known.
    Began(i64),
    /// It began, and ended well after so many ms.
    Answered(i64, i64),
    /// It began, and failed after so many ms.
    Failed(i64, i64, Said),
}

struct Story {
    code: &'static str,
    legs: Vec<Leg>,
    printed: Printed,
}

const REFUSED: Said = (
    "execution_failure",
    "Post \"https://router.example/inference\": dial tcp 10.0.0.7:443: connect: connection refused",
);
const NOBODY: Said = ("RouterError", "No healthy providers available");
const GONE: Said = (
    "HTTPStatusError",
    "404 Not Found: modal-http: invalid function call",
);
const MEMORY: Said = (
    "OutOfMemoryError",
    "CUDA out of memory. Tried to allocate 1.16 GiB (GPU 0; 14.58 GiB total capacity)",
);
const FILES: Said = (
    "OSError",
    "Error no file named model.safetensors found in directory /models/llama3.2-1b",
);
const NAME: Said = ("ValueError", "Unknown model: llama3.2-1b-instruct");
const NAN: Said = (
    "RuntimeError",
    "probability tensor contains either `inf`, `nan` or element < 0",
);
const WAITED: Said = ("ReadTimeout", "The read operation timed out");
const DEADLINE: Said = (
    "router_timeout",
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
);
const PROVIDER: Said = ("InferenceFailed", "provider returned status=error");
const RETURNED: Said = (
    "execution_failure",
    "router returned an error: provider returned status=error",
);

/// Runner, router and the call of Modal, each around the next, failing from the one named on outwards.
fn call(modal_from: i64, modal_to: i64, inner: Option<Said>, outer: Option<Said>) -> Vec<Leg> {
    vec![
        ("runner", "execute_question", 0, modal_to + 30, outer),
        ("runner", "hybrid_router_call", 4, modal_to + 20, outer),
        ("router", "inference_request", 20, modal_to + 10, inner),
        ("router", "modal_call", modal_from - 275, modal_to, inner),
    ]
}

fn alone(took: i64, called: Option<i64>, said: Said) -> Vec<Leg> {
    let root = ("runner", "execute_question", 0, took, Some(said));
    let call = called.map(|from| ("runner", "hybrid_router_call", from, took - 1, Some(said)));
    [Some(root), call].into_iter().flatten().collect()
}

fn healthy() -> Story {
    story(
        "none",
        call(300, 2_450, None, None),
        Printed::Answered(300, 2_100),
    )
}

fn story(code: &'static str, legs: Vec<Leg>, printed: Printed) -> Story {
    Story {
        code,
        legs,
        printed,
    }
}

fn inside_modal(code: &'static str, took: i64, said: Said) -> Story {
    let legs = call(300, 350 + took, Some(PROVIDER), Some(RETURNED));
    story(code, legs, Printed::Failed(300, took, said))
}

fn stories() -> Vec<Story> {
    let mut refused = alone(14, Some(3), NOBODY);
    refused.push(("router", "inference_request", 5, 12, Some(NOBODY)));
    let mut down = call(300, 104, Some(GONE), Some(RETURNED));
    down[3].2 = 25;
    let mut lost = call(300, 2_450, None, None);
    for leg in &mut lost[..2] {
        (leg.3, leg.4) = (122_470, Some(DEADLINE));
    }
    let mut rejected = call(300, 2_450, None, None);
    rejected[0].4 = Some((
        "execution_failure",
        "invalid character '<' looking for beginning of value",
    ));
    let gave_up = || call(300, 60_025, Some(WAITED), Some(RETURNED));
    let mut queued = call(30_300, 32_450, None, None);
    queued[2].2 = 30_015;
    let mut booting = call(300, 42_450, None, None);
    booting[3].2 = 25;
    vec![
        healthy(),
        story("no_healthy_provider", refused, Printed::Nothing),
        story(
            "router_unreachable",
            alone(22, Some(4), REFUSED),
            Printed::Nothing,
        ),
        story(
            "executor_missing",
            alone(13, None, ("execution_failure", "no executor configured")),
            Printed::Nothing,
        ),
        story("modal_endpoint_down", down, Printed::Nothing),
        inside_modal("modal_out_of_memory", 4_200, MEMORY),
        inside_modal("modal_model_load", 1_300, FILES),
        inside_modal("modal_unknown_model", 0, NAME),
        inside_modal("modal_exception", 1_700, NAN),
        story("modal_timeout", gave_up(), Printed::Began(300)),
        story("router_timeout", gave_up(), Printed::Answered(300, 75_000)),
        story("response_lost", lost, Printed::Answered(300, 2_100)),
        story("result_rejected", rejected, Printed::Answered(300, 2_100)),
        story(
            "cancelled",
            alone(4_200, Some(4), ("execution_failure", "context canceled")),
            Printed::Nothing,
        ),
        story("cold_start", booting, Printed::Answered(40_300, 2_100)),
        story("queue_wait", queued, Printed::Answered(30_300, 2_100)),
        story(
            "slow_inference",
            call(300, 22_450, None, None),
            Printed::Answered(300, 22_100),
        ),
        story("undetermined", Vec::new(), Printed::Nothing),
    ]
}

/// The rows, the log, and which execution shows which cause.
pub(crate) struct Stories {
    pub(crate) sql: String,
    pub(crate) log: String,
    pub(crate) executions: Vec<(&'static str, i64)>,
}

/// Writes them down.
pub(crate) fn written() -> Stories {
    let mut written = Stories {
        sql: format!(
            "insert into jobs (id, jobspec_id, jobspec_data, status, created_at) values \
             (1, '{JOB}', '{{}}', 'completed', '2025-10-22T13:00:00.000000Z');\n"
        ),
        log: String::new(),
        executions: Vec::new(),
    };
    for number in 0..HEALTHY {
        // A little different in length, as life is.
        let mut usual = healthy();
        usual
            .legs
            .iter_mut()
            .for_each(|leg| leg.3 += number % 7 * 20);
        usual.printed = Printed::Answered(300, 2_100 + number % 7 * 20);
        written.add(number, &usual);
    }
    for (number, story) in (HEALTHY..).zip(stories()) {
        let id = written.add(number, &story);
        written.executions.push((story.code, id));
    }
    written
}

impl Stories {
    fn add(&mut self, number: i64, story: &Story) -> i64 {
        let id = FIRST + number;
        let failed = story.legs.first().is_none_or(|root| root.4.is_some());
        let status = if failed { "failed" } else { "completed" };
        let took = story.legs.first().map_or(5_200, |root| root.3);
        let reached = !matches!(story.printed, Printed::Nothing);
        let provider = if reached { "modal-us-east" } else { "" };
        // Writing to a String can't fail, here and below.
        let _ = writeln!(
            self.sql,
            "insert into executions (id, job_id, provider_id, region, status, started_at, completed_at, \
             created_at, model_id, question_id) values ({id}, 1, '{provider}', 'US', '{status}', '{}', '{}', \
             '{}', 'llama3.2-1b', 'question_{number}');",
            time(number, 0),
            time(number, took),
            time(number, took + 5),
        );
        for (at, leg) in story.legs.iter().enumerate() {
            self.row(number, at, leg);
        }
        self.lines(number, story.printed);
        id
    }

    fn row(&mut self, number: i64, at: usize, leg: &Leg) {
        let (service, operation, from, to, said) = leg;
        let parent = match at {
            0 => "null".to_owned(),
            _ => format!("'{}'", span(number, at - 1)),
        };
        let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let (kind, message) = said
            .map_or(("null".to_owned(), "null".to_owned()), |(kind, message)| {
                (text(kind), text(message))
            });
        let metadata = match *service {
            "runner" => format!(
                "{{\"job_id\": \"{JOB}\", \"model_id\": \"llama3.2-1b\", \"region\": \"US\", \"question_id\": \"question_{number}\"}}"
            ),
            _ => "{\"model\": \"llama3.2-1b\", \"region\": \"US\"}".to_owned(),
        };
        let _ = writeln!(
            self.sql,
            "insert into trace_spans (trace_id, span_id, parent_span_id, service, operation, started_at, \
             completed_at, duration_ms, status, metadata, error_message, error_type) values \
             ('00000000-0000-4000-8000-{number:012}', '{}', {parent}, '{service}', '{operation}', '{}', '{}', \
             {}, '{}', '{metadata}', {message}, {kind});",
            span(number, at),
            time(number, *from),
            time(number, *to),
            to - from,
            if said.is_some() {
                "failed"
            } else {
                "completed"
            },
        );
    }

    fn lines(&mut self, number: i64, printed: Printed) {
        let (from, ends) = match printed {
            Printed::Nothing => return,
            Printed::Began(from) => (from, None),
            Printed::Answered(from, took) => (from, Some((took, None))),
            Printed::Failed(from, took, said) => (from, Some((took, Some(said)))),
        };
        let mut line = |at: i64, text: &str| {
            let _ = writeln!(
                self.log,
                "{}+00:00 fc-01STORY{number:04} ta-01STORY{number:04} {text}",
                time(number, at)
                    .split('.')
                    .next()
                    .unwrap()
                    .replace('T', " ")
            );
        };
        let id = format!("5702{number:04x}");
        line(
            from,
            &format!("🔍 TRACE[{id}]: Modal inference started - model=llama3.2-1b, region=us-east"),
        );
        match ends {
            None => {}
            Some((took, None)) => line(
                from + took,
                &format!(
                    "🔍 TRACE[{id}]: SUCCESS - duration={:.2}s, tokens=180",
                    took as f64 / 1000.0
                ),
            ),
            Some((took, Some((kind, message)))) => {
                let seconds = took as f64 / 1000.0;
                line(
                    from + took,
                    &format!(
                        "🔍 TRACE[{id}]: FAILED - error={kind}: {message}, duration={seconds:.2}s"
                    ),
                );
                line(from + took, "Traceback (most recent call last):");
                line(
                    from + took,
                    "  File \"/pkg/serve.py\", line 231, in run_inference_logic",
                );
                line(from + took, "    outputs = model.generate(");
                line(from + took, &format!("{kind}: {message}"));
            }
        }
    }
}

/// A moment of execution `number`: ten minutes apart, beginning 0.7 s after a second, so that what
/// Modal prints in whole seconds is exact where it begins 0.3 s later.
fn time(number: i64, ms: i64) -> String {
    let ms = number * 600_000 + 700 + ms;
    let (hours, minutes, seconds) = (13 + ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let (day, hour) = (22 + hours / 24, hours % 24);
    format!(
        "2025-10-{day:02}T{hour:02}:{minutes:02}:{seconds:02}.{:03}000Z",
        ms % 1000
    )
}

fn span(number: i64, at: usize) -> String {
    format!("00000000-0000-4000-9{at:03}-{number:012}")
}

/// A database in which all stories have happened.
pub(crate) struct Told {
    pub(crate) database: Database,
    state: tempfile::TempDir,
    pub(crate) executions: Vec<(&'static str, i64)>,
}

impl Told {
    /// The stories in an embedded database: rows as their writers write them, the log through a pipe.
    pub(crate) async fn all() -> Self {
        let database = database::sqlite().await;
        let told = written();
        database.execute(&told.sql).await;
        let state = tempfile::tempdir().unwrap();
        let mut collector = program(&database.url, state.path(), &["--listen", "none"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = collector.stdin.take().unwrap();
        lines.write_all(told.log.as_bytes()).unwrap();
        drop(lines);
        assert!(collector.wait_with_output().unwrap().status.success());
        Self {
            database,
            state,
            executions: told.executions,
        }
    }

    /// The program, asked something, for a terminal of so many columns.
    pub(crate) fn command(&self, words: &[&str], columns: &str) -> Command {
        let mut command = program(&self.database.url, self.state.path(), words);
        command.env("COLUMNS", columns);
        command
    }

    /// What it prints.
    pub(crate) fn say(&self, words: &[&str], columns: &str) -> String {
        let output = self.command(words, columns).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The execution that shows a cause.
    pub(crate) fn id(&self, code: &str) -> String {
        let found = self.executions.iter().find(|(told, _)| *told == code);
        found.unwrap().1.to_string()
    }
}
