-- The collector's own tables, in a schema of its own, and trace_spans where there is none yet. Runs in one
-- transaction. Nothing that others own is touched: jobs and executions are the runner's, and an existing
-- trace_spans stays as it is (indexes that it needs are built afterwards, without locking it).

-- Asked first: `create schema if not exists` demands the right to create one even when it is there.
do $$
begin
    if to_regnamespace('beacon_collector') is null then
        create schema beacon_collector;
    end if;
end
$$;

create table beacon_collector.migrations (
    version    bigint primary key,
    name       text not null,
    applied_at timestamptz not null default now()
);

-- Where each source resumes.
create table beacon_collector.checkpoints (
    source     text primary key,
    position   jsonb not null,
    updated_at timestamptz not null default now()
);

-- Which execution a trace of others belongs to.
create table beacon_collector.execution_links (
    trace_id     uuid not null,
    execution_id bigint not null,
    method       text not null,
    confidence   double precision not null,
    found_at     timestamptz not null default now(),
    primary key (trace_id, execution_id)
);
-- The traces of an execution.
create index execution_links_execution_id on beacon_collector.execution_links (execution_id);

-- Known losses of log lines; overlap with an interval is asked by its end.
create table beacon_collector.loss_ledger (
    source    text not null,
    lost_from timestamptz not null,
    lost_to   timestamptz not null,
    reason    text not null,
    lost      bigint not null,
    primary key (source, lost_from, lost_to, reason)
);
create index loss_ledger_lost_to on beacon_collector.loss_ledger (lost_to);

-- Spans that could not be stored as they are, whole, with the reason. Text: it may hold what jsonb refuses.
create table beacon_collector.rejected_spans (
    trace_id    uuid not null,
    span_id     uuid not null,
    reason      text not null,
    span        text not null,
    rejected_at timestamptz not null default now(),
    primary key (span_id, trace_id)
);

-- On a database that the runner and the router have not been at yet: the table as they would make it.
do $$
begin
    if to_regclass('public.trace_spans') is null then
        create table public.trace_spans (
            id             bigserial primary key,
            trace_id       uuid not null,
            span_id        uuid not null,
            parent_span_id uuid,
            service        varchar(50) not null,
            operation      varchar(100) not null,
            started_at     timestamptz not null,
            completed_at   timestamptz,
            duration_ms    integer,
            status         varchar(20) not null,
            job_id         varchar(255),
            execution_id   bigint,
            model_id       varchar(100),
            region         varchar(50),
            metadata       jsonb,
            error_message  text,
            error_type     varchar(100),
            created_at     timestamptz default now()
        );
        create index idx_trace_spans_trace_id on public.trace_spans (trace_id);
        create index idx_trace_spans_job_id on public.trace_spans (job_id);
        create index idx_trace_spans_execution_id on public.trace_spans (execution_id);
        create index idx_trace_spans_started_at on public.trace_spans (started_at);
        create index idx_trace_spans_service_operation on public.trace_spans (service, operation);
        create index idx_trace_spans_created_at on public.trace_spans (created_at);
    end if;
end
$$;
