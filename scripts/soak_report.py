"""What the soak has seen: figures, whether it held, and a chart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

from soak_load import BUSY
from soak_watch import Held

GROWTH = 0.02
"""By which memory may be larger in the last sixth of the run than in the second; the first is for warming up."""

LONG_ENOUGH = 2700.0
"""Seconds of a run from which on growth is judged: the server's results and page files are kept for a minute, and
FFmpeg takes 5 MiB more for the first ten thousand packets of a transport stream, which it gives back."""

INTERVAL = 15.0
"""Seconds at least, of equal parts of the run in which answers are counted, of which there are 120 at most."""

KINDS = ("picture", "annotated", "several", "photo", "page", "camera")
_BLUE, _ORANGE, _GREEN, _PURPLE, _GREY = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#62626b"
_COLOURS = {"server": _BLUE, "endless film": _ORANGE}


@dataclass(frozen=True, slots=True)
class Run:
    """What was sampled and answered.

    Attributes:
        seconds: since the start, of each sample.
        at_rest: whether nobody had come for some seconds, of each sample.
        processes: what each process held then, by its name.
        temporary: MiB in the server's folder for temporary files then.
        answers: of the server, each with `at` in seconds since the start, `kind`, `status`, `seconds` and what is
            `wrong`, if anything is.
        cores: of the machine.
        endings: what went wrong when the processes were ended, or ended by themselves.
        records: of the endless film.

    """

    seconds: Sequence[float]
    at_rest: Sequence[bool]
    processes: Mapping[str, Sequence[Held]]
    temporary: Sequence[float]
    answers: Sequence[Mapping[str, Any]]
    cores: int
    endings: Sequence[str]
    records: int

    @property
    def lasted(self) -> float:
        """Seconds from the first sample to the last."""
        return self.seconds[-1] - self.seconds[0] if self.seconds else 0.0

    def sixth(self, number: int) -> slice:
        """Return which samples are of a sixth of the run, counted from 0."""
        return slice(len(self.seconds) * number // 6, max(1, len(self.seconds) * (number + 1) // 6))

    def middle(self, values: Sequence[float], number: int) -> float:
        """Return the median in a sixth of the run at rest, or of all there where nobody rested."""
        some = list(zip(values, self.at_rest, strict=True))[self.sixth(number)]
        rested = [value for value, at_rest in some if at_rest] or [value for value, _ in some]
        return round(median(rested), 2) if rested else 0.0


def figures(run: Run) -> dict[str, Any]:
    """Return what is told of a run."""
    found: dict[str, Any] = {"minutes": round(run.lasted / 60, 1), "endless_film_records": run.records}
    for name, samples in run.processes.items():
        found[name] = {
            what: _held(run, [getattr(sample, what) for sample in samples])
            for what in ("anonymous", "shared_out", "handles", "threads")
        }
        spent = samples[-1].cpu - samples[0].cpu if samples else 0.0
        found[name]["share_of_the_cores"] = round(spent / run.lasted / run.cores, 3) if run.lasted else 0.0
    found["temporary"] = _held(run, run.temporary)
    kinds = sorted({answer["kind"] for answer in run.answers})
    found["answers"] = {kind: _of(kind, run.answers) for kind in kinds}
    found["wrong"] = [answer for answer in run.answers if "wrong" in answer][:50]
    return found


def _held(run: Run, values: Sequence[float]) -> dict[str, float]:
    return {
        "second_sixth": run.middle(values, 1),
        "last_sixth": run.middle(values, 5),
        "most": max(values, default=0),
    }


def _of(kind: str, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    some = [answer for answer in answers if answer["kind"] == kind]
    statuses = Counter(str(answer["status"] or "none") for answer in some)
    return {"count": len(some), "statuses": dict(sorted(statuses.items())), **_times(some)}


def _times(answers: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the percentiles of the times of those that were answered in full; None where none was."""
    times = sorted(answer["seconds"] for answer in answers if answer["status"] not in {0, *BUSY})
    return {
        f"p{share}": round(times[max(0, math.ceil(len(times) * share / 100) - 1)], 4) if times else None
        for share in (50, 95, 99)
    }


