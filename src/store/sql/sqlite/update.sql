-- New contents, ids included, of the row of ours at (?17, ?18).
update trace_spans
set trace_id = ?, span_id = ?, parent_span_id = ?, service = ?, operation = ?, started_at = ?,
    completed_at = ?, duration_ms = ?, status = ?, job_id = ?, execution_id = ?, model_id = ?,
    region = ?, metadata = ?, error_message = ?, error_type = ?
where span_id = ? and trace_id = ?
  and metadata ->> 'collector' = 'beacon-collector'
