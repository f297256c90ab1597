-- New contents, ids included, of a row of ours. The mark is asked for again: a row of others is never
-- changed.
update trace_spans
set trace_id = ?, span_id = ?, parent_span_id = ?, service = ?, operation = ?, started_at = ?,
    completed_at = ?, duration_ms = ?, status = ?, job_id = ?, execution_id = ?, model_id = ?,
    region = ?, metadata = ?, error_message = ?, error_type = ?
where id = ?
  and metadata ->> 'collector' = 'beacon-collector'
