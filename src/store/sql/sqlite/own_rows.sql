-- Rows of ours in the ranges of span ids that begin at the ids in ?1, a JSON array. A range is all ids with
-- the same first 22 digits. Those that are not linked are found by their trace, the others by
-- beacon_linked_spans; the cross joins keep the ranges outside, so that each is one look-up.
trace_spans s
where s.id in (
    select u.id
    from json_each(?1) r
    cross join trace_spans u
    where u.trace_id between r.value and substr(r.value, 1, 26) || 'ffffffffff'
      and u.trace_id = u.span_id
    union all
    select l.id
    from json_each(?1) r
    cross join trace_spans l
    where l.span_id between r.value and substr(r.value, 1, 26) || 'ffffffffff'
      and l.trace_id <> l.span_id
)
  and s.metadata ->> 'collector' = 'beacon-collector'
