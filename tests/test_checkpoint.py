"""Checkpoints: what transformers writes is read, what we write transformers reads, and nothing is lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, GPT2LMHeadModel, GPT2TokenizerFast

from conftest import SIZES, largest, shake, their_model
from gpt2lib import GPT2, GPT2Config, Sampler, complete, from_pretrained, save_pretrained
from gpt2lib.checkpoint import empty_model
from gpt2lib.fast import fast
from gpt2lib.tokenizer import Tokenizer

TOKENS = torch.randint(311, (2, 11), generator=torch.Generator().manual_seed(0))


def rewrite(directory, change):
    """Apply a change to the tensors of a checkpoint."""
    tensors = load_file(directory / "model.safetensors")
    save_file(change(tensors), directory / "model.safetensors", metadata={"format": "pt"})


def configure(directory, **changes):
    """Change entries of a checkpoint's config.json."""
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def theirs(tmp_path):
    model = their_model(**SIZES)
    model.save_pretrained(tmp_path / "theirs")
    return model, tmp_path / "theirs"


@pytest.mark.parametrize("variant", ["prefix", "no prefix", "head", "buffers", "shards"])
def test_every_layout_of_transformers_is_read(theirs, variant):
    model, directory = theirs
    if variant == "no prefix":
        model.transformer.save_pretrained(directory)
    if variant == "head":
        rewrite(directory, lambda t: t | {"lm_head.weight": t["transformer.wte.weight"].clone()})
    if variant == "buffers":
        mask = torch.ones(1, 1, 24, 24, dtype=torch.bool).tril()
        more = {f"transformer.h.{i}.attn.bias": mask.clone() for i in range(3)}
        more |= {f"transformer.h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(3)}
        rewrite(directory, lambda t: t | more)
    if variant == "shards":
        (directory / "model.safetensors").unlink()
        model.save_pretrained(directory, max_shard_size="20KB")
        assert len(list(directory.glob("model-*.safetensors"))) > 1
    got, tokenizer = from_pretrained(directory)
    assert largest(got(TOKENS) - model(TOKENS).logits) < 1e-5
    assert tokenizer.vocab_size == 50257  # no tokenizer files: GPT-2's
    assert not got.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read(theirs, dtype):
    model, directory = theirs
    model.to(dtype).save_pretrained(directory)
    got, _ = from_pretrained(directory)
    assert {p.dtype for p in got.parameters()} == {torch.float32}
    assert largest(got(TOKENS) - model.float()(TOKENS).logits) < 1e-5
    kept, _ = from_pretrained(directory, dtype=dtype)
    assert {p.dtype for p in kept.parameters()} == {dtype}


def test_transformers_reads_what_we_write(small, gpt2_tokenizer, tmp_path):
    save_pretrained(small, gpt2_tokenizer, tmp_path)
    theirs, report = GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert theirs.config.layer_norm_epsilon == 0.1
    assert largest(theirs.eval()(TOKENS).logits - small(TOKENS)) < 1e-5
    text = "Hello  world, naïve 🙂"
    assert AutoTokenizer.from_pretrained(tmp_path)(text).input_ids == gpt2_tokenizer.encode(text)


def test_a_round_trip_changes_no_bit(small, tmp_path):
    tokenizer = Tokenizer.train("some small text to learn from", 270)
    save_pretrained(small, tokenizer, tmp_path)
    again, its_tokenizer = from_pretrained(tmp_path)
    assert again.config == small.config
    assert its_tokenizer.merges == tokenizer.merges
    for (name, a), (other, b) in zip(small.named_parameters(), again.named_parameters()):
        assert name == other and torch.equal(a, b)
    save_pretrained(again, its_tokenizer, tmp_path)  # onto the files it came from
    assert torch.equal(from_pretrained(tmp_path)[0].wte.weight, small.wte.weight)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json", "merges.txt", "model.safetensors", "vocab.json"
    ]  # fmt: skip


