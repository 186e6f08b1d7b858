"""Run PyCUDA's own tests on the CPU device, bare and guarded, and compare.

The tests come from PyCUDA's source distribution, in the version that is installed; nothing of them is
kept here. It is right when no test fails but those that docs/cpu-device.md lists with a reason,
when every outcome is the same bare, guarded, with pytest's plugin, and in other schedules of the CPU device,
and when the guard reports no error or warning but those listed there.

Run it as ``make pycuda-tests``; ``--device gpu`` runs the same on a GPU, in the only schedule that it has.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
WORK = CLONE / ".pycuda-tests"
#: schedules of the CPU device, besides the usual one, in which the tests run bare
SCHEDULES = ("eager", "random:1", "random:2")
#: the runs that have findings: under the command line, and under pytest's plugin
GUARDED, PLUGIN = "guarded", "plugin"
KNOWN_FINDING = re.compile(r"^\| `test_\w+\.py::(\w+)` \| (PG\d{3}) \|", re.MULTILINE)
KNOWN_FAILURE = re.compile(r"^\| `(test_\w+\.py::\w+(?:::\w+)?)` \| (?!PG)", re.MULTILINE)


def fetch_tests(folder: Path) -> Path:
    """Return the folder of the tests of the installed PyCUDA, fetching its source if need be."""
    release = version("pycuda")
    tests = folder / f"pycuda-{release}" / "test"
    if not tests.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "download",
            "--no-deps",
        ]
        command += ["--no-binary", "pycuda", "--dest", str(folder), f"pycuda=={release}"]
        print(f"fetching the source of PyCUDA {release} …", flush=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        shutil.unpack_archive(folder / f"pycuda-{release}.tar.gz", folder)
    return tests


def run(
    tests: Path, name: str, device: str, extra: list[str], select: list[str]
) -> tuple[dict[str, str], Path]:
    """Run the tests once; return the outcome of each and the path of the findings."""
    stem = WORK / name.replace(":", "-")
    xml, findings = stem.with_suffix(".xml"), stem.with_suffix(".json")
    for left in (xml, findings):
        left.unlink(missing_ok=True)
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={xml}", *select]
    command = [sys.executable, "-m", "pycuda_guard", "run", "--device", device, *extra]
    if name == PLUGIN:
        command = [sys.executable]
        pytest += [
            "--pycuda-guard",
            f"--pycuda-guard-device={device}",
            f"--pycuda-guard-json={findings}",
            *extra,
        ]
    elif "--bare" not in extra:
        command += ["--json", str(findings)]
    command += pytest
    print(f"{name}: {' '.join(command)}", flush=True)
    with stem.with_suffix(".log").open("wb") as log:
        status = subprocess.run(
            command, cwd=tests, stdout=log, stderr=subprocess.STDOUT, env=os.environ
        ).returncode
    if not xml.exists():
        tail = stem.with_suffix(".log").read_text(errors="replace").splitlines()[-30:]
        sys.exit("\n".join([f"{name}: no result, exit status {status}", *tail]))
    outcomes = {}
    for case in ElementTree.parse(xml).iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        outcomes[f"{case.get('classname')}::{case.get('name')}"] = min(kinds, default="passed")
    return outcomes, findings


def known_failures() -> set[str]:
    """Return the tests that docs/cpu-device.md says fail, as ``module::name``."""
    text = (CLONE / "docs" / "cpu-device.md").read_text(encoding="utf-8")
    return {f"{name.split('.py')[0]}::{name.rsplit('::')[-1]}" for name in KNOWN_FAILURE.findall(text)}


def known_findings() -> set[tuple[str, str]]:
    """Return function and code of the findings that docs/cpu-device.md says are right."""
    return set(KNOWN_FINDING.findall((CLONE / "docs" / "cpu-device.md").read_text(encoding="utf-8")))


def main() -> int:
    """Run both and say what differs; exit status 0 if nothing does."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument(
        "--tests", type=Path, help="folder of PyCUDA's tests (default: from its source distribution)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at the same time (default: 1)")
    parser.add_argument(
        "--schedules",
        nargs="*",
        help=f"of the CPU device, besides the usual (default: {' '.join(SCHEDULES)})",
    )
    parser.add_argument("select", nargs="*", default=["test_driver.py", "test_gpuarray.py", "test_cumath.py"])
    options = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    tests = options.tests or fetch_tests(WORK)
    (tests / "pytest.ini").write_text("[pytest]\n")  # so that this clone's settings don't apply
    with ThreadPoolExecutor(options.jobs) as pool:
        ways = {
            "bare": ["--bare"],
            GUARDED: ["--fail-on", "never"],
            PLUGIN: ["--pycuda-guard-fail-on=never"],
        }
        if options.device == "cpu":
            chosen = SCHEDULES if options.schedules is None else options.schedules
            ways |= {schedule: ["--bare", "--schedule", schedule] for schedule in chosen}
        runs = {
            name: pool.submit(run, tests, name, options.device, extra, options.select)
            for name, extra in ways.items()
        }
    results = {name: run.result()[0] for name, run in runs.items()}
    bare = results["bare"]
    known = known_failures() if options.device == "cpu" else set()

    trouble = []
    for name, outcomes in results.items():
        print(f"{name}: {', '.join(f'{n} {kind}' for kind, n in sorted(Counter(outcomes.values()).items()))}")
        for test, outcome in outcomes.items():
            short = f"{test.split('::')[0].split('.')[0]}::{test.rsplit('::')[-1].split('[')[0]}"
            if outcome in ("failure", "error") and short not in known:
                trouble.append(f"{name}: {test} ends in {outcome}")
        trouble += [
            f"{test}: {bare.get(test)} bare, {outcomes.get(test)} {name}"
            for test in sorted(bare.keys() | outcomes.keys())
            if bare.get(test) != outcomes.get(test)
        ]
    for name in (GUARDED, PLUGIN):
        for finding in json.loads(runs[name].result()[1].read_text(encoding="utf-8"))["findings"]:
            place = (finding["location"] or {}).get("function"), finding["code"]
            if finding["severity"] != "note" and place not in known_findings():
                trouble.append(f"{name}: {finding['code']} {finding['message']} at {finding['location']}")
    print("\n".join(trouble) or "the same outcomes everywhere, no error or warning that is not listed")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
