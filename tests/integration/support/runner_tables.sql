-- The tables as the runner and the router make them, before the collector is ever pointed at them.
create table jobs (
    id           serial primary key,
    jobspec_id   varchar(255) unique not null,
    jobspec_data jsonb not null,
    status       varchar(50) default 'queued',
    created_at   timestamp default now(),
    updated_at   timestamp default now()
);
create table executions (
    id            serial primary key,
    job_id        integer references jobs (id),
    provider_id   varchar(255) not null,
    region        varchar(100) not null,
    status        varchar(50) default 'pending',
    started_at    timestamp,
    completed_at  timestamp,
    output_data   jsonb,
    receipt_data  jsonb,
    created_at    timestamp default now(),
    model_id      varchar(50) default 'llama3.2-1b',
    question_id   varchar(255)
);
