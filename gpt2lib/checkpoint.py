"""Loading and saving weights in the published format. Built in chapter 05."""

import json
import math
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import huggingface_hub
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from gpt2lib.config import PRESETS, GPT2Config
from gpt2lib.files import replacing
from gpt2lib.model import GPT2
from gpt2lib.tokenizer import Tokenizer

SIZES = (
    "vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "layer_norm_epsilon",
    "embd_pdrop", "attn_pdrop", "resid_pdrop",
)  # fmt: skip
SHIPPED = ("tales",)  # the models that come with gpt2lib
TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
# what GPT-2 does where a config.json could say otherwise
FIXED = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}
# what older checkpoints hold beside the weights: the mask, which GPT-2 can compute
BUFFERS = (".attn.bias", ".attn.masked_bias")


def rename_weight(stored: str, weight: torch.Tensor) -> tuple[str, torch.Tensor] | None:
    """Return a stored tensor under our name and in our layout, or None if it is a mask.

    Stored weights of linear layers are (in, out), as OpenAI's Conv1D multiplies; nn.Linear holds
    (out, in).
    """
    name = stored.removeprefix("transformer.")
    if name.endswith(BUFFERS):
        return None
    return name, weight.T if name.endswith(TRANSPOSED) else weight


def read_config(directory: Path) -> GPT2Config:
    """Return the sizes in a directory's `config.json`.

    Raises FileNotFoundError without one, ValueError if it describes another model than GPT-2.
    """
    path = directory / "config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{directory} has no config.json; pass a directory that save_pretrained wrote"
        )
    try:
        settings = json.loads(path.read_text("utf-8"))
        if not isinstance(settings, dict):
            raise TypeError("it is not a table of settings")
        config = GPT2Config(**{name: settings[name] for name in SIZES if name in settings})
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); save the model again") from error
    fixed = FIXED | {"n_inner": (None, 4 * config.n_embd)}
    for name, allowed in fixed.items():
        if settings.get(name, allowed[0]) not in allowed:
            raise ValueError(
                f"{path} says {name} = {settings[name]!r}, but GPT-2 has {allowed[0]!r}; load another model"
            )
    return config


def _weight_files(directory: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint: one, or the parts that its index names.

    Raises FileNotFoundError if there are none or a part is missing.
    """
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{index} cannot be read ({error!r}); download or save it again") from error
    else:
        names = ["model.safetensors"]
    for name in names:
        if not (directory / name).is_file():
            pickled = (directory / "pytorch_model.bin").is_file()
            raise FileNotFoundError(
                f"{directory} has no {name}"
                + (
                    ", and pytorch_model.bin is a pickle, which can run code when it is read"
                    if pickled
                    else ""
                )
                + "; save the model with safetensors"
            )
    return [directory / name for name in names]


class _NoDrawing(TorchFunctionMode):
    """Skip the drawing of initial values, which costs seconds, for a model that gets others anyway."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__module__", None) == "torch.nn.init":
            return (kwargs or {}).get("tensor", args[0] if args else None)
        return function(*args, **(kwargs or {}))


def empty_model(config: GPT2Config) -> GPT2:
    """Return a GPT2 whose weights have shapes, but neither memory nor values yet."""
    with torch.device("meta"), _NoDrawing():
        return GPT2(config)


