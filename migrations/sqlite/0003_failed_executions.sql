-- Recent failures and their number, which would otherwise be sought among all that went well. All
-- that is asked of them is in it: they are counted without looking at the rows.
create index if not exists beacon_failed_executions on executions (created_at, model_id, region, status)
    where lower(status) not in (
        'completed', 'complete', 'success', 'succeeded', 'ok', 'done',
        'pending', 'queued', 'running', 'started');
