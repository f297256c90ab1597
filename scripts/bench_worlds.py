"""The measuring half of bench-worlds.sh: makes worlds, feeds them to whole processes, compares answers
with the truth and prints the tables."""
import argparse
import collections
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

COLLECTOR = os.environ["BEACON_PROGRAM"]
SERVER = os.environ["BEACON_TEST_POSTGRES_URL"]
SCHEMA = ["tests/integration/support/runner_tables.sql", "tests/integration/support/trace_spans.sql"]
KINDS = {"plain": [], "overlap": ["--overlap"], "outage": ["--outage"], "both": ["--overlap", "--outage"],
         "hot": ["--overlap", "--outage", "--fault-rate", "0.4"]}
SAMPLE = 3  # executions of each world that are asked about on the command line as well


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{command[0]} failed: {done.stderr.strip()}")
    return done


def psql(url, *arguments):
    return run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-At", url, *arguments).stdout


def postgres(name, folder):
    """A database as the runner and the router leave it."""
    psql(SERVER, "-c", f"drop database if exists {name}", "-c", f"create database {name}")
    url = urllib.parse.urlsplit(SERVER)._replace(path="/" + name).geturl()
    for file in [*SCHEMA, folder / "db.sql"]:
        psql(url, "-f", file)
    return url


def embedded(folder):
    """The same rows in the embedded database; its times are RFC 3339 in UTC."""
    url = f"sqlite:{folder}/beacon.db"
    run(COLLECTOR, "--database", url, "migrate")
    database = sqlite3.connect(folder / "beacon.db")
    script = (folder / "db.sql").read_text(encoding="utf-8")
    time = re.compile(r"'(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d{6})?(\+00:00)?'")
    script = time.sub(lambda m: f"'{m[1]}T{m[2]}{m[3] or '.000000'}Z'", script)
    database.executescript("\n".join(line for line in script.split("\n") if not line.startswith("SELECT setval")))
    database.close()
    return url


class Daemon:
    """A collector that serves a database, for as long as the with block lasts."""

    def __init__(self, url, folder):
        self.command = [COLLECTOR, "--database", url, "--listen", "127.0.0.1:0"]
        self.environment = dict(os.environ, XDG_STATE_HOME=str(folder), STATE_DIRECTORY=str(folder))

    def __enter__(self):
        self.child = subprocess.Popen(self.command + ["--keep-serving"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      text=True, env=self.environment)
        for line in self.child.stderr:
            address = re.search(r"127\.0\.0\.1:[1-9]\d*", line)
            if address:
                self.address = address[0]
                break
        else:
            sys.exit("the collector did not say where it listens")
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.communicate()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}") as answer:
            return answer.read().decode()


class Tally:
    def __init__(self):
        self.confusion = collections.Counter()
        self.by_text = collections.defaultdict(collections.Counter)
        self.tenths = collections.defaultdict(lambda: [0, 0])
        self.counts = collections.Counter()
        self.wrong = []

    def diagnosis(self, where, truth, answer, text):
        code, confidence = answer["root_cause_code"], answer["confidence"]
        self.confusion[truth, code] += 1
        self.counts["executions"] += 1
        self.counts["sure and wrong"] += code != truth and confidence > 0.8
        self.tenths[min(9, int(confidence * 10))][code == truth] += 1
        if text is not None:
            self.by_text[truth, text][code, confidence > 0.8] += 1
        if code != truth:
            self.wrong.append(f"{where} is {truth}, not {code} ({confidence}): {answer['explanation']}"
                              + (f"\n    {text}" if text else ""))

    def share(self, name, right, what=""):
        self.counts[name, "all"] += 1
        self.counts[name, "part"] += bool(right)
        if not right:
            self.wrong.append(f"{name}: {what}")

    def percent(self, all_of, part_of):
        total = sum(n for key, n in self.confusion.items() if all_of(*key))
        part = sum(n for key, n in self.confusion.items() if all_of(*key) and part_of(*key))
        return part, total, 100 * part / max(1, total)

    def rows(self):
        found = self.percent(lambda t, _: t != "none", lambda t, a: t == a)
        unknown = self.percent(lambda t, _: t != "none", lambda _, a: a == "undetermined")
        alarms = self.percent(lambda t, _: t == "none", lambda t, a: t != a)
        sure = self.counts["sure and wrong"]
        yield "executions", self.counts["executions"], None
        yield "cause found", found, lambda p: p >= 97
        yield "undetermined", unknown, None
        yield "wrong above 0.8", (sure, found[1], 100 * sure / max(1, found[1])), lambda p: p <= 1
        yield "false alarms", alarms, lambda p: p <= 0.5
        for name, goal in [("outages recognised", 100), ("outages imagined", None), ("lost Modal spans told", 95),
                           ("command line agrees", 100)]:
            part, total = self.counts[name, "part"], self.counts[name, "all"]
            if name == "outages imagined":
                part = total - part
            share = (part, total, 100 * part / total) if total else None
            yield name, share, goal and (lambda p, goal=goal: p >= goal)

    def report(self, texts):
        fine = True
        for name, value, goal in self.rows():
            if isinstance(value, tuple):
                met = goal is None or goal(value[2])
                fine &= met
                print(f"{name:24}{value[2]:.2f} % ({value[0]} of {value[1]}){'' if met else '   MISSED'}")
            else:
                print(f"{name:24}{'none to find' if value is None else value}")
        print("\n| cause | executions | found | mistaken for |\n| --- | ---: | ---: | --- |")
        for truth in sorted({truth for truth, _ in self.confusion}):
            found, total, _ = self.percent(lambda t, _: t == truth, lambda t, a: t == a)
            others = [f"{a} {n}" for (t, a), n in sorted(self.confusion.items()) if t == truth and a != truth]
            print(f"| {truth} | {total} | {found} | {', '.join(others)} |")
        print("\n| confidence | answers | right |\n| --- | ---: | ---: |")
        for tenth, (wrong, right) in sorted(self.tenths.items()):
            print(f"| 0.{tenth} and up | {wrong + right} | {100 * right / (wrong + right):.1f} % |")
        if texts:
            print()
            for (truth, text), answers in sorted(self.by_text.items()):
                if any(code != truth for code, _ in answers):
                    print(f"{truth}: {text}\n    " + ", ".join(
                        f"{code}{'!' if sure else ''} {n}" for (code, sure), n in answers.most_common()))
        return fine


