-- Those of the traces in ?1, a JSON array, in which something failed.
select distinct trace_id
from trace_spans
where trace_id in (select value from json_each(?1))
  and lower(status) in ('failed', 'failure', 'error', 'cancelled', 'canceled', 'timeout', 'timed_out',
      'timedout')
