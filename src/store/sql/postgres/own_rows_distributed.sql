-- The same on a table that is spread over machines: a plain join, which every machine does on its part.
unnest($1::uuid[], $2::uuid[]) r (low, high)
join public.trace_spans s
    on s.span_id between r.low and r.high
   and s.metadata ->> 'collector' = 'beacon-collector'
