"""`python -m benchmarks`: measure everything, print the table, write the JSON."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.arithmetic import product_rate
from benchmarks.clock import Row
from benchmarks.parts import measure_parts
from benchmarks.peers import measure_peers
from benchmarks.plan import QUICK, Plan
from benchmarks.processes import installed_size, measure_folders, measure_memory, measure_start
from benchmarks.report import heading, last_run, line, read_run, to_json
from benchmarks.whole import measure_films, measure_pictures
from mien.evaluation.speed import machine

GROUPS = ("parts", "pictures", "films", "start", "folders", "memory", "size", "peers")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="compare with this run, not the last of results/"
    )
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="measure only these")
    parser.add_argument("--runs", type=int, metavar="N", help="of each, of which the median counts (5)")
    parser.add_argument("--folders", type=int, nargs="+", metavar="N", help="pictures in the folders (1000)")
    parser.add_argument("--quick", action="store_true", help="small and once: only to see that it runs")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PROGRAM",
        help="measure another tool with its own Python or node, such as fer=/venvs/fer/bin/python; see README.md",
    )  # fmt: skip
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else Plan()
    if arguments.runs:
        plan = replace(plan, runs=arguments.runs)
    if arguments.folders:
        plan = replace(plan, folders=tuple(arguments.folders))
    earlier = arguments.against or last_run()
    before = {} if earlier is None else read_run(earlier)
    about = machine()
    rate = product_rate(plan.matrix, max(5, plan.runs))
    print(
        f"{about['processor']}, {about['cores']} cores, onnxruntime {about['onnxruntime']}; medians of {plan.runs};"
    )
    print(f"a matrix product does {rate / 1e9:.1f} billion multiply-adds a second\n\n{heading()}", flush=True)
    rows = []
    for row in _measured(plan, rate, arguments.only, arguments.peer):
        print(line(row, before.get((row.kind, row.what))), flush=True)
        rows.append(row)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(to_json(rows, rate), indent=1) + "\n", "utf-8")


def _measured(plan: Plan, rate: float, groups: list[str], peers: list[str]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="mien-") as name:
        folder = Path(name)
        for group in groups:
            match group:
                case "parts":
                    yield from measure_parts(plan, rate)
                case "pictures":
                    yield from measure_pictures(plan, rate)
                case "films":
                    yield from measure_films(plan, rate, folder)
                case "start":
                    yield from measure_start(plan)
                case "folders":
                    yield from measure_folders(plan, folder)
                case "memory":
                    yield from measure_memory(plan)
                case "size":
                    yield from installed_size()
                case "peers":
                    yield from measure_peers(peers, plan, folder)


if __name__ == "__main__":
    main()
