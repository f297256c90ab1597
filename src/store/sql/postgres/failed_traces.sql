-- Those of the traces in $1 in which something failed.
select distinct s.trace_id
from public.trace_spans s
where s.trace_id = any($1)
  and lower(s.status) in ('failed', 'failure', 'error', 'cancelled', 'canceled', 'timeout', 'timed_out',
      'timedout')
