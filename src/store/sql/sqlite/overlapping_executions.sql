-- The condition on executions that ran at some time in [?1, ?2). The index on created_at narrows it
-- down: rows are written when an execution ends, or begins, at most an hour away: from ?3 to ?4.
where e.created_at >= ?3 and e.created_at < ?4
  and (e.completed_at is null or e.completed_at >= ?1)
  and coalesce(e.started_at, e.created_at) < ?2
