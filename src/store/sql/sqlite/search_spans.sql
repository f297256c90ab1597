-- Spans that match a search, newest first, by the index on started_at. ?1 from, ?2 to; what follows is
-- null for any: ?3 service, ?4 status, ?5 model, ?6 region, ?7 job, ?8 shortest duration, ?9 text;
-- ?10 only ours; ?11, ?12 the start and id of the last span seen. ?13 limit.
 trace_spans s
where s.started_at >= ?1 and s.started_at < ?2
  and (?3 is null or s.service = ?3)
  and (?4 is null or lower(s.status) = lower(?4))
  and (?5 is null or coalesce(s.model_id, s.metadata ->> 'model_id', s.metadata ->> 'model') = ?5)
  and (?6 is null or lower(coalesce(s.region, s.metadata ->> 'region')) = lower(?6))
  and (?7 is null or coalesce(s.job_id, s.metadata ->> 'job_id') = ?7)
  and (?8 is null or s.duration_ms >= ?8)
  and (?9 is null or instr(lower(
      coalesce(s.error_message, '') || ' ' || coalesce(s.error_type, '') || ' ' || s.operation || ' '
      || coalesce(s.metadata ->> 'log_id', '')), lower(?9)) > 0)
  and (not ?10 or s.metadata ->> 'collector' = 'beacon-collector')
  and (?11 is null or s.started_at < ?11 or (s.started_at = ?11 and s.span_id < ?12))
order by s.started_at desc, s.span_id desc, s.id desc
limit ?13
