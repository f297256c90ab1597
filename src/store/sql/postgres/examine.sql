-- Version, clock, whether our own schema is there, and the rights that this role lacks on what is there.
-- By the catalogue: a look-up by name fails in a schema that the role may not use.
with wanted (schema, relation, action) as (
    values
        ('public', 'trace_spans', 'select'),
        ('public', 'trace_spans', 'insert'),
        ('public', 'trace_spans', 'update'),
        ('public', 'executions', 'select'),
        ('public', 'jobs', 'select'),
        ('beacon_collector', 'migrations', 'select'),
        ('beacon_collector', 'checkpoints', 'insert'),
        ('beacon_collector', 'checkpoints', 'update'),
        ('beacon_collector', 'execution_links', 'insert'),
        ('beacon_collector', 'loss_ledger', 'insert'),
        ('beacon_collector', 'rejected_spans', 'insert')
),
found as (
    select wanted.schema, wanted.relation, wanted.action, n.oid as schema_oid, c.oid as relation_oid
    from wanted
    join pg_namespace n on n.nspname = wanted.schema
    join pg_class c on c.relnamespace = n.oid and c.relname = wanted.relation
)
select
    current_setting('server_version'),
    clock_timestamp(),
    exists (select from found where relation = 'migrations'),
    exists (select from found where relation = 'trace_spans'),
    coalesce(
        (
            select string_agg(action || ' on ' || schema || '.' || relation, ', ')
            from found
            where not has_schema_privilege(schema_oid, 'usage') or not has_table_privilege(relation_oid, action)
        ),
        ''
    )
