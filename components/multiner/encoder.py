"""A Hugging Face encoder with its tokenizer: loaded once from a hub or a folder, then saved and restored without.

`load_encoder` is for the start of training and may go to a hub. What it returns knows all that inference needs;
`describe` and `restore_encoder` move it through plain JSON, `tokenizer.json` and safetensors: nothing is pickled, no
code that came with a model is run, and restoring never touches the network.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from .errors import UserError
from .files import new_folder
from .layout import Layout, first_position, layout_of, shapes_of
from .vocabulary import trim_tokenizer

# No encoder has more layers, and no number in a configuration is greater, than these: they bound what a damaged or
# hostile file can have computed or allocated before it is found not to fit its weights.
MOST_LAYERS = 1000
GREATEST_NUMBER = 1 << 21
ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")


class EncoderNotFound(UserError, OSError):
    """Neither a folder of that name nor a hub that has it; the message says what to do."""


class EncoderNotUsable(UserError, ValueError):
    """The encoder is there but cannot be used; the message says why."""


@dataclass(frozen=True)
class Reading:
    """How text has to be put before an encoder.

    prefix, suffix: Ids of the special pieces before and after the words (`<s>` and `</s>`).
    pad, unknown: Ids of the filling and of the unknown piece.
    capacity (int): The most pieces that it reads at once, special ones not counted.
    whole_words (int | None): Documents of at most so many words are read as a whole, longer ones sentence by sentence,
        as it has learnt from none like them; None reads all as a whole.
    """

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad: int
    unknown: int
    capacity: int
    whole_words: int | None = None


@dataclass
class Encoder:
    """A torch module that reads pieces, its configuration, its tokenizer, and how to use them together."""

    module: nn.Module
    config: dict[str, Any]
    tokenizer: Tokenizer
    reading: Reading

    @property
    def width(self) -> int:
        """Values in the vector of each piece."""
        return _width(self.module)

    def describe(self) -> dict[str, str]:
        """Everything but the weights, as file names with their contents."""
        return {
            "config.json": json.dumps(_without_code(self.config), indent=2, sort_keys=True),
            "reading.json": json.dumps(asdict(self.reading), indent=2),
            "tokenizer.json": self.tokenizer.to_str(),
        }


@dataclass
class SavedEncoder:
    """What is known of an encoder that was saved, and fits together.

    config (dict): The contents of its config.json.
    weights (dict): Tensors by the names that transformers gives them.
    layout (Layout | None): How it is built, if that is known here, so that it can predict without a module.
    width (int): Values in the vector of each piece.
    """

    config: dict[str, Any]
    tokenizer: Tokenizer
    reading: Reading
    weights: dict[str, torch.Tensor]
    layout: Layout | None
    width: int

    def make(self) -> nn.Module:
        """The module, which shares these weights.

        RAISES: EncoderNotUsable where this version of transformers makes no such encoder.
        """
        with _uninitialised_weights():
            module = _make_module(self.config)
        module.load_state_dict(self.weights, assign=True)
        return module.eval()


def load_encoder(
    name: str, *, revision: str | None = None, layers: int | None = None, fresh_layers: int = 0
) -> Encoder:
    """Load a pretrained encoder.

    name (str): A folder with `config.json`, weights and tokenizer, or a name on the Hugging Face hub.
    revision (str | None): Branch, tag or commit on the hub.
    layers (int | None): Leave all layers above so many away, see `Multiner.initialize`; None keeps all.
    fresh_layers (int): So many of the highest layers that are left get random weights.
    RAISES: EncoderNotFound, EncoderNotUsable.
    """
    from transformers import AutoModel

    with _told_plainly(name):
        tokenizer, config = _load_tokenizer(name, revision)
        attention = _use_fused_attention(config)
        if layers is not None:
            _keep_lowest(config, layers)
        with _silent_loading():
            module = AutoModel.from_pretrained(
                name,
                config=config,
                torch_dtype=torch.float32,
                revision=revision or "main",
                trust_remote_code=False,
                **attention,
            )
    _check_embedding(name, module)
    _drop_pooler(module)
    _begin_anew(module, fresh_layers)
    return Encoder(module, config.to_dict(), tokenizer.backend_tokenizer, _reading(tokenizer, config))


def load_tokenizer(name: str, *, revision: str | None = None) -> tuple[Tokenizer, Reading]:
    """What `load_encoder` gives without its weights: the tokenizer, and how text is put before the encoder.

    RAISES: EncoderNotFound, EncoderNotUsable.
    """
    with _told_plainly(name):
        tokenizer, config = _load_tokenizer(name, revision)
    return tokenizer.backend_tokenizer, _reading(tokenizer, config)


def restore_encoder(description: dict[str, str], weights: dict[str, torch.Tensor]) -> SavedEncoder:
    """Take up what `Encoder.describe` gave and its module's weights.

    Nothing of the size that the configuration asks for is allocated before it is known to be that of the weights. Of
    encoders that have a `Layout` nothing is made at all, and transformers is not imported.

    RAISES: EncoderNotUsable when they do not fit each other, or the description cannot be read.
    """
    settings = _read_settings(description["config.json"])
    layout = layout_of(settings)
    if layout is not None:
        _check_weights(shapes_of(layout), weights)
        rows, width = layout.pieces, layout.width
    else:
        with torch.device("meta"):
            outline = _make_module(settings)
        _check_weights({name: tuple(tensor.shape) for name, tensor in outline.state_dict().items()}, weights)
        rows, width = len(outline.get_input_embeddings().weight), _width(outline)  # type: ignore[operator]
    tokenizer = _read_tokenizer(description["tokenizer.json"], rows)
    reading = _read_reading(description["reading.json"], rows)
    return SavedEncoder(settings, tokenizer, reading, weights, layout, width)


def keep_pieces(description: dict[str, str], pieces: Collection[int], rows: int) -> tuple[dict[str, str], list[int]]:
    """What an encoder is described as when only some pieces of its vocabulary are left.

    description (dict): From `Encoder.describe`.
    pieces (Collection[int]): Pieces to keep; special pieces, and those that the encoder names, stay too.
    rows (int): How many rows its embedding table has.
    RETURNS: The new description, and the rows of the table that are left, in their new order.
    RAISES: TokenizerCannotBeTrimmed.
    """
    config, reading = json.loads(description["config.json"]), json.loads(description["reading.json"])
    named = {config[key] for key in config if key.endswith("_token_id") and isinstance(config[key], int)}
    named |= {*reading["prefix"], *reading["suffix"], reading["pad"], reading["unknown"]}
    # Where positions are counted from the padding's id on, it has to stay what it is.
    named |= set(range(reading["pad"] + 1))
    known = {piece for piece in {*pieces, *named} if 0 <= piece < rows}
    tokenizer, kept = trim_tokenizer(Tokenizer.from_str(description["tokenizer.json"]), known)
    new_ids = {old: new for new, old in enumerate(kept)}
    for key in [key for key in config if key.endswith("_token_id")]:
        config[key] = new_ids.get(config[key], config[key])
    config["vocab_size"] = len(kept)
    renumbered = {key: new_ids[reading[key]] for key in ("pad", "unknown")}
    ends = {key: [new_ids[piece] for piece in reading[key]] for key in ("prefix", "suffix")}
    return {
        "config.json": json.dumps(config, indent=2, sort_keys=True),
        "reading.json": json.dumps({**reading, **renumbered, **ends}, indent=2),
        "tokenizer.json": tokenizer.to_str(),
    }, kept


def _without_code(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration that does not ask for code which came with the model."""
    return {key: value for key, value in config.items() if key != "auto_map"}


