"""How well messages are grouped, and what it costs: raw text, our templates, and Drain3.

The truth is Loghub's: eight logs of 2,000 lines, each with its true template. Grouping accuracy
(GA) is the share of lines whose group is exactly the true one (Zhu et al., 2019). FGA is the F1
score of the groups themselves, so rare ones count as much as common ones (Khan et al., 2022).
Nothing is set per log.

Drain3 is measured if it is installed: pip install drain3
"""

import argparse
import csv
import importlib
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple, TypeAlias

from logcommon import Templates, merge_templates

DATA = Path(__file__).parents[2] / "shared" / "data" / "loghub"

AT_WRITING, AFTER_MERGING = 0.90, 0.95
MOST_MICROSECONDS, MOST_OF_WORST = 8.0, 20.0
MOST_MILLISECONDS = 20.0
LONG = 100_000
ROUNDS = 5

DRAIN_MASKS = (
    (r"((?<=[^A-Za-z0-9])|^)(([0-9a-f]{2,}:){3,}([0-9a-f]{2,}))((?=[^A-Za-z0-9])|$)", "ID"),
    (r"((?<=[^A-Za-z0-9])|^)(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})((?=[^A-Za-z0-9])|$)", "IP"),
    (r"((?<=[^A-Za-z0-9])|^)([0-9a-f]{6,} ?){3,}((?=[^A-Za-z0-9])|$)", "SEQ"),
    (r"((?<=[^A-Za-z0-9])|^)([0-9A-F]{4} ?){4,}((?=[^A-Za-z0-9])|$)", "SEQ"),
    (r"((?<=[^A-Za-z0-9])|^)(0x[a-f0-9A-F]+)((?=[^A-Za-z0-9])|$)", "HEX"),
    (r"((?<=[^A-Za-z0-9])|^)([\-\+]?\d+)((?=[^A-Za-z0-9])|$)", "NUM"),
)
"""The masks of Drain3's example configuration."""

Group: TypeAlias = Callable[[Sequence[str]], Sequence[object]]
"""Returns the group of each message."""


class Log(NamedTuple):
    """A log, and the true group of each of its messages."""

    name: str
    messages: list[str]
    truth: list[str]


class Score(NamedTuple):
    """How well the messages of a log were grouped, and how long each took."""

    accuracy: float
    f1: float
    microseconds: float


def read_logs(folder: Path) -> list[Log]:
    """Return the logs in a folder that has Loghub's layout."""
    logs = []
    for path in sorted(folder.glob("*/*_structured.csv")):
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.DictReader(file))
        messages, truth = [row["Content"] for row in rows], [row["EventId"] for row in rows]
        logs.append(Log(path.parent.name, messages, truth))
    return logs


def accuracy_of(truth: Sequence[object], found: Sequence[object]) -> tuple[float, float]:
    """Return the grouping accuracy, and the F1 score of the groups."""
    true_groups, found_groups = _groups(truth), _groups(found)
    right = true_groups & found_groups
    precision, recall = len(right) / len(found_groups), len(right) / len(true_groups)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return sum(map(len, right)) / len(truth), f1


def _groups(labels: Sequence[object]) -> set[frozenset[int]]:
    lines: dict[object, list[int]] = defaultdict(list)
    for line, label in enumerate(labels):
        lines[label].append(line)
    return set(map(frozenset, lines.values()))


def by_template(messages: Sequence[str]) -> Sequence[object]:
    """Group as a client does when it writes; nothing is known before."""
    templates = Templates()
    known = {message: templates(message) for message in set(messages)}
    return [known[message] for message in messages]


def by_merged_template(messages: Sequence[str]) -> Sequence[object]:
    """Group as a reader does that merges."""
    templates = [str(each) for each in by_template(messages)]
    merged = merge_templates(Counter(templates))
    return [merged[template] for template in templates]


def drain_group() -> Group | None:
    """Return how Drain3 groups, None if it isn't installed."""
    try:
        drain3: Any = importlib.import_module("drain3")
        config_module: Any = importlib.import_module("drain3.template_miner_config")
        masking: Any = importlib.import_module("drain3.masking")
    except ImportError:
        return None

    def group(messages: Sequence[str]) -> Sequence[object]:
        config = config_module.TemplateMinerConfig()
        config.masking_instructions = [
            masking.MaskingInstruction(pattern, mask) for pattern, mask in DRAIN_MASKS
        ]
        miner = drain3.TemplateMiner(config=config)
        return [miner.add_log_message(message)["cluster_id"] for message in messages]

    return group


