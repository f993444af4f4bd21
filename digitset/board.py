"""Board: the tables of a benchmark, by cell; what says which cells are made, and the only writer of their files."""

from pathlib import Path

from digitset import results
from digitset.grid import RowName, row_name
from digitset.results import Row
from digitset.run import Run

TABLES = {"search": results.SEARCH, "curves": results.CURVES, "lengths": results.LENGTHS, "results": results.COLUMNS}
Tables = dict[str, list[Row]]


class Board:
    """The tables of a folder, read when it is made and written whenever a cell is added."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.cells: dict[str, Tables] = {}
        for name in TABLES:
            for row in results.read_csv(out / f"{name}.csv", TABLES[name]):
                self.cells.setdefault(_key(row), {}).setdefault(name, []).append(row)
        # Curves and lengths are written before results: without those, they are of a cell that a kill cut short.
        self.cells = {key: tables for key, tables in self.cells.items() if tables.keys() & {"search", "results"}}

    def __contains__(self, run: Run) -> bool:
        return _key(results.identity(run)) in self.cells

    def add(self, run: Run, tables: Tables, order: list[Run]) -> None:
        """Takes in the rows of a cell and writes all tables, in this order of cells, others that are there after it."""
        self.cells[_key(results.identity(run))] = tables
        place = {_key(results.identity(run)): place for place, run in enumerate(order)}
        keys = sorted(self.cells, key=lambda key: (place.get(key, len(place)), key))
        for name, columns in TABLES.items():
            table = [row for key in keys for row in self.cells[key].get(name, [])]
            results.write_csv(self.out / f"{name}.csv", table, columns)

    def rows(self, name: str, runs: list[Run]) -> list[Row]:
        """The rows that a table has of these runs, in their order."""
        return [row for run in runs for row in self.cells.get(_key(results.identity(run)), {}).get(name, [])]

    def made(self) -> set[RowName]:
        """Which rows have results."""
        tables = (cell.get("results", []) for cell in self.cells.values())
        return {row_name(row) for table in tables for row in table}

    def others(self, cells: list[Run]) -> set[RowName]:
        """Which rows of results there are that these cells cannot stand beside, or that would be there twice."""
        ours: dict[RowName, set[str]] = {}
        for run in cells:
            ours.setdefault(row_name(run), set()).add(results.identity(run)["recipe"])
        protocols = {(run.task, results.is_floor(own)): own for run in cells for own in (results.protocol(run),)}
        folders = {run.task: str(run.data or "") for run in cells}
        found = set()
        for tables in self.cells.values():
            for row in tables.get("results", []):
                name, task, protocol, data = row_name(row), row["task"], row["protocol"], str(row["data"] or "")
                alike = protocols.get((task, results.is_floor(protocol)), protocol) == protocol
                known = row["recipe"] in ours.get(name, {row["recipe"]})
                if row["model"] != "ceiling" and not (alike and known and folders.get(task, data) == data):
                    found.add(name)
        return found


def _key(row: Row) -> str:
    return f"{row['recipe']}/{row['seed']}"
