"""Hold SARIF logs of runs with hostile texts against the official schema, which is not ours to pass on.

``python tests/reports/official_schema.py sarif-schema-2.1.0.json``; the release of OASIS has it at
https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
from hypothesis import HealthCheck, given, settings
from test_hostile_texts import RUNS

from pycuda_guard.reports.formats import FORMATS

if TYPE_CHECKING:
    from pycuda_guard.reports.run import Run


def main(schema: Path) -> None:
    """Validate the logs of many made-up runs; raises ValidationError at the first that does not fit."""
    loaded = json.loads(schema.read_text(encoding="utf-8"))
    kind = jsonschema.validators.validator_for(loaded)
    validator = kind(loaded, format_checker=jsonschema.FormatChecker())

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(run=RUNS)
    def check(run: Run) -> None:
        validator.validate(json.loads(FORMATS["sarif"].write(run)))

    check()
    print(f"valid under {loaded.get('id') or loaded.get('$id')}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
