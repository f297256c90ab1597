-- What happens in executions :lo to :hi of :total in a made-up history of :days days that ends at :'ends'.
-- Everything follows from the running number, so that any slice of the same history can be made by itself.
-- 18 executions are a job (2 questions x 3 regions x 3 models); of a hundred executions about eight fail,
-- and now and then a region fails for a whole job. A table, so that each value is worked out once.
create temp table plan as
with drawn as (
    select
        g,
        (g - 1) / 18 as job,
        ((g - 1) % 18) / 9 as question,
        ((g - 1) / 3) % 3 as place,
        (g - 1) % 3 as kind,
        abs(hashint8extended(g, 1)) % 1000 as fate,
        -- From 0 to 1.
        (abs(hashint8extended(g, 2)) % 100000) / 100000.0 as wait,
        (abs(hashint8extended(g, 3)) % 100000) / 100000.0 as work,
        (abs(hashint8extended((g - 1) / 18, 4)) % 400) as weather
    from generate_series(:lo::bigint, :hi::bigint) g
),
decided as (
    select
        *,
        (array['US', 'EU', 'ASIA'])[place + 1] as region,
        (array['us-east', 'eu-west', 'asia-pacific'])[place + 1] as modal_region,
        (array['llama3.2-1b', 'mistral-7b', 'qwen2.5-1.5b'])[kind + 1] as model,
        case
            -- An outage of one region.
            when weather = place then 'no_healthy_provider'
            when fate < 915 then 'fine'
            when fate < 925 then 'cold_start'
            when fate < 940 then 'no_healthy_provider'
            when fate < 950 then 'router_unreachable'
            when fate < 960 then 'executor_missing'
            when fate < 975 then 'out_of_memory'
            when fate < 985 then 'modal_exception'
            when fate < 993 then 'modal_timeout'
            else 'response_lost'
        end as cause,
        :'ends'::timestamptz - :'days'::int * interval '1 day'
            + job * (:'days'::int * interval '1 day' / ((:total::bigint - 1) / 18 + 1)) as job_began
    from drawn
),
timed as (
    select
        *,
        job_began + (question * 15 + wait * 4) * interval '1 second' as t0,
        -- Seconds from the start of the execution to what happens next.
        case when cause = 'cold_start' then 30 + 40 * wait else 0.08 + 0.3 * wait end as boot,
        case
            when cause in ('out_of_memory', 'modal_exception') then 0.2 + 6 * work
            else (array[1.8, 14.0, 2.6])[kind + 1] * (0.7 + 0.6 * work)
        end as inference
    from decided
)
select
    *,
    t0 + case cause
        when 'executor_missing' then 0.008 + 0.02 * work
        when 'router_unreachable' then 0.01 + 0.03 * work
        when 'no_healthy_provider' then 0.012 + 0.015 * work
        when 'modal_timeout' then 120.1
        when 'response_lost' then 90 + 60 * work
        else boot + inference + 0.12
    end * interval '1 second' as t1,
    t0 + 0.03 * interval '1 second' as called,
    t0 + (0.03 + boot) * interval '1 second' as infers,
    cause not in ('fine', 'cold_start') as failed,
    cause not in ('executor_missing', 'router_unreachable', 'no_healthy_provider') as reached_modal,
    md5('trace ' || g)::uuid as trace_id,
    md5('root ' || g)::uuid as root,
    md5('call ' || g)::uuid as call,
    md5('router ' || g)::uuid as routed,
    md5('provider ' || g)::uuid as provider,
    -- Version and variant of a computed span id; the log id in front.
    overlay(overlay(md5('modal ' || g) placing '8' from 13) placing 'a' from 17)::uuid as modal,
    left(md5('modal ' || g), 8) as log_id,
    'bias-detection-' || (1700000000000 + job * 7919) as jobspec,
    case cause
        when 'no_healthy_provider' then 'HTTP 503: no healthy providers available for region ' || modal_region
        when 'router_unreachable' then 'Post "https://router.example/inference": dial tcp 10.0.0.7:443: connect: connection refused'
        when 'executor_missing' then 'no executor configured'
        when 'out_of_memory' then 'CUDA out of memory. Tried to allocate ' || (1 + g % 9) || '.16 GiB (GPU 0; 14.58 GiB total capacity)'
        when 'modal_exception' then 'probability tensor contains either `inf`, `nan` or element < 0'
        when 'modal_timeout' then 'timed out while waiting for modal-' || modal_region
        when 'response_lost' then 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    end as error
from timed;
