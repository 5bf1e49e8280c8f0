"""The embedding table, of which training touches only the rows that the corpus uses.

A multilingual vocabulary has 250,000 rows; a corpus uses some thousands. The others get no gradient, so under
Adam without weight decay they never move. Moving only the used ones is therefore no approximation: it gives the
weights that training the whole table gives, without the gigabytes of zeros.
"""

import torch
from torch import nn
from torch.nn import functional

GROWTH = 1.25
FIRST_ROWS = 1024


class RowwiseEmbedding(nn.Module):
    """An embedding table (rows, width) that is frozen but for the rows which training has met.

    The trained rows live in a small table of their own, `rows`, which grows as new ones are met. It is what the
    optimiser sees. `eval()` puts them back into the full table, which alone is saved.
    """

    weight: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self._place: torch.Tensor | None = None  # full table's row -> row among the trained, or -1
        self._met: torch.Tensor | None = None  # the trained rows' places in the full table
        self.agreed = 0  # how many of the trained rows other processes have in the same order, see `ranks`
        self._rows: list[nn.Parameter] = []  # in a list, so that neither state_dict nor parameters() have it

    @property
    def rows(self) -> nn.Parameter | None:
        """The trained rows (at least as many as were met, width), or None before training."""
        return self._rows[0] if self._rows else None

    @property
    def met(self) -> torch.Tensor:
        """Array (rows met,): which rows of the full table are trained, in the order of `rows`."""
        return torch.empty(0, dtype=torch.long, device=self.weight.device) if self._met is None else self._met

    def meet(self, ids: torch.Tensor) -> None:
        """Have these rows trained from now on. To be called before the forward pass that uses them."""
        if self._place is None:
            self._place = torch.full((len(self.weight),), -1, dtype=torch.long, device=self.weight.device)
            self._met = torch.empty(0, dtype=torch.long, device=self.weight.device)
            self._rows = [nn.Parameter(self.weight.new_zeros(FIRST_ROWS, self.weight.shape[1]))]
        assert self._met is not None
        ids = torch.unique(ids)
        new = ids[self._place[ids] < 0]
        if len(new) == 0:
            return
        known = len(self._met)
        self._place[new] = torch.arange(known, known + len(new), device=new.device)
        self._met = torch.cat([self._met, new])
        if len(self._met) > len(self._rows[0]):
            self._grow(_room_for(len(self._met)))
        with torch.no_grad():
            self._rows[0][known : known + len(new)] = self.weight[new]

    def meet_in_order(self, ids: torch.Tensor) -> None:
        """Have exactly these rows trained, in this order in `rows`; all that were met have to be among them.

        So processes that train together agree on their rows, and a run that is resumed has them as before.
        """
        before = self.rows
        gradient = None if before is None else before.grad
        place = torch.full((len(self.weight),), -1, dtype=torch.long, device=ids.device)
        place[ids] = torch.arange(len(ids), device=ids.device)
        rows = nn.Parameter(self.weight.new_zeros(_room_for(len(ids)), self.weight.shape[1]))
        with torch.no_grad():
            rows[: len(ids)] = self.weight[ids]
            if before is not None:
                rows[place[self.met]] = before[: len(self.met)]
            if gradient is not None:
                rows.grad = torch.zeros_like(rows)
                rows.grad[place[self.met]] = gradient[: len(self.met)]
        self._place, self._met, self._rows = place, ids, [rows]
        self.agreed = len(ids)

    def _grow(self, count: int) -> None:
        # Another parameter, because autograd remembers the shape of the one that it has seen.
        old = self._rows[0]
        new = nn.Parameter(old.new_zeros(count, old.shape[1]))
        with torch.no_grad():
            new[: len(old)] = old
        if old.grad is not None:
            new.grad = torch.zeros_like(new)
            new.grad[: len(old)] = old.grad
        self._rows = [new]

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors (..., width) of the rows with these ids."""
        if self.training and self._place is not None:
            return functional.embedding(self._place[ids], self._rows[0])
        return functional.embedding(ids, self.weight)

    def train(self, mode: bool = True) -> "RowwiseEmbedding":
        """Switch between training and use; leaving training puts the trained rows into the full table."""
        if self.training and not mode and self._met is not None:
            with torch.no_grad():
                self.weight[self._met] = self._rows[0][: len(self._met)]
        super().train(mode)
        return self


def _room_for(count: int) -> int:
    """How many rows the small table has when so many were met, whatever way led there."""
    room = FIRST_ROWS
    while room < count:
        room = int(room * GROWTH)
    return room