def measure(options, kind, seed, folder, tally):
    made = [sys.executable, options.world, "--seed", seed, "--out", folder, *KINDS[kind]]
    if options.phrases:
        made += ["--phrases", options.phrases]
    run(*made)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    url = embedded(folder) if options.sqlite else postgres("world", folder)
    environment = dict(os.environ, XDG_STATE_HOME=str(folder), STATE_DIRECTORY=str(folder))
    with open(folder / "modal.log", "rb") as log:
        run(COLLECTOR, "--database", url, "--listen", "none", stdin=log, env=environment)
    causes = {fault["execution_id"]: fault["root_cause_code"] for fault in truth["faults"]}
    rows, said = world_rows(url, folder, options.sqlite)
    with Daemon(url, folder) as daemon:
        for at, (execution, job) in enumerate(rows):
            answer = daemon.get(f"executions/{execution}/diagnosis")
            cause = causes.get(execution, "none")
            tally.diagnosis(f"{kind} {seed} {execution}", cause, json.loads(answer), said.get(execution))
            if at % (len(rows) // SAMPLE) == 0:
                printed = run(COLLECTOR, "--database", url, "diagnose", execution, "--json", env=environment).stdout
                tally.share("command line agrees", printed == answer, f"{kind} {seed} {execution}")
        outages = {outage["job_id"]: outage for outage in truth["outages"]}
        for job in sorted({job for _, job in rows}):
            answer = json.loads(daemon.get(f"jobs/{job}/timeouts"))
            struck = outages.get(job)
            if struck:
                right = any(found["scope"] == "region" and found["name"] == struck["region"]
                            and found["root_cause_code"] == struck["root_cause_code"] for found in answer["outages"])
                dominant = answer["dominant_cause"] or {}
                right &= dominant.get("root_cause_code") == struck["root_cause_code"] and dominant.get("region") == struck["region"]
                tally.share("outages recognised", right, f"{kind} {seed} {job}: {struck} {answer['outages']} {dominant}")
            else:
                tally.share("outages imagined", not answer["outages"], f"{kind} {seed} {job}: {answer['outages']}")
        for missing in truth["missing"]:
            answer = json.loads(daemon.get(f"traces/{missing['trace_id']}/gaps"))
            right = any(span["service"] == "modal" and span["why"] == "ran but its log was lost" for span in answer["missing_spans"])
            tally.share("lost Modal spans told", right, f"{kind} {seed} {missing['trace_id']}: {answer['missing_spans']}")


def world_rows(url, folder, is_sqlite):
    """Executions with their jobs, and what each failed one's deepest span said."""
    ask = "select e.id, j.jobspec_id from executions e join jobs j on j.id = e.job_id order by e.id"
    texts = ("select l.execution_id, s.service, s.error_type, s.error_message from trace_spans s join {} l on l.trace_id = s.trace_id "
             "where s.error_message is not null or s.error_type is not null order by s.started_at")
    if is_sqlite:
        database = sqlite3.connect(folder / "beacon.db")
        rows, failed = database.execute(ask).fetchall(), database.execute(texts.format("execution_links")).fetchall()
    else:
        table = lambda sql: [line.split("\x1f") for line in psql(url, "-F", "\x1f", "-R", "\x1e", "-c", sql).rstrip("\n").split("\x1e") if line]
        rows, failed = table(ask), table(texts.format("beacon_collector.execution_links"))
    depth = {"runner": 0, "router": 1, "modal": 2}
    said = {}
    for execution, service, kind, message in failed:
        known = said.get(int(execution))
        if known is None or depth.get(service, 0) >= known[0]:
            said[int(execution)] = (depth.get(service, 0), f"{kind or ''}: {message or ''}")
    return [(int(execution), job) for execution, job in rows], {execution: text for execution, (_, text) in said.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1-4")
    parser.add_argument("--phrases")
    parser.add_argument("--world", default="tests/lab/world.py")
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--wrong", action="store_true")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    unknown = set(options.kinds) - set(KINDS)
    if unknown:
        parser.error(f"no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    tally = Tally()
    for kind in options.kinds or KINDS:
        for seed in range(int(first), int(last or first) + 1):
            with tempfile.TemporaryDirectory(prefix="beacon-world-") as folder:
                measure(options, kind, seed, Path(folder), tally)
    fine = tally.report(options.phrases)
    if options.wrong:
        print("\n" + "\n".join(tally.wrong))
    if options.check and not fine:
        sys.exit(1)


if __name__ == "__main__":
    main()
