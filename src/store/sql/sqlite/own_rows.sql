-- Rows of ours in the ranges of span ids in ?1, a JSON array of pairs. The cross join keeps the ranges
-- outside: one look-up in beacon_own_spans each.
json_each(?1) r
cross join trace_spans s
where s.span_id between r.value ->> 0 and r.value ->> 1
  and s.metadata ->> 'collector' = 'beacon-collector'