def measure(log: Log, group: Group) -> Score:
    """Group a log's messages, and time it by the distinct ones; the fastest of a few rounds."""
    distinct = list(dict.fromkeys(log.messages))
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        group(distinct)
        seconds.append(time.perf_counter() - began)
    accuracy, f1 = accuracy_of(log.truth, group(log.messages))
    return Score(accuracy, f1, min(seconds) / len(distinct) * 1e6)


def longest_milliseconds(length: int) -> tuple[float, str]:
    """Return the time that the worst of some texts of this length takes, and what it repeats."""
    units = [
        *("a", "1", " ", "=", "a=", "1 ", "'", '"a', "(", "<num> ", "<", "a.", "a@", "a@a.", "1,"),
        *("1,111", ":", "::", "f:", "0x", "a:", "/", "\\", "Jul ", "Jul 1 ", "1 ms ", "= ", "a= "),
        *("() ", "GET ", "'a ", "`", "[", "{a:", "a=b,", "\u00e9", "\0", "<*> ", "http://", "1e"),
        '<*> "aJul 1e1m',
    ]
    worst = (0.0, "")
    for unit in units:
        text = (unit * (length // len(unit) + 1))[:length]
        templates = Templates()
        began = time.perf_counter()
        templates(text)
        worst = max(worst, ((time.perf_counter() - began) * 1e3, unit))
    return worst


def print_scores(name: str, logs: Iterable[Log], scores: Sequence[Score]) -> None:
    """Print one way to group: each log, the average, and the averages without one log."""
    print(f"\n{name:12} {'GA':>6} {'FGA':>6} {'us':>6}   GA of the others")
    accuracies = [score.accuracy for score in scores]
    for log, score in zip(logs, scores, strict=True):
        others = _without(accuracies, score.accuracy)
        accuracy, f1, microseconds = score
        print(f"{log.name:12} {accuracy:6.3f} {f1:6.3f} {microseconds:6.1f}   {others:.3f}")
    print(
        f"{'average':12} {mean(accuracies):6.3f} {mean(score.f1 for score in scores):6.3f} "
        f"{mean(score.microseconds for score in scores):6.1f}"
    )


def _without(values: Sequence[float], one: float) -> float:
    return (sum(values) - one) / (len(values) - 1)


def print_verdict(what: str, value: float, target: float, *, at_least: bool) -> None:
    """Print a figure, its target and whether it was reached."""
    reached = value >= target if at_least else value <= target
    bound = "at least" if at_least else "at most"
    print(f"{what}: {value:.3f}; target {bound} {target}: {'reached' if reached else 'MISSED'}")


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="a folder with Loghub's layout")
    logs = read_logs(parser.parse_args().data)
    if not logs:
        sys.exit("no logs were found: give a folder with --data")

    ways: dict[str, Group | None] = {
        "raw text": lambda messages: messages,
        "template": by_template,
        "and merged": by_merged_template,
        "Drain3": drain_group(),
    }
    found: dict[str, list[Score]] = {}
    for name, group in ways.items():
        if group is None:
            print(f"\n{name}: not installed")
            continue
        found[name] = [measure(log, group) for log in logs]
        print_scores(name, logs, found[name])

    single, (double, unit) = longest_milliseconds(LONG)[0], longest_milliseconds(2 * LONG)
    print()
    written, merged = found["template"], found["and merged"]
    print_verdict("GA of template", mean(s.accuracy for s in written), AT_WRITING, at_least=True)
    print_verdict("GA merged", mean(s.accuracy for s in merged), AFTER_MERGING, at_least=True)
    times = [score.microseconds for score in written]
    print_verdict("us a message", mean(times), MOST_MICROSECONDS, at_least=False)
    print_verdict("us, worst log", max(times), MOST_OF_WORST, at_least=False)
    print_verdict("ms, 100,000 characters", single, MOST_MILLISECONDS, at_least=False)
    print_verdict(f"ms, 200,000, of {unit!r}", double, MOST_MILLISECONDS, at_least=False)


if __name__ == "__main__":
    main()
