-- The condition on executions written in [?1, ?2). ?3 model, ?4 region: null for any.
where e.created_at >= ?1 and e.created_at < ?2
  and (?3 is null or e.model_id = ?3)
  and (?4 is null or lower(e.region) = lower(?4))