def test_half_precision_can_be_written(small, gpt2_tokenizer, tmp_path):
    save_pretrained(small, gpt2_tokenizer, tmp_path, dtype=torch.float16)
    assert {t.dtype for t in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    assert largest(from_pretrained(tmp_path)[0].wte.weight - small.wte.weight) < 1e-3


def test_a_loaded_model_can_be_trained_without_touching_the_file(saved):
    model, _ = from_pretrained(saved)
    before = (saved / "model.safetensors").read_bytes()
    model(TOKENS).logsumexp(-1).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert (saved / "model.safetensors").read_bytes() == before


def test_the_head_is_tied(small):
    small.wte.weight.data[7] = 0
    assert torch.equal(small(TOKENS)[..., 7], torch.zeros(2, 11))
    assert not any("lm_head" in name for name in small.state_dict())


def test_the_square_matrix_is_transposed(theirs):
    model, directory = theirs
    got, _ = from_pretrained(directory)
    assert torch.equal(got.h[1].attn.c_proj.weight, model.transformer.h[1].attn.c_proj.weight.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_weights_are_contiguous_and_memory_of_their_own(theirs, stored, dtype):
    model, directory = theirs
    model.to(stored).save_pretrained(directory)
    weights = dict(from_pretrained(directory, dtype=dtype)[0].named_parameters())
    (directory / "model.safetensors").write_bytes(b"")  # as a program that doesn't replace files whole does
    for name, weight in weights.items():
        assert weight.is_contiguous() and weight.dtype == dtype, name
        assert weight.untyped_storage().nbytes() == weight.nbytes, name
    want = model.transformer.h[1].mlp.c_fc.weight.T.to(dtype)
    assert torch.equal(weights["h.1.mlp.c_fc.weight"], want)


LOAD = """
import re, sys, torch
from gpt2lib import Tokenizer, from_pretrained

def memory(kind):
    return int(re.search(kind + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

from_pretrained("tales"), Tokenizer.gpt2()  # what the first call allocates besides
open("/proc/self/clear_refs", "w").write("5")  # the peak starts here
before = memory("VmRSS")
model, _ = from_pretrained(sys.argv[1])
print((memory("VmHWM") - before) / sum(weight.nbytes for weight in model.parameters()))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a part")
@pytest.mark.parametrize("variant", ["float32", "float16", "head", "shards"])
def test_loading_takes_little_more_memory_than_the_weights(tmp_path, variant):
    model = their_model(vocab_size=20_000, n_positions=64, n_embd=512, n_layer=6, n_head=8)
    model.to(torch.float16 if variant == "float16" else torch.float32)
    model.save_pretrained(tmp_path, max_shard_size="20MB" if variant == "shards" else "1GB")
    if variant == "head":
        rewrite(tmp_path, lambda t: t | {"lm_head.weight": t["transformer.wte.weight"].clone()})
    ran = subprocess.run([sys.executable, "-c", LOAD, tmp_path], capture_output=True, text=True, check=True)
    assert 0.8 < float(ran.stdout) <= 1.15


REFUSED = {
    "no config": (lambda d: (d / "config.json").unlink(), FileNotFoundError, "config.json"),
    "config is not json": (lambda d: (d / "config.json").write_text("{"), ValueError, "config.json"),
    "config is a list": (lambda d: (d / "config.json").write_text("[1]"), ValueError, "config.json"),
    "config lies about width": (lambda d: configure(d, n_embd=48), ValueError, "shape.*144"),
    "config lies about layers": (lambda d: configure(d, n_layer=4), ValueError, "missing h.3"),
    "config lies about fewer layers": (lambda d: configure(d, n_layer=2), ValueError, "not known h.2"),
    "heads do not divide": (lambda d: configure(d, n_head=5), ValueError, "n_head"),
    "another architecture": (lambda d: configure(d, model_type="llama"), ValueError, "llama"),
    "another activation": (lambda d: configure(d, activation_function="relu"), ValueError, "relu"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), FileNotFoundError, "model.safetensors"),
    "only a pickle": (
        lambda d: (d / "model.safetensors").rename(d / "pytorch_model.bin"), FileNotFoundError, "pickle"
    ),
    "weights are empty": (lambda d: (d / "model.safetensors").write_bytes(b""), ValueError, "damaged"),
    "weights are garbage": (lambda d: (d / "model.safetensors").write_bytes(b"x" * 999), ValueError, "damaged"),
    "weights are truncated": (
        lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:-1000]),
        ValueError, "damaged",
    ),
    "a tensor is missing": (
        lambda d: rewrite(d, lambda t: {k: v for k, v in t.items() if "ln_f.bias" not in k}), ValueError, "ln_f.bias"
    ),
    "a tensor too many": (lambda d: rewrite(d, lambda t: t | {"extra": torch.ones(1)}), ValueError, "extra"),
    "int8": (
        lambda d: rewrite(d, lambda t: t | {"transformer.h.0.attn.c_attn.weight": torch.ones(24, 72, dtype=torch.int8)}),
        ValueError, "c_attn.weight.*int8.*quantized",
    ),
    "float8": (
        lambda d: rewrite(d, lambda t: t | {"transformer.ln_f.bias": torch.ones(24).to(torch.float8_e4m3fn)}),
        ValueError, "ln_f.bias.*float8",
    ),
    "of a compiled model": (
        lambda d: rewrite(d, lambda t: {k.replace("transformer.", "_orig_mod."): v for k, v in t.items()}),
        ValueError, "begin with '_orig_mod.'",
    ),
    "of a parallel model": (
        lambda d: rewrite(d, lambda t: {"module." + k: v for k, v in t.items()}), ValueError, "begin with 'module.'"
    ),
    "without biases": (
        lambda d: rewrite(d, lambda t: {k: v for k, v in t.items() if not k.endswith(".bias")}), ValueError, "has biases"
    ),
    "another MLP": (lambda d: configure(d, n_inner=50), ValueError, "n_inner = 50, but GPT-2 has 96"),
    "quantized": (lambda d: configure(d, quantization_config={"bits": 8}), ValueError, "quantization_config"),
    "an adapter": (lambda d: (d / "adapter_config.json").write_text("{}"), ValueError, "adapter"),
    "two sets of weights": (lambda d: theirs_at(d, max_shard_size="20KB"), ValueError, "two sets"),
    "a part is missing": (
        lambda d: ((d / "model.safetensors").unlink(), theirs_at(d, max_shard_size="20KB"),
                   next(d.glob("model-*.safetensors")).unlink()), FileNotFoundError, "has no model-0"
    ),
    "nanoGPT": (
        lambda d: ((d / "config.json").unlink(), (d / "ckpt.pt").write_bytes(b"")), FileNotFoundError, "ckpt.pt.*convert"
    ),
    "epsilon is a string": (lambda d: configure(d, layer_norm_epsilon="1e-5"), ValueError, "layer_norm_epsilon"),
    "epsilon is null": (lambda d: configure(d, layer_norm_epsilon=None), ValueError, "layer_norm_epsilon"),
    "head is not tied": (
        lambda d: rewrite(d, lambda t: t | {"lm_head.weight": t["transformer.wte.weight"] + 1}), ValueError, "lm_head"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_checkpoint_is_refused_with_a_reason(saved, case):
    spoil, error, reason = REFUSED[case]
    spoil(saved)
    with pytest.raises(error, match=reason):
        from_pretrained(saved)


def test_an_unknown_name_is_refused():
    with pytest.raises(FileNotFoundError, match="gtp2.*gpt2-xl"):
        from_pretrained("gtp2")


@pytest.mark.parametrize("name", ["openai-community/gpt2", "distilgpt2", "someone/model"])
def test_other_names_of_the_hub_get_the_way_to_go(name):
    with pytest.raises(FileNotFoundError, match=f"gpt2-xl.*snapshot_download\\('{name}'\\)"):
        from_pretrained(name)


def test_a_file_is_refused_with_the_directory_named(saved):
    with pytest.raises(FileNotFoundError, match="is a file; pass the directory"):
        from_pretrained(saved / "model.safetensors")


@pytest.mark.parametrize(
    "dtype, error", [("float16", TypeError), (None, TypeError), (torch.int8, ValueError)]
)
def test_a_dtype_that_weights_cannot_have_is_refused(saved, dtype, error):
    with pytest.raises(error, match="dtype is .*torch.float16"):
        from_pretrained(saved, dtype=dtype)


def test_an_index_whose_parts_are_gone_does_no_harm(tmp_path):
    theirs_at(tmp_path, max_shard_size="20KB")
    model = theirs_at(tmp_path)  # transformers removes the parts and leaves the index
    assert (tmp_path / "model.safetensors.index.json").exists()
    assert largest(from_pretrained(tmp_path)[0](TOKENS) - model(TOKENS).logits) < 1e-5


def test_without_a_network_the_hub_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="gpt2-large could not be fetched.*tales"):
        from_pretrained("gpt2-large")


def test_a_download_is_read_from_the_hubs_cache(theirs, monkeypatch):
    model, directory = theirs
    asked = {}

    def fetched(repository, **options):
        asked.update(options, repository=repository)
        return str(directory)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    got, _ = from_pretrained("gpt2")
    assert asked["repository"] == "openai-community/gpt2"
    # no pickle
    assert all(pattern.endswith((".json", ".safetensors")) for pattern in asked["allow_patterns"])
    assert largest(got(TOKENS) - model(TOKENS).logits) < 1e-5


def contents(directory):
    """Return every file of a directory with its bytes; what is hidden, too."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def theirs_at(directory, **how):
    """Save a model of transformers with another tokenizer of theirs, and return it."""
    model = their_model(**SIZES)
    shake(model, seed=5)
    model.save_pretrained(directory, **how)
    return model


def old_tokenizer(directory):
    """Write the tokenizer files that the versions of transformers write, for another tokenizer."""
    Tokenizer.train("zebra zoo zone zest " * 5, 300).save(directory)
    GPT2TokenizerFast.from_pretrained(directory).save_pretrained(directory)
    (directory / "added_tokens.json").write_text('{"<|user|>": 300}')
    (directory / "special_tokens_map.json").write_text('{"pad_token": "<|user|>"}')
    (directory / "chat_template.jinja").write_text("{{ messages }}")
    (directory / "generation_config.json").write_text('{"eos_token_id": 5, "max_new_tokens": 3}')


EARLIER = {
    "nothing": lambda directory: None,
    "one file": theirs_at,
    "shards": lambda directory: theirs_at(directory, max_shard_size="20KB"),
    "shards, then one file": lambda d: (theirs_at(d, max_shard_size="20KB"), theirs_at(d)),
    "one file, then shards": lambda d: (theirs_at(d), theirs_at(d, max_shard_size="20KB")),
    "shards of another number": lambda d: [theirs_at(d, max_shard_size=f"{n}KB") for n in (10, 30)],
    "tokenizers": old_tokenizer,
    "all of it": lambda d: (theirs_at(d, max_shard_size="20KB"), theirs_at(d), old_tokenizer(d)),
}


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_save_reads_back_as_what_was_saved_whatever_was_there(small, tmp_path, earlier):
    EARLIER[earlier](tmp_path)
    (tmp_path / "README.md").write_text("of the user")
    tokenizer = Tokenizer.train("the cat sat on the mat " * 5, 311)
    save_pretrained(small, tokenizer, tmp_path)
    model, its_tokenizer = from_pretrained(tmp_path)
    assert largest(model(TOKENS) - small(TOKENS)) < 1e-5
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    assert largest(theirs(TOKENS).logits - small(TOKENS)) < 1e-5
    text = "the cat, a zebra and <|user|>"
    ids = tokenizer.encode(text)
    assert its_tokenizer.encode(text) == ids == AutoTokenizer.from_pretrained(tmp_path)(text).input_ids
    assert theirs.generation_config.eos_token_id == tokenizer.end_of_text
    assert sorted(contents(tmp_path)) == [
        "README.md",
        "config.json",
        "merges.txt",
        "model.safetensors",
        "vocab.json",
    ]


def test_saving_a_tokenizer_alone_replaces_every_other(tmp_path):
    old_tokenizer(tmp_path)
    tokenizer = Tokenizer.train("the cat sat on the mat " * 5, 311)
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).merges == tokenizer.merges
    assert not (tmp_path / "tokenizer.json").exists()


class Wrapped(torch.nn.Module):
    """A model inside another one, as DistributedDataParallel has it."""

    def __init__(self, module):
        super().__init__()
        self.module = module


WRAPPERS = {
    "compiled": torch.compile,
    "compiled in place": lambda model: (model.compile(), model)[1],
    "parallel": torch.nn.DataParallel,
    "averaged": torch.optim.swa_utils.AveragedModel,
    "wrapped twice": lambda model: Wrapped(torch.compile(model)),
}


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_a_wrapped_model_is_saved_as_the_model_inside(small, gpt2_tokenizer, tmp_path, wrap):
    want = small(TOKENS)
    save_pretrained(WRAPPERS[wrap](small), gpt2_tokenizer, tmp_path)
    assert largest(from_pretrained(tmp_path)[0](TOKENS) - want) < 1e-5


def with_weight(model, name, value):
    model.get_parameter(name).data.flatten()[3] = value
    return model


class Deeper(GPT2):
    """A model with a weight of its own."""

    def __init__(self, config):
        super().__init__(config)
        self.more = torch.nn.Linear(2, 2)


def test_a_place_may_be_below_the_home_directory(small, gpt2_tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    save_pretrained(small, gpt2_tokenizer, "~/a b/ü")
    assert from_pretrained("~/a b/ü")[0].config == small.config and not (tmp_path / "~").exists()


@pytest.mark.parametrize("device", ["gpu", "auto", "cuda:99", 99, ["cpu"], "privateuseone"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(saved, device):
    with pytest.raises(ValueError, match=r"device is .*can't use here.*'cpu', 'cuda'.*'mps'"):
        from_pretrained(saved, device=device)


def test_a_pointer_of_git_lfs_is_named(saved):
    (saved / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
    )
    with pytest.raises(ValueError, match="pointer of Git LFS.*git lfs pull"):
        from_pretrained(saved)


UNSAVABLE = {
    "fast": (lambda m: fast(m, "float32"), {}, TypeError, "FastGPT2.*save the model that it was made from"),
    "of transformers": (lambda m: their_model(**SIZES), {}, TypeError, "GPT2LMHeadModel"),
    "a tokenizer": (lambda m: Tokenizer.train("a b", 258), {}, TypeError, "Tokenizer"),
    "no model": (lambda m: "gpt2", {}, TypeError, "str"),
    "a part": (lambda m: m.h[0], {}, TypeError, "Block"),
    "more weights": (lambda m: Deeper(m.config), {}, TypeError, "Deeper.*more.bias"),
    "without values": (lambda m: empty_model(m.config), {}, ValueError, "no values"),
    "NaN": (lambda m: with_weight(m, "h.1.mlp.c_fc.weight", float("nan")), {}, ValueError, "h.1.mlp.c_fc.weight.*NaN"),
    "infinity": (lambda m: with_weight(m, "ln_f.bias", float("inf")), {}, ValueError, "ln_f.bias.*earlier"),
    "too large for float16": (
        lambda m: with_weight(m, "wte.weight", 1e6), {"dtype": torch.float16}, ValueError, "wte.weight.*float32"
    ),
    "a string as dtype": (lambda m: m, {"dtype": "float16"}, TypeError, "'float16'.*torch.float16"),
    "whole numbers as dtype": (lambda m: m, {"dtype": torch.int8}, ValueError, "int8.*torch.float16"),
    "another tokenizer": (lambda m: m, {"tokenizer": "gpt2"}, TypeError, "str.*Tokenizer"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNSAVABLE)
def test_what_cannot_be_read_back_is_refused_before_anything_is_replaced(
    small, saved, tmp_path, gpt2_tokenizer, case
):
    spoil, options, error, reason = UNSAVABLE[case]
    options = {"tokenizer": gpt2_tokenizer} | options
    bad, before = spoil(small), contents(saved)
    for directory in (saved, tmp_path / "new"):
        with pytest.raises(error, match=reason):
            save_pretrained(bad, directory=directory, **options)
    assert contents(saved) == before and not (tmp_path / "new").exists()


def another(small):
    """Return a model and a tokenizer of other sizes."""
    return GPT2(GPT2Config(**SIZES | {"n_layer": 2, "vocab_size": 300})), Tokenizer.train(
        "a b c d e " * 9, 300
    )


def readable(directory):
    """Return the number of layers, ids and weights that are read from a directory, or None if it is refused."""
    try:
        model, tokenizer = from_pretrained(directory)
    except FileNotFoundError as error:
        assert "config.json" in str(error)
        return None
    return model.config.n_layer, model.config.vocab_size, tokenizer.vocab_size, model.wte.weight.sum().item()


def input_output_error():
    raise OSError(5, "Input/output error")


def moves(monkeypatch, after, then=input_output_error):
    """Let something happen instead of the move of a file after this many; return the list of all moves."""
    seen, move = [], Path.replace

    def counted(self, target):
        seen.append((self, target))
        if len(seen) == after + 1:
            then()
        return move(self, target)

    monkeypatch.setattr(Path, "replace", counted)
    return seen


def test_a_save_that_fails_between_two_files_leaves_the_old_set(small, tmp_path, monkeypatch):
    theirs_at(tmp_path, max_shard_size="20KB")
    old_tokenizer(tmp_path)
    for name in ("added_tokens.json", "special_tokens_map.json"):
        (tmp_path / name).unlink()
    before, (other, tokenizer) = contents(tmp_path), another(small)
    for after in range(99):
        with monkeypatch.context() as patch:
            seen = moves(patch, after)
            try:
                save_pretrained(other, tokenizer, tmp_path)
            except OSError:
                assert contents(tmp_path) == before
            else:
                break
    assert len(seen) > 15 and readable(tmp_path)[:3] == (2, 300, 262)


def test_old_files_that_cannot_be_moved_back_are_not_thrown_away(small, saved, monkeypatch):
    (saved / "vocab.json").unlink()  # so that more than one file is new
    before, (other, tokenizer), move = contents(saved), another(small), Path.replace

    def once(self, target):
        if target == saved / "model.safetensors":
            raise OSError(5, "Input/output error")
        return move(self, target)

    monkeypatch.setattr(Path, "replace", once)
    with pytest.raises(OSError, match="Input/output"):
        save_pretrained(other, tokenizer, saved)
    assert next(saved.glob(".*.part/kept/model.safetensors")).read_bytes() == before["model.safetensors"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only a fork can be killed where it counts")
def test_a_save_that_is_killed_leaves_one_set_or_none_never_a_mixture(small, tmp_path, monkeypatch):
    other, tokenizer = another(small)
    mine = Tokenizer.train("the cat sat on the mat " * 5, 311)
    outcomes = []
    for after in range(99):
        directory = tmp_path / str(after)
        save_pretrained(small, mine, directory)
        old = readable(directory)
        if (child := os.fork()) == 0:
            moves(monkeypatch, after, lambda: os._exit(1))
            try:
                save_pretrained(other, tokenizer, directory)
            finally:
                os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = readable(directory)
        new = (2, 300, 262, other.wte.weight.sum().item())
        assert found is None or found == old or found == pytest.approx(new)
        outcomes.append(found)
        if code == 0:
            break
    assert outcomes[0] == old and outcomes[-1] == pytest.approx(new) and None in outcomes


def test_a_save_of_the_same_model_with_other_weights_is_one_step(small, saved, gpt2_tokenizer, monkeypatch):
    shake(small, seed=3)
    seen = moves(monkeypatch, after=99)
    save_pretrained(small, gpt2_tokenizer, saved)
    assert [target for _, target in seen if target.parent == saved] == [saved / "model.safetensors"]


def test_a_model_that_is_replaced_while_it_is_read_is_refused(small, saved, monkeypatch):
    other, tokenizer = another(small)
    read = Tokenizer.load

    def slow(directory):
        save_pretrained(other, tokenizer, saved)
        return read(directory)

    monkeypatch.setattr(Tokenizer, "load", slow)
    with pytest.raises(OSError, match="another model was saved"):
        from_pretrained(saved)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_all_files_get_the_mode_that_the_umask_says(small, gpt2_tokenizer, tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save_pretrained(small, gpt2_tokenizer, tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


@pytest.mark.parametrize("layout", ["merges", "tokenizer.json", "shards"])
def test_byte_order_marks_are_read(small, tmp_path, layout):
    tokenizer = Tokenizer.train("the cat sat on the mat " * 5, 311)
    save_pretrained(small, tokenizer, tmp_path)
    if layout == "tokenizer.json":
        GPT2TokenizerFast.from_pretrained(tmp_path).save_pretrained(tmp_path)
        (tmp_path / "merges.txt").unlink()
    if layout == "shards":
        (tmp_path / "model.safetensors").unlink()
        theirs_at(tmp_path, max_shard_size="20KB")
    for path in tmp_path.iterdir():
        if path.suffix in (".json", ".txt"):
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    model, its_tokenizer = from_pretrained(tmp_path)
    assert its_tokenizer.merges == tokenizer.merges
    assert model.config.n_layer == 3


def put(**files):
    """Return what writes these files, with _ for the dot before the ending."""
    return lambda d: [
        (d / ".".join(name.rsplit("_", 1))).write_text(text if isinstance(text, str) else json.dumps(text))
        for name, text in files.items()
    ]


def their_tokenizer(change=lambda tokenizer: None, edit=None):
    """Return what gives a directory a tokenizer.json of transformers, changed in some way."""

    def write(directory):
        theirs = GPT2TokenizerFast.from_pretrained(directory)
        change(theirs)
        theirs.save_pretrained(directory)
        for name in ("merges.txt", "vocab.json"):
            (directory / name).unlink()
        if edit:
            path = directory / "tokenizer.json"
            whole = json.loads(path.read_text())
            edit(whole)
            path.write_text(json.dumps(whole))

    return write


def only(write):
    """Return what removes GPT-2's tokenizer, and then writes another one."""

    def replace(directory):
        for name in ("merges.txt", "vocab.json"):
            (directory / name).unlink()
        write(directory)

    return replace


STRANGE_TOKENIZERS = {
    "BERT": (only(put(vocab_txt="[PAD]\n[UNK]\n")), "vocab.txt"),
    "BERT of transformers": (
        only(put(vocab_txt="[PAD]", tokenizer_config_json={"tokenizer_class": "BertTokenizer"})), "BertTokenizer"
    ),
    "SentencePiece": (only(put(spiece_model="x")), "spiece.model"),
    "Llama's": (only(put(tokenizer_model="x")), "tokenizer.model"),
    "a vocabulary without merges": (only(put(vocab_json={"a": 0})), "vocab.json"),
    "tiktoken's": (only(put(gpt2_tiktoken="IQ== 0")), "gpt2.tiktoken"),
    "OpenAI's names": (only(put(encoder_json={"a": 0}, vocab_bpe="#version")), "encoder.json"),
    "WordPiece": (only(put(tokenizer_json={"model": {"type": "WordPiece", "vocab": {"a": 0}}})), "WordPiece"),
    "Unigram": (only(put(tokenizer_json={"model": {"type": "Unigram", "vocab": [["a", 0.5]]}})), "Unigram"),
    "added tokens": (put(added_tokens_json={"<|user|>": 50257}), r"<\|user\|>"),
    "a padding token": (put(special_tokens_map_json={"pad_token": {"content": "[PAD]"}}), r"\[PAD\]"),
    "added tokens, decoded": (
        put(tokenizer_config_json={"added_tokens_decoder": {"50257": {"content": "<|bot|>"}}}), r"<\|bot\|>"
    ),
    "a chat model's": (
        their_tokenizer(lambda t: t.add_special_tokens({"additional_special_tokens": ["<|user|>"]})), r"<\|user\|>"
    ),
    "an added word": (their_tokenizer(lambda t: t.add_tokens(["zebra"])), "zebra"),
    "a space before each text": (put(tokenizer_config_json={"add_prefix_space": True}), "add_prefix_space"),
    "a beginning of each text": (put(tokenizer_config_json={"add_bos_token": True}), "add_bos_token"),
    "another tokenizer.json": (
        lambda d: (old_tokenizer(d / "x") if (d / "x").mkdir() else old_tokenizer(d / "x"),
                   shutil.copy(d / "x" / "tokenizer.json", d)), "two different"
    ),
    "a normalizer": (their_tokenizer(edit=lambda w: w.update(normalizer={"type": "Lowercase"})), "normalizer"),
    "another splitter": (their_tokenizer(edit=lambda w: w.update(pre_tokenizer={"type": "Whitespace"})), "Whitespace"),
    "a space by the splitter": (
        their_tokenizer(edit=lambda w: w["pre_tokenizer"].update(add_prefix_space=True)), "pre_tokenizer"
    ),
    "dropout": (their_tokenizer(edit=lambda w: w["model"].update(dropout=0.1)), "dropout"),
    "a list as vocabulary": (put(vocab_json=[1]), "cannot be read"),
    "a list as settings": (put(tokenizer_config_json=[1]), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE_TOKENIZERS)
def test_a_tokenizer_that_gives_other_ids_is_refused(saved, case):
    write, reason = STRANGE_TOKENIZERS[case]
    write(saved)
    with pytest.raises(ValueError, match=reason):
        from_pretrained(saved)
    with pytest.raises(ValueError, match=reason):
        Tokenizer.load(saved)


@pytest.mark.parametrize(
    "write", [their_tokenizer(), put(special_tokens_map_json={"pad_token": "<|endoftext|>"})]
)
def test_a_plain_tokenizer_of_transformers_is_read(saved, gpt2_tokenizer, write):
    write(saved)
    assert from_pretrained(saved)[1].merges == gpt2_tokenizer.merges


@pytest.mark.parametrize("rows, ids", [(300, 261), (50304, 50257), (311, 50257)])
def test_a_model_and_a_tokenizer_of_other_sizes_are_noticed(tmp_path, gpt2_tokenizer, rows, ids):
    tokenizer = gpt2_tokenizer if ids == 50257 else Tokenizer.train("a b c d " * 9, 300)
    assert tokenizer.vocab_size == ids
    model = GPT2(GPT2Config(rows, 16, 12, 1, 3))
    with pytest.warns(UserWarning, match=f"{rows}.*{ids}"):
        save_pretrained(model, tokenizer, tmp_path)
    with pytest.warns(UserWarning, match=f"{rows}.*{ids}"):
        from_pretrained(tmp_path)


def recording(sampler, drawn):
    """Return a sampler that keeps what it drew."""
    return lambda logits: drawn.append(sampler(logits)) or drawn[-1]


def test_complete_never_draws_an_id_that_the_tokenizer_lacks():
    tokenizer = Tokenizer.train("a b c d " * 9, 300)
    model = GPT2(GPT2Config(300, 16, 12, 1, 3))
    model.wte.weight.data[tokenizer.vocab_size :] *= 100  # rows that would be drawn nearly always
    for seed in range(20):
        sampler, drawn = Sampler(generator=torch.Generator().manual_seed(seed)), []
        complete(model, tokenizer, "a", 30, sampler=recording(sampler, drawn))  # past n_positions, too
        assert max(drawn) < tokenizer.vocab_size and (len(drawn) == 30 or drawn[-1] == tokenizer.end_of_text)
    assert complete(model, tokenizer, "a", 3).startswith("a")


def test_a_failed_save_leaves_the_last_one_whole(small, saved, gpt2_tokenizer, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gpt2lib.checkpoint.save_file", full_disk)
    shake(small, seed=1)
    with pytest.raises(OSError, match="No space"):
        save_pretrained(small, gpt2_tokenizer, saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_the_shipped_model_writes_text():
    model, tokenizer = from_pretrained("tales")
    text = complete(model, tokenizer, "Once upon a time", 30)
    assert text.startswith("Once upon a time") and len(text) > 60
    assert complete(model, tokenizer, "Once upon a time", 30) == text


def test_presets_have_the_published_sizes():
    with torch.device("meta"):
        counts = {
            name: sum(p.numel() for p in GPT2(GPT2Config.preset(name)).parameters())
            for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
        }
    assert counts == {
        "gpt2": 124_439_808,
        "gpt2-medium": 354_823_168,
        "gpt2-large": 774_030_080,
        "gpt2-xl": 1_557_611_200,
    }


def test_a_directory_may_be_named_by_a_string(saved, monkeypatch):
    monkeypatch.chdir(saved.parent)
    shutil.copytree("saved", "gpt2")
    assert from_pretrained("saved")[0].config.n_head == 3
    assert from_pretrained("./gpt2")[0].config.n_head == 3
