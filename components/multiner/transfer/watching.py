"""What people see while an experiment runs."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .plan import Planned


class Bars(Progress):
    """A bar for the cells, and one for what the present cell is doing.

    console (Console): Where they are shown.
    """

    def __init__(self, console: Console) -> None:
        counted = TextColumn("{task.completed:,.0f} of {task.total:,.0f}")
        super().__init__(
            *(TextColumn("{task.description}"), BarColumn(), counted, TimeElapsedColumn(), TimeRemainingColumn()),
            console=console,
        )
        self.cells: TaskID | None = None
        self.parts = self.add_task("", total=1, visible=False)

    def cell(self, planned: Planned, number: int, of: int) -> None:
        """Show which cell it is."""
        if self.cells is None:
            self.cells = self.add_task("cells", total=of)
        self.update(self.cells, completed=number, description=f"{planned.cell.name}: cell")
        self.reset(self.parts, visible=False)

    def part(self, doing: str, done: int, of: int) -> None:
        """Show how far it is in it."""
        if doing != self.tasks[self.parts].description:
            self.reset(self.parts)  # its time is its own
        self.update(self.parts, description=doing, completed=done, total=of, visible=True)
