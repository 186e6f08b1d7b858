"""The timeline as a Parquet file, through pyarrow (the extra ``parquet``)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from pycuda_guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pycuda_guard.events.codec import Start
    from pycuda_guard.reports.tracks import Row

#: rows that are written at a time
_BATCH = 16_384

_LEAST, _MOST = -(2**63), 2**63 - 1


def check_available() -> None:
    """Raise :class:`GuardError` where pyarrow can't be imported."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise GuardError("Parquet files need pyarrow", "pip install 'pycuda-guard[parquet]'") from error


class TableWriter:
    """Writes rows to a Parquet file, a batch at a time, as a context manager.

    Raises OSError where the file can't be written. A file that is not finished is no Parquet file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as arrow
        import pyarrow.parquet

        number, text = arrow.int64(), arrow.string()
        self._arrow = arrow
        self._schema = arrow.schema(
            [
                ("process", number),
                ("rank", number),
                ("host", text),
                ("event", number),
                ("time", arrow.timestamp("ns", tz="UTC")),
                ("thread", number),
                ("context", number),
                ("stream", text),
                ("kind", text),
                ("what", text),
                ("size", text),
                ("nbytes", number),
                ("buffers", arrow.list_(text)),
                ("file", text),
                ("line", number),
                ("function", text),
                ("after", arrow.list_(number)),
            ]
        )
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema, compression="zstd")
        self.count = 0

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, start: Start, rows: Iterable[Row]) -> None:
        """Write the rows of the process that ``start`` describes."""
        rows = iter(rows)
        while batch := list(islice(rows, _BATCH)):
            self._write_batch(start, batch)

    def _write_batch(self, start: Start, rows: list[Row]) -> None:
        rank = None if start.rank is None else _fitting(start.rank)
        sites = [row.site for row in rows]
        columns: list[list[Any]] = [
            [_fitting(start.process)] * len(rows),
            [rank] * len(rows),
            [start.host or None] * len(rows),
            [_fitting(row.number) for row in rows],
            [_fitting(row.time) or None for row in rows],
            [row.thread or None for row in rows],
            [row.context or None for row in rows],
            [row.stream.name if row.stream is not None else None for row in rows],
            [row.kind.value for row in rows],
            [row.what for row in rows],
            [row.size for row in rows],
            [_fitting(row.nbytes) for row in rows],
            [row.buffers for row in rows],
            [site.file if site is not None else None for site in sites],
            [_fitting(site.line) if site is not None else None for site in sites],
            [site.function if site is not None else None for site in sites],
            [[_fitting(arrow.number) for arrow in row.after] if row.after else () for row in rows],
        ]
        arrays = [
            self._arrow.array(column, type=field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_batch(self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema))
        self.count += len(rows)


def _fitting(number: int) -> int:
    """Return the nearest number of 64 bits: a damaged recording can say anything."""
    return max(_LEAST, min(number, _MOST))
