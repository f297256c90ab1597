//! Every question and write of a store, for those who look at how the database goes about them.

use std::ops::Range;
use std::sync::Arc;

use beacon_collector::model::{ExecutionLink, LossEntry, Observation, Span, SpanKey, SpanLink};
use beacon_collector::store::{
    Batch, Checkpoint, Claim, Cutoffs, ExecutionQuestion, Expired, Holder, SpanQuestion,
    SpanSearch, Store, StoreError, Sweep, Window,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

/// Asks about a window of time in which the database has rows, and writes in it.
pub(crate) async fn ask_everything(
    store: &dyn Store,
    window: Range<DateTime<Utc>>,
) -> Result<(), StoreError> {
    let (from, to) = (window.start, window.end);
    let known = store
        .spans(&SpanQuestion::Printed { from, to }, 200)
        .await?;
    for question in span_questions(&known, from, to) {
        store.spans(&question, 50).await?;
    }
    let mut ids = Vec::new();
    for question in execution_questions(from, to) {
        let found = store.executions(&question, 50).await?;
        ids.extend(found.iter().map(|execution| execution.id));
        store.count_executions(&question).await?;
    }
    let traces: Vec<_> = known.iter().map(|span| span.trace_id).collect();
    let window = Window {
        from,
        to,
        model_id: None,
        region: None,
    };
    store.tally_executions(&window, 100).await?;
    store.seconds(from, to).await?;
    store.job("bias-detection-7").await?;
    store.execution_links(&traces).await?;
    store.spans_of_executions(&ids, 100).await?;
    store.losses(from, to).await?;
    store.checkpoint("explain").await?;
    write(store, &known, from).await?;
    keep(store, from, to).await
}

fn span_questions(known: &[Span], from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<SpanQuestion> {
    let traces: Vec<_> = known.iter().take(20).map(|span| span.trace_id).collect();
    let narrow = (Uuid::from_u128(0), Uuid::from_u128(u128::MAX >> 16));
    let mut search = SpanSearch::all(from, to);
    search.status = Some("failed".into());
    search.text = Some("memory".into());
    vec![
        SpanQuestion::Traces(traces),
        SpanQuestion::TraceRange(narrow.0, narrow.1),
        SpanQuestion::SpanRange(narrow.0, narrow.1),
        SpanQuestion::OpenBefore(to),
        SpanQuestion::Failed { from, to },
        SpanQuestion::Window {
            services: vec!["runner".into()],
            from,
            to,
        },
        SpanQuestion::Unlinked { from, to },
        SpanQuestion::Printed { from, to },
        SpanQuestion::Written {
            since: from - (to - from),
            from,
            to,
        },
        SpanQuestion::Search(search),
    ]
}

fn execution_questions(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<ExecutionQuestion> {
    vec![
        ExecutionQuestion::Ids((1..20).collect()),
        ExecutionQuestion::Job(7),
        ExecutionQuestion::NamedJob("bias-detection-7".into()),
        ExecutionQuestion::Recent {
            from,
            to,
            failed_only: true,
            model_id: None,
            region: None,
        },
        ExecutionQuestion::Overlapping { from, to },
    ]
}

/// New rows, changed rows, links, a position and a loss.
async fn write(store: &dyn Store, known: &[Span], from: DateTime<Utc>) -> Result<(), StoreError> {
    let printed = (0..200).map(|number| {
        let key = SpanKey {
            log_id: format!("{number:08x}").into(),
            scope: "ta-explain".into(),
        };
        let mut seen = Observation::new(key, "explain");
        seen.name = Some(("modal".into(), "inference".into()));
        seen
    });
    let links = known.iter().map(|span| SpanLink {
        span_id: span.span_id,
        trace_id: span.trace_id,
        parent_span_id: span.parent_span_id,
        execution_id: span.execution_id,
        job_id: span.job_id.clone(),
        model_id: span.model_id.clone(),
        region: span.region.clone(),
        link: json!({"method": "explain", "confidence": 1.0}),
    });
    let batch = Batch {
        observations: printed.collect(),
        links: links.collect(),
        execution_links: vec![ExecutionLink {
            trace_id: Uuid::nil(),
            execution_id: 1,
            method: "explain".into(),
            confidence: 1.0,
        }],
        checkpoints: vec![Checkpoint {
            source: "explain".into(),
            position: json!({}),
            fence: 0,
        }],
        losses: vec![LossEntry {
            source: "explain".into(),
            from,
            to: from,
            reason: "explain".into(),
            lost: 0,
        }],
        ..Batch::default()
    };
    let written = store.write(&batch).await?;
    assert!(
        written.updated > 0,
        "the window holds no rows of ours to change"
    );
    Ok(())
}

/// Leases, and a step of each kind of deleting: of what began an hour before the window, which the
/// database need not have.
async fn keep(store: &dyn Store, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<(), StoreError> {
    let claim = Claim {
        names: vec!["explain".into()],
        holder: Holder {
            id: Uuid::nil(),
            label: "explain".into(),
        },
        term: std::time::Duration::ZERO,
    };
    store.claim(&claim).await?;
    let expired = Arc::new(Expired {
        others: Cutoffs {
            ended: Some(from),
            failed: None,
        },
        sources: vec![("file:nowhere".into(), Cutoffs::default())],
        ..Expired::default()
    });
    let spans = Sweep::Spans {
        after: (from - TimeDelta::minutes(5), 0),
        before: to,
        expired,
    };
    for sweep in [spans, Sweep::Links((Uuid::nil(), 0))] {
        store.sweep(&sweep).await?;
    }
    store.sizes().await.map(|_| ())
}
