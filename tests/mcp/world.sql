-- A small history for the suites of other people: one job, one execution that went well, one that failed.
insert into jobs (id, jobspec_id, jobspec_data, status, created_at) values
  (1, 'bias-detection-1', '{}', 'completed', '2025-10-22T13:00:00.000000Z');
insert into executions (id, job_id, provider_id, region, status, started_at, completed_at, created_at, model_id) values
  (2301, 1, 'p', 'US', 'failed', '2025-10-22T13:00:00.000000Z', '2025-10-22T13:00:00.025000Z', '2025-10-22T13:00:00.025000Z', 'llama3.2-1b'),
  (2302, 1, 'p', 'US', 'completed', '2025-10-22T13:01:00.000000Z', '2025-10-22T13:01:02.000000Z', '2025-10-22T13:01:02.000000Z', 'llama3.2-1b');
insert into trace_spans (trace_id, span_id, service, operation, started_at, completed_at, duration_ms, status, execution_id, metadata, error_message, error_type) values
  ('00000000-0000-4000-8000-000000002301', '00000000-0000-4000-9000-000000002301', 'runner', 'execute_question',
   '2025-10-22T13:00:00.000000Z', '2025-10-22T13:00:00.024000Z', 24, 'failed', 2301, '{"model_id": "llama3.2-1b", "region": "US"}', 'no healthy providers', 'RouterError'),
  ('00000000-0000-4000-8000-000000002301', '00000000-0000-4000-9001-000000002301', 'router', 'inference_request',
   '2025-10-22T13:00:00.005000Z', '2025-10-22T13:00:00.020000Z', 15, 'failed', 2301, '{"model_id": "llama3.2-1b", "region": "US"}', 'no healthy providers', 'RouterError'),
  ('00000000-0000-4000-8000-000000002302', '00000000-0000-4000-9000-000000002302', 'runner', 'execute_question',
   '2025-10-22T13:01:00.000000Z', '2025-10-22T13:01:02.000000Z', 2000, 'completed', 2302, '{"model_id": "llama3.2-1b", "region": "US"}', null, null);