def _read_settings(text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EncoderNotUsable(f"config.json is no JSON: {error}") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("model_type"), str):
        raise EncoderNotUsable("config.json does not say which `model_type` the encoder is.")
    if "auto_map" in settings:
        raise EncoderNotUsable("config.json asks for code to be run that came with the model (`auto_map`); none is.")
    for key, value in settings.items():
        most = MOST_LAYERS if "layer" in key else GREATEST_NUMBER
        if isinstance(value, int) and abs(value) > most:
            raise EncoderNotUsable(f"config.json has {key} = {value}; no encoder has more than {most}.")
    return settings


def _make_module(settings: dict[str, Any]) -> nn.Module:
    """The module of a configuration, without the weights of a trained one."""
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.for_model(**settings)
        module: nn.Module = AutoModel.from_config(
            config, torch_dtype=torch.float32, trust_remote_code=False, **_use_fused_attention(config)
        )
    except Exception as error:  # whatever the code of an encoder makes of settings that it cannot use
        raise EncoderNotUsable(f"config.json describes no encoder that can be made here: {error}") from error
    _drop_pooler(module)
    return module


def first_unlike(expected: dict[str, tuple[int, ...]], weights: dict[str, torch.Tensor]) -> str:
    """The first of some tensors, by name, that are not of the shapes expected, in words; empty if all are."""
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    unlike = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if not unlike:
        return ""
    name = unlike[0]
    return (
        f"{len(unlike)} tensors are unlike, the first is {name}, {found.get(name, 'missing')} in the weights and "
        f"{expected.get(name, 'missing')} as it would be"
    )


