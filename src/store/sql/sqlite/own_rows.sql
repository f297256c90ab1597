-- Rows of ours in the ranges of span ids that begin at the ids in ?1, a JSON array. A range is all ids with
-- the same first 22 digits. The cross join keeps the ranges outside: one look-up in beacon_own_spans each.
json_each(?1) r
cross join trace_spans s
where s.span_id between r.value and substr(r.value, 1, 26) || 'ffffffffff'
  and s.metadata ->> 'collector' = 'beacon-collector'
