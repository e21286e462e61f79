"""Loading and saving weights in the published format. Built in chapter 05."""

import json
import math
import os
import warnings
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import huggingface_hub
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.overrides import TorchFunctionMode

from gpt2lib.config import PRESETS, GPT2Config
from gpt2lib.files import replacing_together
from gpt2lib.model import GPT2
from gpt2lib.tokenizer import TOKENIZER_FILES, Tokenizer, check_tokenizer

TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
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


# What the code below works with

SIZES = (
    "vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "layer_norm_epsilon",
    "embd_pdrop", "attn_pdrop", "resid_pdrop",
)  # fmt: skip
SHIPPED = ("tales",)  # the models that come with gpt2lib
# what GPT-2 does where a config.json could say otherwise
FIXED = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)  # what weights may be
# files that a reader would take instead of, or along with, those that save_pretrained writes
STALE = (
    *TOKENIZER_FILES,
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "generation_config.json",
    "adapter_config.json",
)


# Reading config.json
def read_config(directory: Path) -> GPT2Config:
    """Return the sizes in a directory's `config.json`.

    Raises FileNotFoundError without one, ValueError if it describes another model than GPT-2.
    """
    path = Path(directory) / "config.json"
    if not path.is_file():
        foreign = (".pt", ".pth", ".ckpt", ".gguf")
        others = [file.name for file in path.parent.glob("*") if file.suffix in foreign]
        raise FileNotFoundError(
            f"{directory} has no config.json"
            + (f", and {others[0]} is another program's format: convert it first" if others else "")
            + "; pass a directory that save_pretrained wrote, here or in transformers"
        )
    if (path.parent / "adapter_config.json").is_file():
        raise ValueError(
            f"{directory} holds an adapter beside the model; merge the two in the program that made it"
        )
    try:
        settings = json.loads(path.read_text("utf-8-sig"))
        if not isinstance(settings, dict):
            raise TypeError("it is not a table of settings")
        config = GPT2Config(**{name: settings[name] for name in SIZES if name in settings})
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read ({error}); save the model again") from error
    fixed = FIXED | {"n_inner": (4 * config.n_embd, None), "quantization_config": (None,)}
    for name, allowed in fixed.items():
        if settings.get(name, allowed[0]) not in allowed:
            raise ValueError(
                f"{path} says {name} = {settings[name]!r}, but GPT-2 has {allowed[0]!r}; load another model"
            )
    return config


# Finding the files that hold the weights
def _weight_files(directory: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint: one, or the parts that its index names.

    Raises FileNotFoundError if there are none or a part is missing, ValueError if there are both.
    """
    names = [(single := "model.safetensors")]
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        try:
            parts = sorted(set(map(str, json.loads(index.read_text("utf-8-sig"))["weight_map"].values())))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{index} cannot be read ({error!r}); download or save it again") from error
        if not (directory / single).is_file():
            names = parts
        elif parts != names and all((directory / name).is_file() for name in parts):
            raise ValueError(
                f"{directory} holds two sets of weights, {single} and the parts in {index.name}; "
                f"delete the one that doesn't belong to config.json"
            )
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


# A model without initial values, which loading would throw away
class _NoDrawing(TorchFunctionMode):
    """Skip the drawing of initial values, which costs seconds, for a model that gets others anyway."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__module__", None) == "torch.nn.init" or function is torch.Tensor.normal_:
            return (kwargs or {}).get("tensor", args[0] if args else None)
        return function(*args, **(kwargs or {}))


# A model of shapes only
def empty_model(config: GPT2Config) -> GPT2:
    """Return a GPT2 whose weights have shapes, but neither memory nor values yet."""
    with torch.device("meta"), _NoDrawing():
        return GPT2(config)


# Reading tensors from files, one at a time
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
            with path.open("rb") as file:
                pointer = file.read(8) == b"version "  # what git alone clones of a file that Git LFS keeps
            what = "a pointer of Git LFS: run `git lfs pull` there" if pointer else f"damaged ({error})"
            raise ValueError(f"{path} is {what}; download or save it again") from error
    for _, path, name in sorted(places, key=lambda place: -place[0]):
        with safe_open(path, framework="pt") as file:
            yield name, file.get_tensor(name)


