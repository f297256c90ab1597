-- Version, clock, whether our own schema is there, and the rights that this role lacks on what is there.
-- By the catalogue: a look-up by name fails in a schema that the role may not use.
with public_tables (relation, action) as (
    values
        ('trace_spans', 'select'),
        ('trace_spans', 'insert'),
        ('trace_spans', 'update'),
        ('executions', 'select'),
        ('jobs', 'select')
),
-- Tables of others need what is named; those of our own schema everything.
tables as (
    select n.oid as schema_oid, n.nspname as schema, c.oid as relation_oid, c.relname as relation, action
    from public_tables
    join pg_namespace n on n.nspname = 'public'
    join pg_class c on c.relnamespace = n.oid and c.relname = public_tables.relation
    union all
    select n.oid, n.nspname, c.oid, c.relname, action
    from pg_namespace n
    join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'p')
    cross join unnest(array['select', 'insert', 'update', 'delete']) as action
    where n.nspname = 'beacon_collector'
),
lacking as (
    select action || ' on ' || schema || '.' || relation as missing
    from tables
    where not has_schema_privilege(schema_oid, 'usage') or not has_table_privilege(relation_oid, action)
    union all
    -- Numbers new rows, where the column has one.
    select 'usage on sequence public.trace_spans_id_seq'
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relname = 'trace_spans_id_seq' and c.relkind = 'S'
        and not has_sequence_privilege(c.oid, 'usage')
)
select
    current_setting('server_version'),
    clock_timestamp(),
    exists (select from tables where relation = 'migrations' and schema = 'beacon_collector'),
    exists (select from tables where relation = 'trace_spans' and schema = 'public'),
    coalesce((select string_agg(missing, ', ' order by missing) from lacking), '')
