-- The condition on executions written in [$1, $2). $3: only failures. $4 model, $5 region: null for any.
-- An execution that still waits or runs has not failed.
where e.created_at >= $1 and e.created_at < $2
  and (not $3 or lower(e.status) not in (
      'completed', 'complete', 'success', 'succeeded', 'ok', 'done',
      'pending', 'queued', 'running', 'started'))
  and ($4::text is null or e.model_id = $4)
  and ($5::text is null or lower(e.region) = lower($5))
