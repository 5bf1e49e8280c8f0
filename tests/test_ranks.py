"""Several processes train one model: what two of them do is what one does with batches twice as large."""

import json
import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import spacy
import torch
from spacy.cli._util import parse_config_overrides, setup_cli
from spacy.cli.train import train
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

from multiner.distributed import RanksError, gather, start_ranks
from multiner.docbins import count_steps
from multiner.embedding import RowwiseEmbedding
from multiner.rank_processes import prepare_process, take_own_gpu, without_output
from multiner.training import length_grouped_batches

from .conftest import PROJECT, SENTENCES, fork_context, sentences_of_many_lengths, starting_from, write_corpus

CONFIG = PROJECT / "configs/e5-small.cfg"
EPOCHS, OF_BOTH = 2, 6  # sentences in a batch of both processes


def as_rank(monkeypatch: pytest.MonkeyPatch, number: int, count: int) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "test", "RANK": number, "WORLD_SIZE": count}.items():
        monkeypatch.setenv(name, str(value))


@pytest.fixture(scope="module")
def overrides(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    # One sentence more than full batches: in the last one the second process has nothing.
    sentences = [*sentences_of_many_lengths(6), SENTENCES[0]]
    return {
        **write_corpus(tmp_path_factory.mktemp("corpus"), sentences),
        **starting_from(tiny_encoder),
        "system.epochs": EPOCHS,
        "training.optimizer.learn_rate.peak": 1e-2,
        # What would differ by chance, or by the sign of numbers next to 0.
        "training.dropout": 0.0,
        "training.optimizer.eps": 0.01,
        "components.ner.model.precision": "float32",
    }


def spacy_train_as_rank(number: int, port: int, arguments: list[str], printed: Path) -> None:
    """What `torchrun -m spacy train` does in one of two processes."""
    names = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", **{name: str(value) for name, value in names.items()}}
    torch.set_num_threads(1)
    with printed.open("w") as file:
        sys.stdout = sys.stderr = file
        sys.argv = ["spacy", "train", *arguments]
        prepare_process()  # which importing it has done where nothing has imported it before
        setup_cli()


def train_in_two_processes(output: Path, overrides: dict[str, Any]) -> list[str]:
    """RETURNS: What each of them printed."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    options = [part for key, value in overrides.items() for part in (f"--{key}", str(value))]
    arguments = [str(CONFIG), "--output", str(output), *options]
    printed = [output.with_name(f"printed-{number}") for number in range(2)]
    processes = [
        fork_context().Process(target=spacy_train_as_rank, args=(number, port, arguments, printed[number]))
        for number in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    texts = [path.read_text() for path in printed]
    assert [process.exitcode for process in processes] == [0, 0], texts
    return texts


def test_two_processes_give_losses_and_weights_of_one_with_the_doubled_batch(overrides, tmp_path, capsys):
    log = "training.logger.output"
    alone = {**overrides, "training.batcher.size": OF_BOTH, log: str(tmp_path / "one.jsonl")}
    train(CONFIG, tmp_path / "one", overrides=alone)
    shared = {**overrides, "training.batcher.size": OF_BOTH // 2, log: str(tmp_path / "two.jsonl")}
    first, second = train_in_two_processes(tmp_path / "two", shared)
    one, two = (
        [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()] for name in ("one", "two")
    )
    assert [row["Step"] for row in two] == [row["Step"] for row in one] == [0, 5, 10]
    assert [row["Loss"] for row in two] == pytest.approx([row["Loss"] for row in one], rel=1e-4)
    weights = [
        safetensors.torch.load_file(tmp_path / name / "model-last/ner/model/weights.safetensors")
        for name in ("one", "two")
    ]
    for key, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][key], tensor, rtol=1e-3, atol=1e-5, msg=key)
    assert "Saved pipeline" in first and second == ""
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["model-best", "model-last"]


def test_each_process_gets_its_own_examples_and_both_together_all(monkeypatch):
    nlp = spacy.blank("xx")
    examples = [Example(doc, doc) for doc in (Doc(nlp.vocab, words=["w"] * (1 + n % 7)) for n in range(33))]
    given = []
    for number in range(2):
        as_rank(monkeypatch, number, 2)
        random.seed(0)
        given.append(list(length_grouped_batches(4)(examples)))
    assert sorted(map(len, given[0])) == [1, 4, 4, 4, 4]
    # 33 are four times eight and one: at one step the second has nothing, and takes part all the same.
    assert sorted(map(len, given[1])) == [0, 4, 4, 4, 4]
    seen = [id(example) for batches in given for batch in batches for example in batch]
    assert sorted(seen) == sorted(map(id, examples))
    # Shares of a batch are alike in length, so that none waits long for the other.
    for one, two in zip(*given, strict=True):
        assert abs(sum(map(len, one)) - sum(map(len, two))) <= 7


def test_steps_are_those_of_all_processes_together(monkeypatch, overrides):
    corpus = Path(overrides["paths.train"])
    assert count_steps(corpus, batch_size=3, epochs=2) == 18
    as_rank(monkeypatch, 0, 2)
    assert count_steps(corpus, batch_size=3, epochs=2) == 10


def test_rows_can_be_put_into_the_order_of_others():
    table = torch.randn(5000, 3)
    one, two = (RowwiseEmbedding(table.clone()).train() for _ in range(2))
    one.meet(torch.tensor([7, 3]))
    two.meet(torch.tensor([900]))
    one(torch.tensor([3])).sum().backward()
    for embedding in (one, two):
        embedding.meet_in_order(torch.tensor([900, 3, 7]))
    assert torch.equal(one.rows, two.rows) and torch.equal(one.rows[:3], table[[900, 3, 7]])
    assert one.rows.grad[:3].tolist() == [[0.0] * 3, [1.0] * 3, [0.0] * 3]
    assert torch.equal(one(torch.tensor([[3, 7]])), two(torch.tensor([[3, 7]])))
    # Tables have the same size whatever way led to it; else sums over them are rounded otherwise.
    one.meet(torch.arange(1500))
    two.meet(torch.arange(1100))
    two.meet(torch.arange(1500))
    assert len(one.rows) == len(two.rows)


def test_components_whose_gradients_are_not_averaged_are_refused(monkeypatch, trained):
    as_rank(monkeypatch, 0, 2)
    nlp = spacy.blank("en")
    nlp.add_pipe("tagger")
    with pytest.raises(RanksError, match=r"'tagger' cannot be trained by several processes.*frozen_components"):
        start_ranks(1)(nlp)


def test_a_config_without_the_callback_is_told_what_to_add(monkeypatch):
    as_rank(monkeypatch, 1, 2)
    with pytest.raises(RanksError, match=r'\[initialize\.after_init\]\n@callbacks = "multiner\.ranks\.v1"'):
        gather(torch.zeros(1))


def test_other_processes_than_the_first_write_and_log_nothing():
    given = ["train", "a.cfg", "--output", "out", "-o=out", "--training.logger.output", "x", "--training.seed", "1"]
    assert without_output(given)[:4] == ["train", "a.cfg", "--training.seed", "1"]
    assert parse_config_overrides(without_output(given)[2:], env_var=None) == {
        "training.seed": 1,
        "training.logger": {"@loggers": "spacy.ConsoleLogger.v1", "progress_bar": False},
    }


def test_spacys_command_line_imports_what_prepares_the_processes():
    assert "multiner" in registry.cli.get_all()


@pytest.mark.parametrize(("visible", "own"), [(None, "2"), ("4,5,6,7", "6")])
def test_each_process_sees_its_own_gpu(visible, own):
    environment = {"LOCAL_RANK": "2", **({"CUDA_VISIBLE_DEVICES": visible} if visible else {})}
    take_own_gpu(environment)
    assert environment["CUDA_VISIBLE_DEVICES"] == own
