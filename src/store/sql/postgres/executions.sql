-- Executions with the public id of their job, in the order in which row.rs reads them. Times are naive
-- and hold UTC: they leave as they are and are compared with naive parameters, so that no session's time
-- zone has a say.
select
    e.id, e.job_id, j.jobspec_id, e.provider_id, e.region, e.status, e.started_at, e.completed_at,
    e.created_at, e.model_id, e.question_id, e.output_data
from public.executions e
left join public.jobs j on j.id = e.job_id
