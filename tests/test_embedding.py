"""Training only the rows in use is exact."""

import torch
from torch import nn

from multiner.embedding import FIRST_ROWS, RowwiseEmbedding
from multiner.optimizer import AdamW, step_adamw

ROWS, WIDTH = FIRST_ROWS * 3, 4


def train(embedding: nn.Module, parameter_of, batches: list[torch.Tensor]) -> torch.Tensor:
    settings, state = AdamW(0.01, weight_decay=0.1), None
    target = torch.linspace(-1, 1, WIDTH)
    embedding.train()
    for ids in batches:
        if isinstance(embedding, RowwiseEmbedding):
            embedding.meet(ids)
        loss = ((embedding(ids).cumsum(0) - target) ** 2).mean()
        loss.backward()
        parameter = parameter_of(embedding)
        state = step_adamw(settings, state, [("embedding.rows", parameter)])
        parameter.grad = None
    embedding.eval()
    return embedding.weight.detach().clone()


def test_the_weights_are_those_of_training_the_full_table():
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(ROWS, WIDTH, generator=generator)
    # Rows are met little by little, and more than the first table of trained rows holds.
    batches = [torch.randint(0, 200 * (step + 1), (3, 100), generator=generator) for step in range(14)]
    full = train(nn.Embedding.from_pretrained(table.clone(), freeze=False), lambda module: module.weight, batches)
    rowwise = RowwiseEmbedding(table.clone())
    rows_only = train(rowwise, lambda module: module.rows, batches)
    assert len(rowwise.rows) > FIRST_ROWS
    torch.testing.assert_close(rows_only, full, rtol=0, atol=1e-6)
    unmet = torch.ones(ROWS, dtype=torch.bool)
    unmet[torch.cat(batches).unique()] = False
    assert torch.equal(rows_only[unmet], table[unmet])
    assert not torch.allclose(rows_only[~unmet], table[~unmet])


def test_gradients_that_wait_for_a_step_survive_the_meeting_of_new_rows():
    embedding = RowwiseEmbedding(torch.randn(ROWS, WIDTH))
    embedding.train()
    embedding.meet(torch.tensor([5]))
    embedding(torch.tensor([5])).sum().backward()
    embedding.meet(torch.arange(FIRST_ROWS + 10))
    embedding(torch.tensor([5, 7])).sum().backward()
    gradients = {row: embedding.rows.grad[embedding._place[row]].tolist() for row in (5, 6, 7)}
    assert gradients == {5: [2.0] * WIDTH, 6: [0.0] * WIDTH, 7: [1.0] * WIDTH}


def test_rows_never_met_can_be_looked_up_after_training():
    table = torch.randn(ROWS, WIDTH)
    embedding = RowwiseEmbedding(table.clone())
    embedding.train()
    embedding.meet(torch.tensor([1]))
    embedding.eval()
    assert torch.equal(embedding(torch.tensor([[1, 2]])), table[1:3][None])


def test_only_the_full_table_is_saved():
    embedding = RowwiseEmbedding(torch.randn(ROWS, WIDTH))
    embedding.train()
    embedding.meet(torch.tensor([1]))
    assert list(embedding.state_dict()) == ["weight"]