def faults(run: Run, told: Mapping[str, Any]) -> list[str]:
    """Return what did not hold, a line each."""
    found = list(run.endings)
    if not run.answers:
        found.append("nothing was answered")
    statuses = Counter(answer["status"] for answer in run.answers)
    found += [
        f"{count} answers of {status}"
        for status, count in sorted(statuses.items())
        if status >= 500 and status != 503
    ]
    if wrong := [answer for answer in run.answers if "wrong" in answer]:
        found.append(f"{len(wrong)} wrong answers, the first to a {wrong[0]['kind']}: {wrong[0]['wrong']}")
    if run.lasted < LONG_ENOUGH:
        return found
    for name in run.processes:
        memory = told[name]["anonymous"]
        if memory["last_sixth"] > (1 + GROWTH) * memory["second_sixth"]:
            found.append(f"the memory of {name} grew by {_percent(memory):+.1f}%")
        for what in ("handles", "threads"):
            middle = told[name][what]
            if middle["last_sixth"] > middle["second_sixth"] + 1:
                found.append(f"the {what} of {name} grew from {middle['second_sixth']:g} to {middle['last_sixth']:g}")
    early, late = (max(run.temporary[run.sixth(number)]) for number in (1, 5))
    if late > 2 * early + 1:
        found.append(f"temporary files grew from {early:.1f} to {late:.1f} MiB")
    return found


def verdict(run: Run, told: Mapping[str, Any], wrong: Sequence[str]) -> str:
    """Return the line that says how it went."""
    if wrong:
        return f"the soak FAILED after {told['minutes']} minutes: " + "; ".join(wrong)
    parts = [f"{len(run.answers)} answers, none wrong, {told['endless_film_records']} frames of the endless film"]
    for name in run.processes:
        one = told[name]
        memory = one["anonymous"]
        parts.append(
            f"{name} {memory['second_sixth']:.0f} to {memory['last_sixth']:.0f} MiB ({_percent(memory):+.1f}%), "
            f"{one['handles']['last_sixth']:g} handles, {one['threads']['last_sixth']:g} threads"
        )
    short = "" if run.lasted >= LONG_ENOUGH else " (too short to judge growth)"
    return f"the soak held for {told['minutes']} minutes{short}: " + "; ".join(parts)


def _percent(middle: Mapping[str, float]) -> float:
    return 100 * (middle["last_sixth"] / middle["second_sixth"] - 1) if middle["second_sixth"] else 0.0


def intervals(run: Run) -> list[dict[str, Any]]:
    """Return the answers and times of equal parts of the run."""
    if not run.lasted:
        return []
    count = max(1, min(120, int(run.lasted / INTERVAL)))
    long = run.lasted / count
    parts: list[list[Mapping[str, Any]]] = [[] for _ in range(count)]
    for answer in run.answers:
        parts[min(count - 1, max(0, int(answer["at"] / long)))].append(answer)
    return [
        {
            "minute": round((number + 0.5) * long / 60, 3),
            "statuses": dict(sorted(Counter(str(answer["status"] or "none") for answer in part).items())),
            **{kind: _times([answer for answer in part if answer["kind"] == kind]) for kind in KINDS},
        }
        for number, part in enumerate(parts)
    ]