def _check_weights(expected: dict[str, tuple[int, ...]], weights: dict[str, torch.Tensor]) -> None:
    unlike = first_unlike(expected, weights)
    if unlike:
        raise EncoderNotUsable(f"The weights do not fit the encoder's config.json: {unlike}.")


def _width(module: nn.Module) -> int:
    # Asked of the module, which knows the names that families have for it: DistilBERT's file says `dim`.
    return int(module.config.hidden_size)  # type: ignore[union-attr, arg-type]


def _read_tokenizer(text: str, rows: int) -> Tokenizer:
    """A tokenizer for an encoder that has a vector for so many pieces."""
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises nothing more special
        raise EncoderNotUsable(f"tokenizer.json describes no tokenizer: {error}") from error
    # With added pieces counted it would put together the whole vocabulary, which takes longer than reading the weights.
    pieces = max(
        [tokenizer.get_vocab_size(with_added_tokens=False), *(1 + id for id in tokenizer.get_added_tokens_decoder())]
    )
    if pieces > rows:
        raise EncoderNotUsable(
            f"tokenizer.json has {pieces} pieces, and the encoder vectors for {rows}: it is the tokenizer of another "
            "encoder."
        )
    return tokenizer


def _read_reading(text: str, rows: int) -> Reading:
    try:
        content = json.loads(text)
        reading = Reading(**{**content, "prefix": tuple(content["prefix"]), "suffix": tuple(content["suffix"])})
        pieces = [*reading.prefix, *reading.suffix, reading.pad, reading.unknown]
        sound = all(isinstance(piece, int) and 0 <= piece < rows for piece in pieces)
        sound = sound and isinstance(reading.capacity, int) and 0 < reading.capacity <= GREATEST_NUMBER
        sound = sound and (reading.whole_words is None or isinstance(reading.whole_words, int))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise EncoderNotUsable(f"reading.json is damaged: {error}") from error
    if not sound:
        raise EncoderNotUsable("reading.json is damaged: it names pieces or a capacity that this encoder cannot have.")
    return reading


def fetch_encoder(name: str, folder: Path, *, revision: str | None = None) -> None:
    """Put an encoder from the hub, or from another folder, into a folder that `load_encoder` takes.

    RAISES: EncoderNotFound, EncoderNotUsable.
    """
    from transformers import AutoTokenizer

    encoder = load_encoder(name, revision=revision)
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision or "main", trust_remote_code=False)
    with new_folder(folder) as unfinished:
        encoder.module.save_pretrained(unfinished)  # type: ignore[operator]
        tokenizer.save_pretrained(unfinished)


