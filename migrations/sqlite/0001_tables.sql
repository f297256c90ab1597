-- The tables of the embedded store. trace_spans, jobs and executions have the columns that they have
-- in Postgres, so that the same SQL works on both. UUIDs are lower-case text, times are RFC 3339 in
-- UTC with microseconds and Z (they sort as text), JSON is text.

create table if not exists trace_spans (
    id             integer primary key,
    trace_id       text not null,
    span_id        text not null,
    parent_span_id text,
    service        text not null,
    operation      text not null,
    started_at     text not null,
    completed_at   text,
    duration_ms    integer,
    status         text not null,
    job_id         text,
    execution_id   integer,
    model_id       text,
    region         text,
    -- Indexes below read it: text that is not JSON would make them fail later and less clearly.
    metadata       text check (json_valid(metadata)),
    error_message  text,
    error_type     text,
    created_at     text default (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);

-- All spans of a trace.
create index if not exists idx_trace_spans_trace_id on trace_spans (trace_id);
-- All spans that name an execution; most never do.
create index if not exists idx_trace_spans_execution_id on trace_spans (execution_id)
    where execution_id is not null;
-- Windows of time.
create index if not exists idx_trace_spans_started_at on trace_spans (started_at);
-- Rows of ours by span id: the rows that a write has to look at, and the one-row-a-span guarantee.
create unique index if not exists beacon_own_spans on trace_spans (span_id, trace_id)
    where metadata ->> 'collector' = 'beacon-collector';
-- Rows of ours that are open: the deadline sweep and the state after a restart.
create index if not exists beacon_open_spans on trace_spans (started_at)
    where status = 'started' and metadata ->> 'collector' = 'beacon-collector';

create table if not exists jobs (
    id           integer primary key,
    jobspec_id   text unique not null,
    jobspec_data text not null,
    status       text default 'queued',
    created_at   text default (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
    updated_at   text default (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);

create table if not exists executions (
    id            integer primary key,
    job_id        integer references jobs (id),
    provider_id   text not null,
    region        text not null,
    status        text default 'pending',
    started_at    text,
    completed_at  text,
    output_data   text,
    receipt_data  text,
    created_at    text default (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
    model_id      text default 'llama3.2-1b',
    question_id   text
);

-- The executions of a job.
create index if not exists beacon_executions_job_id on executions (job_id);
-- Recent executions.
create index if not exists beacon_executions_created_at on executions (created_at);

-- Where each source resumes.
create table if not exists checkpoints (
    source     text primary key,
    position   text not null,
    updated_at text not null
) without rowid;

-- Which execution a trace of others belongs to.
create table if not exists execution_links (
    trace_id     text not null,
    execution_id integer not null,
    method       text not null,
    confidence   real not null,
    primary key (trace_id, execution_id)
) without rowid;

-- The traces of an execution.
create index if not exists execution_links_execution_id on execution_links (execution_id);

-- Known losses of log lines. Overlap with an interval is asked by its end.
create table if not exists loss_ledger (
    source     text not null,
    lost_from  text not null,
    lost_to    text not null,
    reason     text not null,
    lost       integer not null,
    primary key (source, lost_from, lost_to, reason)
) without rowid;
create index if not exists loss_ledger_lost_to on loss_ledger (lost_to);

-- Spans that could not be stored as they are, whole, with the reason.
create table if not exists rejected_spans (
    trace_id    text not null,
    span_id     text not null,
    reason      text not null,
    span        text not null,
    rejected_at text not null,
    primary key (span_id, trace_id)
) without rowid;
