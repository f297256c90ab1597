
-- Of these only failures: one that still waits or runs has not failed. In the words of the index
-- beacon_failed_executions.
  and lower(e.status) not in (
      'completed', 'complete', 'success', 'succeeded', 'ok', 'done',
      'pending', 'queued', 'running', 'started')