def check_encoder_folder(folder: Path) -> None:
    """Make sure that a folder looks like an encoder, before anything slow starts.

    RAISES: EncoderNotFound.
    """
    if not (folder / "config.json").is_file():
        raise EncoderNotFound(
            f"There is no encoder in {folder}. Make it with the project's command 'encoder', or give another folder."
        )


@contextmanager
def _told_plainly(name: str) -> Iterator[None]:
    """What transformers raises becomes an error that says what to do."""
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError) as error:
        if Path(name).is_dir():
            raise EncoderNotUsable(f"The folder '{name}' does not hold a usable encoder: {error}") from error
        reason, remedy = _hub_reason(error)
        raise EncoderNotFound(
            f"The encoder '{name}' is not a folder here, and it could not be had from the Hugging Face hub: {reason}. "
            f"{remedy}, or give the path of a folder with config.json, weights and tokenizer.json."
        ) from error


def _hub_reason(error: BaseException) -> tuple[str, str]:
    """Why the hub did not give a model, and what to do about it."""
    from huggingface_hub import errors

    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    # In this order, because the first is a kind of the third.
    for kinds, reason, remedy in (
        (errors.GatedRepoError, "it is only for those who were given access", "Ask for access and log in there"),
        (errors.RevisionNotFoundError, "the model has no such revision", "Check `revision`"),
        (errors.RepositoryNotFoundError, "it has no model of this name", "Check the name, log in if it is private"),
        (errors.HFValidationError, "no model can have such a name there", "Check the name or the path"),
        (
            (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled),
            "the hub cannot be reached from here, and no earlier download is kept",
            "Connect this machine (and unset HF_HUB_OFFLINE)",
        ),
    ):
        if any(isinstance(cause, kinds) for cause in causes):
            return reason, remedy
    return f"{type(error).__name__}: {error}", "Check the name"


def _load_tokenizer(name: str, revision: str | None) -> tuple[Any, Any]:
    """A fast tokenizer and the encoder's configuration, as transformers has them."""
    from transformers import AutoTokenizer

    options: dict[str, Any] = {"revision": revision or "main", "trust_remote_code": False}
    config = _load_config(name, options)
    # The pieces of byte-level tokenizers know whether a blank came before; words here always have one.
    tokenizer = AutoTokenizer.from_pretrained(name, add_prefix_space=True, **options)
    if not getattr(tokenizer, "is_fast", False):
        raise EncoderNotUsable(
            f"The tokenizer of '{name}' ({type(tokenizer).__name__}) has no fast version (tokenizer.json), which is "
            "needed to cut words one by one. Take an encoder that has one."
        )
    # A tokenizer may come with the lengths that a sentence was cut off at and filled up to when it was made.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer, config


def _load_config(name: str, options: dict[str, Any]) -> Any:
    from transformers import AutoConfig, __version__

    try:
        config = AutoConfig.from_pretrained(name, **options)
    except ValueError as error:
        raise EncoderNotUsable(
            f"'{name}' does not hold a usable encoder: its config.json is missing, or names a model_type that "
            f"transformers {__version__} has no code for, and code that comes with a model is never run. Take another "
            "encoder, or a version of transformers that knows it."
        ) from error
    if config.is_encoder_decoder:
        raise EncoderNotUsable(
            f"'{name}' is an encoder with a decoder ({config.model_type}), which writes text. Take an encoder alone, "
            "such as xlm-roberta-base."
        )
    return config


def _check_embedding(name: str, module: Any) -> None:
    """Training replaces the table of word embeddings, so there has to be one and nothing but that."""
    try:
        table = module.get_input_embeddings()
    except NotImplementedError:
        table = None
    if type(table) is not nn.Embedding:
        raise EncoderNotUsable(
            f"'{name}' ({module.config.model_type}) has no plain table of word embeddings: it reads something else "
            "than text, or makes vectors of pieces in a way of its own. Take an encoder such as xlm-roberta-base."
        )