def document(run: Run, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that there is to keep of a run."""
    columns = {
        name: {what: [getattr(sample, what) for sample in samples] for what in Held.__dataclass_fields__}
        for name, samples in run.processes.items()
    }
    return {
        "figures": told,
        "seconds": list(run.seconds),
        "at_rest": [int(rested) for rested in run.at_rest],
        "processes": columns,
        "temporary": list(run.temporary),
        "intervals": intervals(run),
    }


def draw(run: Run, told: Mapping[str, Any], file: Path) -> None:
    """Write the chart of a run."""
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    minutes = [second / 60 for second in run.seconds]
    parts = intervals(run)
    when = [part["minute"] for part in parts]
    with matplotlib.rc_context({"svg.hashsalt": "mien", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8.4, 10.0), layout="constrained")
        rows = cast("list[Axes]", list(figure.subplots(5, 1, sharex=True)))
        memory, handles, cores, times, statuses = rows
        for name, samples in run.processes.items():
            colour = _COLOURS.get(name, _GREY)
            middle = told[name]["anonymous"]
            memory.plot(minutes, [sample.anonymous for sample in samples], color=colour, linewidth=0.8, label=name)
            for number, key in ((1, "second_sixth"), (5, "last_sixth")):
                some = minutes[run.sixth(number)]
                memory.plot([some[0], some[-1]], [middle[key]] * 2, color="black", linewidth=1.6)
                memory.annotate(
                    f"{middle[key]:.0f}",
                    (some[-1], middle[key]),
                    xytext=(0, 5),
                    textcoords="offset points",
                    ha="right",
                )
            handles.plot(minutes, [sample.handles for sample in samples], color=colour, linewidth=0.8)
            handles.plot(minutes, [sample.threads for sample in samples], color=colour, linewidth=1.2, linestyle=":")
            busy = _slopes(run.seconds, [sample.cpu for sample in samples], run.cores)
            cores.plot(minutes[1:], busy, color=colour, linewidth=0.8, label=name)
        memory.set_title(
            "Memory of each process's own, MiB (black: medians at rest of the second and the last sixth)"
        )
        handles.plot([], [], color="black", linewidth=0.8, label="handles")
        handles.plot([], [], color="black", linewidth=1.2, linestyle=":", label="threads")
        handles.set_title("Open file handles and threads")
        cores.set_title(f"Share of the {run.cores} cores that is used, %")
        for share, colour in (("p50", _BLUE), ("p95", _GREEN), ("p99", _PURPLE)):
            values = [math.nan if (time := part["picture"][share]) is None else 1000 * time for part in parts]
            times.plot(when, values, color=colour, linewidth=1, label=share)
        times.set_yscale("log")
        times.set_title("From when a request with one picture was due to its answer, ms")
        long = run.lasted / max(1, len(parts))
        groups = {
            "200 to 204": ("2", _GREEN),
            "4xx, as it should be": ("4", _GREY),
            "429, come again": ("429", _ORANGE),
            "left without one": ("none", "#c9c9cf"),
        }
        below = [0.0] * len(parts)
        for label, (begins, colour) in groups.items():
            counts = [_counted(part["statuses"], begins) / long for part in parts]
            statuses.bar(when, counts, width=long / 60, bottom=below, color=colour, label=label)
            below = [low + count for low, count in zip(below, counts, strict=True)]
        statuses.set_title("Answers a second, by status")
        statuses.set_xlabel("minutes")
        for axes in rows:
            axes.set_xlim(0, max(minutes[-1], 0.1))
            axes.grid(visible=True, axis="y", color="#e4e4e8", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
            axes.title.set_fontsize(9.5)
            if axes is not times:
                axes.set_ylim(bottom=0)
        for axes in (memory, handles, times, statuses):
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=110)


def _counted(statuses: Mapping[str, int], begins: str) -> int:
    if begins == "4":
        return sum(count for status, count in statuses.items() if status[0] == "4" and status != "429")
    return sum(count for status, count in statuses.items() if status.startswith(begins))


def _slopes(seconds: Sequence[float], cpu: Sequence[float], cores: int) -> list[float]:
    pairs = zip(seconds, seconds[1:], cpu, cpu[1:], strict=False)
    return [100 * (spent - before) / (end - begin) / cores for begin, end, before, spent in pairs]
