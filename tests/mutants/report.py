"""What a campaign found, as lines on a terminal, as RESULT.md, and as the section of tests/README.md.

Here: words and tables. The section stands between two marks, everything else of that file is left alone.
"""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mutate import Mutant

BEGIN, END = "<!-- mutants: begin -->", "<!-- mutants: end -->"


@dataclass(frozen=True)
class Result:
    """What became of a mutant: `killed`, `survived`, or `no test`; `how` names the test that failed."""

    mutant: Mutant
    fate: str
    how: str
    tests: int


def row(result):
    """A result as lines for a terminal."""
    mutant = result.mutant
    place = f"{mutant.file}:{mutant.line} {mutant.function}"
    told = f" by {result.how}" if result.how else f" of {result.tests} tests" if result.tests else ""
    return f"{result.fate:8} {mutant.name} {place} ({mutant.way}){told}\n  - {mutant.before}\n  + {mutant.after}"


def tell(results, explained, *, minutes, file):
    """Print how a campaign ended, and write it into this folder if one is given; the survivors without a reason."""
    alive = [each for each in results if each.fate != "killed"]
    left = [each for each in alive if each.mutant.name not in explained]
    print(f"\n{len(results) - len(alive)} of {len(results)} mutants were killed in {minutes:.0f} minutes.")
    for each in alive:
        print(row(each) + f"\n  {explained.get(each.mutant.name, 'NOT EXPLAINED')}")
    if file is not None:
        (file / "RESULT.md").write_text(_result(results, explained))
        _write_section(file.parent / "README.md", _section(results, explained, minutes))
    return left


def _code(text):
    return "`" + text.replace("`", "'").replace("|", "\\|") + "`"


def _place(mutant):
    return f"{mutant.file}, {mutant.function.rpartition('.')[2]}"


def _result(results, explained):
    lines = ["# Every mutant of the last campaign\n", "Written by `make mutants`; see tests/README.md.\n"]
    lines += ["| name | where | before | after | fate |", "| --- | --- | --- | --- | --- |"]
    for each in results:
        mutant, why = each.mutant, explained.get(each.mutant.name)
        fate = f"killed by {each.how}" if each.fate == "killed" else f"{each.fate}: {why or 'NOT EXPLAINED'}"
        lines.append(
            f"| {mutant.name} | {_place(mutant)} | {_code(mutant.before)} | {_code(mutant.after)} | {fate} |"
        )
    return "\n".join(lines) + "\n"


def _section(results, explained, minutes):
    tried = Counter(each.mutant.file.partition("/")[0] for each in results)
    killed = Counter(each.mutant.file.partition("/")[0] for each in results if each.fate == "killed")
    day = time.strftime("%Y-%m-%d", time.gmtime())
    lines = [f"Last campaign: {day}, {len(results)} mutants, {minutes:.0f} minutes.", ""]
    lines += ["| room | mutants | killed | survived |", "| --- | --- | --- | --- |"]
    lines += [f"| {room} | {tried[room]} | {killed[room]} | {tried[room] - killed[room]} |" for room in tried]
    alive = [each for each in results if each.fate != "killed"]
    if alive:
        lines += ["", "Survivors:", "", "| where | before | after | why |", "| --- | --- | --- | --- |"]
    for each in alive:
        mutant, why = each.mutant, explained.get(each.mutant.name, "NOT EXPLAINED")
        lines.append(f"| {_place(mutant)} | {_code(mutant.before)} | {_code(mutant.after)} | {why} |")
    return "\n".join(lines)


def _write_section(readme: Path, text):
    if not readme.exists():
        return
    before, begin, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        readme.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
