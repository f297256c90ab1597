-- New rows; the values follow, 17 to a row. A refusal is not taken back by itself: the transaction is. No
-- function is called: where one is, SQLite copies every page that a statement of several rows touches.
insert or fail into trace_spans (
    trace_id, span_id, parent_span_id, service, operation, started_at, completed_at, duration_ms,
    status, job_id, execution_id, model_id, region, metadata, error_message, error_type, created_at)
