-- Because the configuration has a section [retention]: spans older than it keeps are deleted.
grant delete on public.trace_spans to beacon_writer;
