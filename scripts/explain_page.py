"""The writing half of explain.sh: a server's log with auto_explain's plans in, a page out."""
import json
import re
import subprocess
import sys

URL = sys.argv[1]
TABLES = ("trace_spans", "executions", "jobs", "execution_links", "loss_ledger", "checkpoints", "leases", "rejected_spans", "shard_writers")


def psql(query):
    return subprocess.run(["psql", "-X", "-q", "-At", "-F", "\t", URL, "-c", query], check=True, capture_output=True, text=True).stdout.strip()


def plain(sql):
    """A statement without comments, on one line."""
    sql = re.sub(r"\s+", " ", re.sub(r"--[^\n]*", " ", sql)).strip().rstrip(";")
    # One that is sent with `begin` stands behind the locks and names its process.
    if sql.startswith("begin "):
        sql = re.sub(r"'(\{[\d,]+\}|[\da-f-]{36})'", "'…'", sql.rsplit("; ", 1)[1])
    return sql


def short(sql):
    """The same with its long lists left out."""
    sql = re.sub(r"^select s\.trace_id, .*? s\.id from ", "select … from ", sql)
    sql = re.sub(r"^select e\.id, .*? from ", "select … from ", sql)
    sql = re.sub(r"\( ?trace_id, span_id, parent.*?\)", "(…)", sql)
    sql = re.sub(r"set trace_id = .*? from unnest", "set … from unnest", sql)
    sql = re.sub(r"( select )o\.trace_id, .*?( from )", r"\1…\2", sql)
    sql = re.sub(r"(\$\d+::\w+\[\], )+(\$\d+::\w+\[\])", r"…, \2", sql)
    return sql if len(sql) <= 170 else sql[:167] + "…"


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def told(plan, depth=0):
    """A plan as text: what is done, on what, by which condition, and to how many rows."""
    name = plan["Node Type"]
    on = plan.get("Index Name") or plan.get("Relation Name") or plan.get("Function Name") or plan.get("CTE Name")
    rows = plan.get("Actual Rows", 0) * plan.get("Actual Loops", 1)
    line = f"{'  ' * depth}{name}{' on ' + on if on else ''}  rows={rows:.0f}"
    for key in ("Index Cond", "Recheck Cond", "Filter", "Sort Key"):
        if key in plan and key != "Recheck Cond":
            text = plan[key] if isinstance(plan[key], str) else ", ".join(plan[key])
            line += f"\n{'  ' * depth}    {key.lower()}: {text if len(text) < 140 else text[:137] + '…'}"
    if plan.get("Rows Removed by Filter"):
        line += f"\n{'  ' * depth}    rows removed by filter: {plan['Rows Removed by Filter'] * plan.get('Actual Loops', 1):.0f}"
    return "\n".join([line] + [told(child, depth + 1) for child in plan.get("Plans", [])])


def main():
    found = {}
    for body in re.findall(r"LOG:  duration: [0-9.]+ ms  plan:\n((?:\t.*\n)+)", sys.stdin.read()):
        plan = json.loads(re.sub(r"^\t", "", body, flags=re.MULTILINE))
        sql = plain(plan["Query Text"])
        uses_a_table = any(node.get("Relation Name") in TABLES for node in nodes(plan["Plan"]))
        if uses_a_table and "auto_explain" not in sql:
            found.setdefault(sql, plan["Plan"])
    if not found:
        sys.exit("the server's log holds no plan; does it have auto_explain?")
    version, spans, executions, size = psql(
        "select split_part(version(), ' ', 2), (select count(*) from trace_spans), (select count(*) from executions), "
        "pg_size_pretty(pg_database_size(current_database()))").split("\t")
    print(f"""# Plans: how Postgres goes about each statement

Written by `scripts/explain.sh`; don't edit it by hand. These are the statements that the store ran when it was asked
everything it answers about an hour, and wrote a batch, on a database filled by `scripts/big-database.sh`:
{int(spans):,} spans, {int(executions):,} executions, {size}, 30 days; PostgreSQL {version} with its defaults. Rows are
those that the scans gave, and those that they looked at for nothing; milliseconds are those of a shared machine with
all in memory. New rows go in by `copy`, which has no plan.

That none of them reads a whole table of spans is what the test
`every_question_and_write_is_served_by_an_index` insists on. Tables of few rows (checkpoints, leases, jobs) may be
read as a whole where that is cheaper.

| statement | by | rows | looked at for nothing | ms |
| --- | --- | --- | --- | --- |""")
    order = sorted(found.items(), key=lambda entry: (not entry[0].startswith("select"), entry[0]))
    for number, (sql, plan) in enumerate(order, 1):
        scans = [node for node in nodes(plan) if "Scan" in node["Node Type"] and (node.get("Index Name") or node.get("Relation Name"))]
        by = sorted({node.get("Index Name") or f"whole of {node['Relation Name']}" for node in scans
                     if node["Node Type"] != "Bitmap Heap Scan"})
        by += [name for node in nodes(plan) for name in node.get("Conflict Arbiter Indexes", [])]
        count = lambda what: sum(node.get(what, 0) * node.get("Actual Loops", 1) for node in scans if node["Node Type"] != "Bitmap Index Scan")
        rows, spare = count("Actual Rows"), count("Rows Removed by Filter")
        cell = short(sql).replace("|", "\\|")
        print(f"| {number}. `{cell}` | {', '.join(f'`{name}`' for name in by)} | {rows:.0f} | {spare:.0f} | {plan.get('Actual Total Time', 0):.1f} |")
    print("\n## One by one")
    for number, (sql, plan) in enumerate(order, 1):
        print(f"\n<details><summary>{number}. <code>{short(sql).replace('<', '&lt;')}</code></summary>\n\n```sql\n{sql}\n```\n\n```\n{told(plan)}\n```\n\n</details>")


main()