def _reading(tokenizer: Any, config: Any) -> Reading:
    probe = tokenizer.backend_tokenizer.encode(["a"], is_pretokenized=True)
    special = probe.special_tokens_mask
    first = special.index(0)
    last = len(special) - special[::-1].index(0)
    prefix, suffix = tuple(probe.ids[:first]), tuple(probe.ids[last:])
    # Some tokenizers report a limit of 1e30; some encoders (RoBERTa's kin) start counting positions after the pad.
    positions = getattr(config, "max_position_embeddings", None) or 0
    if positions <= 0:  # XLNet, which knows no limit, says -1.
        positions = tokenizer.model_max_length
    positions -= first_position(config.model_type, config.pad_token_id)
    limit = min(int(positions), int(tokenizer.model_max_length))
    unknown = tokenizer.unk_token_id
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    # Byte-level vocabularies have no unknown piece: any piece does for a word that leaves none.
    return Reading(prefix, suffix, pad, pad if unknown is None else unknown, limit - len(prefix) - len(suffix))


def _use_fused_attention(config: Any) -> dict[str, str]:
    """Have an encoder compute attention by torch's fused kernels, also while training: they allow no dropout.

    RETURNS: What else transformers has to be told when it makes the encoder.
    """
    for name in ATTENTION_DROPOUT_NAMES:
        if hasattr(config, name):
            setattr(config, name, 0.0)
    if config.model_type != "modernbert":
        return {}
    # On its own it takes Flash Attention where that is installed, which knows neither float32 nor CPUs, and compiles
    # itself where it can, once more for every shape of batch.
    config.reference_compile = False
    return {"attn_implementation": "sdpa"}


def _keep_lowest(config: Any, layers: int) -> None:
    """Have an encoder be made with so many layers."""
    if not 1 <= layers <= config.num_hidden_layers:
        raise EncoderNotUsable(
            f"layers = {layers}: the encoder has {config.num_hidden_layers}. Set layers in [initialize.components.ner] "
            "to how many of the lowest are to be kept, or to null to keep all."
        )
    config.num_hidden_layers = layers


def layers_of(module: nn.Module) -> nn.ModuleList | None:
    """The layers of an encoder, lowest first; None if it does not keep them one by one."""
    number: int = module.config.num_hidden_layers  # type: ignore[union-attr, assignment]
    lists = (part for part in module.modules() if isinstance(part, nn.ModuleList))
    return next((part for part in lists if len(part) == number), None)


def _begin_anew(module: Any, count: int) -> None:
    """Give so many of an encoder's highest layers the random weights that it has before it is pretrained."""
    if count == 0:
        return
    layers = layers_of(module)
    if layers is None or not 0 < count <= len(layers):
        there = "does not keep its layers one by one" if layers is None else f"has {len(layers)}"
        raise EncoderNotUsable(
            f"fresh_layers = {count}: the encoder {there}. Set fresh_layers in [initialize.components.ner] to how many "
            "of the highest are to begin with random weights, 0 for none."
        )
    for layer in layers[-count:]:
        layer.apply(module._init_weights)


def _drop_pooler(module: nn.Module) -> None:
    """The pooler serves sentence classification; here it would only be stored and never used."""
    if getattr(module, "pooler", None) is not None:
        module.pooler = None  # type: ignore[assignment]


@contextmanager
def _silent_loading() -> Iterator[None]:
    """Keeps transformers from announcing that the pooler, which is dropped anyway, has no trained weights."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def _uninitialised_weights() -> Iterator[None]:
    """Modules made inside have weights of arbitrary values: they are about to be replaced."""
    from transformers.modeling_utils import no_init_weights

    with no_init_weights():
        yield
