delete from beacon_collector.loss_ledger l
using (
    select source, lost_from, lost_to, reason
    from beacon_collector.loss_ledger
    where lost_to < $1
    order by lost_to
    limit $2
) d
where l.source = d.source and l.lost_from = d.lost_from and l.lost_to = d.lost_to and l.reason = d.reason
