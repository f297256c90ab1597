-- The table as the runner and the router make it.
create table trace_spans (
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
create index idx_trace_spans_trace_id on trace_spans (trace_id);
create index idx_trace_spans_job_id on trace_spans (job_id);
create index idx_trace_spans_execution_id on trace_spans (execution_id);
create index idx_trace_spans_started_at on trace_spans (started_at);
create index idx_trace_spans_service_operation on trace_spans (service, operation);
create index idx_trace_spans_created_at on trace_spans (created_at);
