-- The rows of the executions that `plan` (plan.sql) describes, as the runner, the router and the
-- collector leave them behind: facts about runner and router spans stand in metadata and their
-- execution in execution_links; printed spans carry their columns. One in fifty printed spans stayed
-- unlinked, one in a hundred traces has no execution.
insert into jobs (id, jobspec_id, jobspec_data, status, created_at, updated_at)
select job + 1, jobspec, jsonb_build_object('id', jobspec), 'completed',
    job_began at time zone 'utc', job_began at time zone 'utc'
from plan
where (g - 1) % 18 = 0;

insert into executions (
    id, job_id, provider_id, region, status, started_at, completed_at, output_data, created_at, model_id,
    question_id)
select
    g, job + 1, case when reached_modal then 'modal-' || modal_region else '' end, region,
    case when failed then 'failed' else 'completed' end, t0 at time zone 'utc', t1 at time zone 'utc',
    case
        when failed then jsonb_build_object('error', error)
        else jsonb_build_object('response', repeat('So it is said, and so it was. ', 4 + (g % 5)::int))
    end,
    (t1 + interval '9 milliseconds') at time zone 'utc', model, 'question_' || question + 1
from plan
order by g;

insert into beacon_collector.execution_links (trace_id, execution_id, method, confidence)
select trace_id, g, 'interval', 0.98
from plan
where g % 100 <> 0;

insert into trace_spans (
    trace_id, span_id, parent_span_id, service, operation, started_at, completed_at, duration_ms, status,
    job_id, execution_id, model_id, region, metadata, error_message, error_type, created_at)
select
    s.trace_id, s.span_id, s.parent, s.service, s.operation, s.began, s.ended,
    (extract(epoch from s.ended - s.began) * 1000)::int,
    case when s.ended is null then 'timeout' when s.error is null then 'completed' else 'failed' end,
    s.job_id, s.execution_id, s.model_id, s.region, s.facts, s.error,
    case when s.error is not null then s.error_type end, s.began
from plan p
cross join lateral (
    values
        (p.trace_id, p.root, null::uuid, 'runner', 'execute_question', p.t0, p.t1, null::text, null::bigint,
            null::text, null::text,
            jsonb_build_object('job_id', p.jobspec, 'model_id', p.model, 'region', p.region, 'question_id', p.question + 1),
            p.error, 'execution_failure', true),
        (p.trace_id, p.call, p.root, 'runner', 'hybrid_router_call', p.t0 + interval '4 milliseconds',
            p.t1 - interval '1 millisecond', null, null, null, null,
            jsonb_build_object('job_id', p.jobspec, 'model_id', p.model, 'region', p.region),
            p.error, 'router_error', p.cause <> 'executor_missing'),
        (p.trace_id, p.routed, p.call, 'router', 'inference_request', p.t0 + interval '7 milliseconds',
            case when p.cause = 'response_lost' then p.infers + p.inference * interval '1 second'
                else p.t1 - interval '2 milliseconds' end,
            null, null, null, null, jsonb_build_object('model', p.model, 'region', p.region),
            case when p.cause <> 'response_lost' then p.error end, 'RouterError',
            p.cause not in ('executor_missing', 'router_unreachable')),
        (p.trace_id, p.provider, p.routed, 'router', 'modal_call', p.called,
            case when p.cause = 'response_lost' then p.infers + p.inference * interval '1 second'
                else p.t1 - interval '4 milliseconds' end,
            null, null, null, null,
            jsonb_build_object('model', p.model, 'region', p.region, 'provider', 'modal-' || p.modal_region),
            case when p.cause <> 'response_lost' then p.error end, 'HTTPStatusError', p.reached_modal),
        (case when p.g % 50 = 0 then p.modal else p.trace_id end, p.modal,
            case when p.g % 50 <> 0 then p.provider end, 'modal', 'inference', p.infers,
            case when p.cause <> 'modal_timeout' then p.infers + p.inference * interval '1 second' end,
            case when p.g % 50 <> 0 then p.jobspec end, case when p.g % 50 <> 0 then p.g end, p.model,
            p.modal_region,
            jsonb_build_object(
                'collector', 'beacon-collector', 'log_id', p.log_id, 'source', 'modal:project-beacon-hf',
                'container_id', 'ta-01K' || upper(left(md5('container ' || p.g / 400), 23)),
                'function_call_id', 'fc-01K' || upper(left(md5('function call ' || p.g), 23)),
                'reported_duration_ms', (p.inference * 1000)::int, 'tokens', 16 + p.g % 480,
                'link', jsonb_build_object('method', 'assignment', 'confidence', 0.97,
                    'filled', jsonb_build_array('trace_id', 'parent_span_id', 'execution_id', 'job_id'))),
            case when p.cause in ('out_of_memory', 'modal_exception') then p.error end,
            case p.cause when 'out_of_memory' then 'OutOfMemoryError' else 'RuntimeError' end, p.reached_modal),
        -- Every third container start is seen.
        (case when p.g % 50 = 0 then p.modal else p.trace_id end,
            overlay(overlay(md5('load ' || p.g) placing '8' from 13) placing 'a' from 17)::uuid, p.modal,
            'modal', 'model load', p.infers, p.infers + interval '60 milliseconds',
            p.jobspec, case when p.g % 50 <> 0 then p.g end, p.model, p.modal_region,
            jsonb_build_object(
                'collector', 'beacon-collector', 'log_id', left(md5('load ' || p.g), 8),
                'source', 'modal:project-beacon-hf',
                'container_id', 'ta-01K' || upper(left(md5('container ' || p.g / 400), 23))),
            null, null, p.reached_modal and p.g % 3 = 0)
    ) s (
        trace_id, span_id, parent, service, operation, began, ended, job_id, execution_id, model_id, region,
        facts, error, error_type, happened)
where s.happened
order by p.g, s.began;