# Reading all weights and comparing names and shapes
def read_weights(directory: Path, config: GPT2Config, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return a checkpoint's tensors under the names and in the shapes of `GPT2`, contiguous in memory.

    One tensor is read at a time, so this takes little more memory than the weights themselves.
    dtype is what they become. Raises ValueError, naming the tensors, if the files are damaged or do
    not hold exactly the weights of a GPT-2 of these sizes, as floating-point numbers.
    """
    _check_dtype(dtype)
    directory = Path(directory)
    expected = {name: weight.shape for name, weight in empty_model(config).named_parameters()}
    weights = {}
    for stored, tensor in _stored_tensors(_weight_files(directory)):
        renamed = rename_weight(stored, tensor)
        if renamed is not None:
            name, weight = renamed
            if name in weights:
                raise ValueError(f"{directory} holds {name} twice, once as {stored}; delete the wrong one")
            if weight.dtype not in FLOATS:
                raise ValueError(
                    f"{stored} in {directory} is {weight.dtype}: quantized weights mean nothing without "
                    f"their scales; load the model as it was before it was quantized"
                )
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
            f"missing {_some(missing)}; not known {_some(unknown)}; {_advice(missing, unknown)}"
        )
    wrong = {name for name in expected if weights[name].shape != expected[name]}
    if wrong:
        name = min(wrong)
        raise ValueError(
            f"{_some(wrong)} in {directory} have another shape than config.json says: {name} is "
            f"{tuple(weights[name].shape)} and should be {tuple(expected[name])}; check config.json"
        )
    return weights


# What the errors say
def _some(names: set[str], most: int = 3) -> str:
    """Return the first few names for an error message."""
    listed = ", ".join(sorted(names)[:most]) or "nothing"
    return listed + (f" and {len(names) - most} more" if len(names) > most else "")


def _advice(missing: set[str], unknown: set[str]) -> str:
    """Return what to do about weights that are missing or not known."""
    for prefix in ("_orig_mod.", "module."):
        if any(name.startswith(prefix) for name in unknown):
            return f"the names begin with {prefix!r}, as in a compiled or wrapped model: save the one inside"
    if not unknown and all(name.endswith(".bias") for name in missing):
        return "GPT-2 has biases and this model has none: add them as zeros, or load another one"
    return "check n_layer in config.json"


def _check_dtype(dtype: torch.dtype) -> None:
    """Raise an error unless weights can be of this dtype: TypeError if it is none, else ValueError."""
    if dtype not in FLOATS:
        raise (ValueError if isinstance(dtype, torch.dtype) else TypeError)(
            f"dtype is {dtype!r}, but weights are one of {', '.join(map(str, FLOATS))}"
        )


def _check_device(device: torch.device | str) -> None:
    """Raise ValueError unless tensors can be put on this device here."""
    try:
        torch.empty(0, device=device)
    except Exception as error:  # torch raises errors of many kinds
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"device is {device!r}, which torch can't use here ({reason:.80}); pass 'cpu', 'cuda' where "
            f"there is an NVIDIA GPU, or 'mps' on a Mac"
        ) from error


def _compare_sizes(config: GPT2Config, tokenizer: Tokenizer) -> None:
    """Warn if a model doesn't have as many tokens as its tokenizer."""
    if config.vocab_size > tokenizer.vocab_size:
        what = "complete never draws the ids that the tokenizer lacks"
    else:
        what = "texts with ids that the model lacks will be refused"
    if config.vocab_size != tokenizer.vocab_size:
        warnings.warn(
            f"the model has vocab_size {config.vocab_size} and the tokenizer {tokenizer.vocab_size}; {what}",
            stacklevel=3,
        )


# Fetching a published model
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


# from_pretrained: all of it together
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
    it the tokenizer is GPT-2's. dtype is what the weights become. Warns if model and tokenizer differ
    in size. Raises FileNotFoundError for what is not there, ValueError for what is not a GPT-2 or has
    another kind of tokenizer and for a device that torch can't use here, OSError for what cannot be
    fetched.
    """
    _check_dtype(dtype)
    _check_device(device)
    if str(name_or_dir) in SHIPPED:
        directory = Path(str(resources.files("gpt2lib").joinpath("data", str(name_or_dir))))
    elif str(name_or_dir) in PRESETS:
        directory = _download(name_or_dir)
    else:
        directory = Path(os.path.expanduser(name_or_dir))
        if directory.is_file():
            raise FileNotFoundError(
                f"{directory} is a file; pass the directory that holds it and its config.json"
            )
        if not directory.is_dir():
            raise FileNotFoundError(
                f"there is no model and no directory called {str(name_or_dir)!r}; pass a directory or one of "
                f"{', '.join([*SHIPPED, *PRESETS])}. Of another model on the Hugging Face hub, pass what "
                f"huggingface_hub.snapshot_download({str(name_or_dir)!r}) returns"
            )
    before = (directory / "config.json").stat() if (directory / "config.json").is_file() else None
    config = read_config(directory)
    with torch.inference_mode(False):  # weights made in that mode could not be trained later
        weights = read_weights(directory, config, dtype)
        model = empty_model(config)
        if any(buffer.is_meta for buffer in model.buffers()):  # a stored mask, say, is in no checkpoint
            model = GPT2(config)
        model.load_state_dict(weights, assign=True)
        model.to(device).eval()
    try:
        tokenizer = Tokenizer.load(directory)
    except FileNotFoundError:  # there is none, of whatever kind
        tokenizer = Tokenizer.gpt2()
    if not os.path.samestat(before, (directory / "config.json").stat()):
        raise OSError(f"another model was saved in {directory} while it was read; load it again")
    _compare_sizes(config, tokenizer)
    return model, tokenizer


# save_pretrained, the way back
def save_pretrained(
    model: GPT2, tokenizer: Tokenizer, directory: str | Path, *, dtype: torch.dtype | None = None
) -> None:
    """Write a model and its tokenizer so that `from_pretrained`, here and in transformers, reads them.

    dtype is the dtype on disk; None keeps the model's. A compiled model, or one wrapped for several
    GPUs, is saved as the model inside. All files are replaced together or none is, and those of another
    model that would be read along with them are removed. Raises TypeError or ValueError, before
    anything is written, for what can't be read back as a GPT-2.
    """
    model, weights = _checked(model, dtype)
    check_tokenizer(tokenizer)
    _compare_sizes(model.config, tokenizer)
    end = min(tokenizer.end_of_text, model.config.vocab_size - 1)
    settings = {name: allowed[0] for name, allowed in FIXED.items()} | {
        "architectures": ["GPT2LMHeadModel"],
        "bos_token_id": end,
        "eos_token_id": end,
        **{name: getattr(model.config, name) for name in SIZES},
    }
    directory = Path(os.path.expanduser(directory))
    directory.mkdir(parents=True, exist_ok=True)
    with replacing_together(directory, key="config.json", stale=STALE) as folder:
        tokenizer.save(folder)
        (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _checked(model: nn.Module, dtype: torch.dtype | None) -> tuple[GPT2, dict[str, torch.Tensor]]:
    """Return the model inside its wrappers, and its weights as a checkpoint holds them.

    Raises TypeError for what is no GPT-2, ValueError for weights or a dtype that can't be read back.
    """
    while isinstance(inner := getattr(model, "_orig_mod", getattr(model, "module", None)), nn.Module):
        model = inner  # of torch.compile, or DistributedDataParallel and its like
    kind = type(model).__name__
    if not isinstance(model, nn.Module) or not isinstance(getattr(model, "config", None), GPT2Config):
        config = type(getattr(model, "config", None)).__name__
        raise TypeError(
            f"model is a {kind} with a {config} as its config, but save_pretrained writes a GPT2 with the "
            f"GPT2Config of gpt2lib"
        )
    if dtype is not None:
        _check_dtype(dtype)
    expected = {name: weight.shape for name, weight in empty_model(model.config).named_parameters()}
    weights, found = {}, {name: weight.detach() for name, weight in model.named_parameters()}
    wrong = {
        name
        for name in found.keys() | expected.keys()
        if name not in found or found[name].shape != expected.get(name)
    }
    if wrong:
        raise TypeError(
            f"this {kind} doesn't have the weights of a GPT2 (see {_some(wrong)}), so nobody could read "
            f"them back; save the model that it was made from"
        )
    for name, weight in found.items():
        _check_dtype(weight.dtype)
        if weight.is_meta:
            raise ValueError(f"{name} is on the meta device: it has no values that could be saved")
        stored = weight.to(device="cpu", dtype=dtype or weight.dtype)
        if not stored.isfinite().all():
            remedy = "pass dtype=torch.float32" if weight.isfinite().all() else "save an earlier state"
            raise ValueError(f"{name} holds NaN or infinity as {stored.dtype}; {remedy}")
        weights[f"transformer.{name}"] = (stored.T if name.endswith(TRANSPOSED) else stored).contiguous()
    return model, weights
