-- Fences go on growing without them: a new lease begins with the time.
delete from beacon_collector.leases l
using (select name from beacon_collector.leases where expires_at < $1 limit $2) d
where l.name = d.name and l.expires_at < $1
