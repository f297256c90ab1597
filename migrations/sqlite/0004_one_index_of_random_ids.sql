-- The rows of a batch go in by the hundred in one statement. SQLite keeps copies of all pages that such a
-- statement touches, unless it can't fail half-way, and for SQLite every function may: none stands in the
-- conditions of these indexes.

-- The trace of a span that is not linked has the span's own id, so that the index on trace_id finds it by
-- that, and only the others need this one. Ids are random: each index over all of them costs a batch a change
-- of most of its pages. That a span of ours is one row is seen to by the write itself, which looks and inserts
-- under one lock.
drop index if exists beacon_own_spans;
create index if not exists beacon_linked_spans on trace_spans (span_id) where trace_id <> span_id;
-- Rows that are open, those of others among them: the deadline sweep and the state after a restart.
drop index if exists beacon_open_spans;
create index if not exists beacon_open_spans on trace_spans (started_at) where status = 'started';