def _stored_tensors(paths: list[Path]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the name and the tensor of everything in these files, the largest first.

    A tensor is mapped from its file, each in a mapping of its own: its memory is free again as soon
    as the caller drops it. Raises ValueError if a file is damaged.
    """
    places = []
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                places += [(math.prod(file.get_slice(name).get_shape()), path, name) for name in file.keys()]
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged ({error}); download or save it again") from error
    for _, path, name in sorted(places, key=lambda place: -place[0]):
        with safe_open(path, framework="pt") as file:
            yield name, file.get_tensor(name)


def read_weights(directory: Path, config: GPT2Config, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return a checkpoint's tensors under the names and in the shapes of `GPT2`, contiguous in memory.

    One tensor is read at a time, so this takes little more memory than the weights themselves.
    Raises ValueError, naming the tensors, if the files are damaged or do not hold exactly the
    weights of a GPT-2 of these sizes.
    """
    expected = {name: weight.shape for name, weight in empty_model(config).named_parameters()}
    weights = {}
    for stored, tensor in _stored_tensors(_weight_files(directory)):
        renamed = rename_weight(stored, tensor)
        if renamed is not None:
            name, weight = renamed
            # a transposed view would be multiplied by other kernels, and so be rounded differently
            weights[name] = torch.empty(weight.shape, dtype=dtype).copy_(weight)
        if {"lm_head.weight", "wte.weight"} <= weights.keys():
            if not torch.equal(weights.pop("lm_head.weight"), weights["wte.weight"]):
                raise ValueError(
                    f"lm_head.weight in {directory} differs from wte.weight, but GPT-2 uses one matrix for "
                    f"both; load a model with tied embeddings"
                )
    missing, unknown = expected.keys() - weights.keys(), weights.keys() - expected.keys()
    if missing or unknown:
        raise ValueError(
            f"the weights in {directory} are not those of a GPT-2 with {config.n_layer} layers: "
            f"missing {_some(missing)}; not known {_some(unknown)}; check n_layer in config.json"
        )
    wrong = {name for name in expected if weights[name].shape != expected[name]}
    if wrong:
        name = min(wrong)
        raise ValueError(
            f"{_some(wrong)} in {directory} have another shape than config.json says: {name} is "
            f"{tuple(weights[name].shape)} and should be {tuple(expected[name])}; check config.json"
        )
    return weights


def _some(names: set[str], most: int = 3) -> str:
    """Return the first few names for an error message."""
    listed = ", ".join(sorted(names)[:most]) or "nothing"
    return listed + (f" and {len(names) - most} more" if len(names) > most else "")


def _download(name: str) -> Path:
    """Return the directory of a published model, fetched from the Hugging Face hub if need be.

    Raises OSError, with what to do instead, if it cannot be fetched.
    """
    try:
        directory = huggingface_hub.snapshot_download(
            f"openai-community/{name}", allow_patterns=["config.json", "model.safetensors"]
        )
    except Exception as error:  # the hub client raises errors of several libraries
        raise OSError(
            f"{name} could not be fetched from the Hugging Face hub ({type(error).__name__}); connect to the "
            f"internet once, pass a directory that holds it, or use {SHIPPED[0]!r}, which comes with gpt2lib"
        ) from error
    return Path(directory)


def from_pretrained(
    name_or_dir: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> tuple[GPT2, Tokenizer]:
    """Return the model and the tokenizer of a checkpoint, ready to generate.

    name_or_dir is a name (`tales`, which comes with gpt2lib; `gpt2`, `gpt2-medium`, `gpt2-large`,
    `gpt2-xl`, fetched once from the Hugging Face hub) or a directory with `config.json` and
    safetensors, as written by `save_pretrained` here or in transformers. Without tokenizer files in
    it the tokenizer is GPT-2's. Raises FileNotFoundError for what is not there, ValueError for what
    is not a GPT-2, OSError for what cannot be fetched.
    """
    if str(name_or_dir) in SHIPPED:
        directory = Path(str(resources.files("gpt2lib").joinpath("data", str(name_or_dir))))
    elif str(name_or_dir) in PRESETS:
        directory = _download(name_or_dir)
    else:
        directory = Path(name_or_dir)
        if not directory.is_dir():
            raise FileNotFoundError(
                f"there is no model and no directory called {str(name_or_dir)!r}; "
                f"pass a directory or one of {', '.join([*SHIPPED, *PRESETS])}"
            )
    config = read_config(directory)
    weights = read_weights(directory, config, dtype)
    model = empty_model(config)
    if any(buffer.is_meta for buffer in model.buffers()):  # a stored mask, say, is in no checkpoint
        model = GPT2(config)
    model.load_state_dict(weights, assign=True)
    has_tokenizer = any((directory / name).is_file() for name in ("merges.txt", "tokenizer.json"))
    return model.to(device).eval(), Tokenizer.load(directory) if has_tokenizer else Tokenizer.gpt2()


def save_pretrained(
    model: GPT2, tokenizer: Tokenizer, directory: str | Path, *, dtype: torch.dtype | None = None
) -> None:
    """Write a model and its tokenizer so that `from_pretrained`, here and in transformers, reads them.

    dtype is what the weights are stored as, None for what they are. Each file is replaced whole or
    not at all.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(directory)
    end = min(tokenizer.end_of_text, model.config.vocab_size - 1)
    settings = {name: allowed[0] for name, allowed in FIXED.items()} | {
        "architectures": ["GPT2LMHeadModel"],
        "bos_token_id": end,
        "eos_token_id": end,
        **{name: getattr(model.config, name) for name in SIZES},
    }
    with replacing(directory / "config.json") as path:
        path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    weights = {}
    for name, weight in model.named_parameters():
        stored = weight.detach().T if name.endswith(TRANSPOSED) else weight.detach()
        weights[f"transformer.{name}"] = stored.to(device="cpu", dtype=dtype or weight.dtype).contiguous()
    with replacing(directory / "model.safetensors") as path:
        save_file(weights, path, metadata={"format": "pt"})
