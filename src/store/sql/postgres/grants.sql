-- What the collector's role needs at run time once an administrator has run `beacon-collector migrate`.
-- Replace beacon_writer by its name. It changes only rows of trace_spans that carry its own mark, and
-- deletes none unless [retention] in its configuration says so.
grant usage on schema public, beacon_collector to beacon_writer;
grant select, insert, update on public.trace_spans to beacon_writer;
grant usage on sequence public.trace_spans_id_seq to beacon_writer;
grant select, insert, update, delete on all tables in schema beacon_collector to beacon_writer;
-- And on those that a later version adds, when the same administrator runs its `migrate`:
alter default privileges in schema beacon_collector
    grant select, insert, update, delete on tables to beacon_writer;
-- Where the runner's tables are there (without them, executions and jobs are unknown):
grant select on public.jobs, public.executions to beacon_writer;
