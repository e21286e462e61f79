"""Checkpoints: what transformers writes is read, what we write transformers reads, and nothing is lost."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, GPT2LMHeadModel

from conftest import SIZES, largest, shake, their_model
from gpt2lib import GPT2, GPT2Config, complete, from_pretrained, save_pretrained
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


@torch.no_grad()
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


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read(theirs, dtype):
    model, directory = theirs
    model.to(dtype).save_pretrained(directory)
    got, _ = from_pretrained(directory)
    assert {p.dtype for p in got.parameters()} == {torch.float32}
    assert largest(got(TOKENS) - model.float()(TOKENS).logits) < 1e-5
    kept, _ = from_pretrained(directory, dtype=dtype)
    assert {p.dtype for p in kept.parameters()} == {dtype}


@torch.no_grad()
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


def test_without_a_network_the_hub_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="gpt2-large could not be fetched.*tales"):
        from_pretrained("gpt2-large")


@torch.no_grad()
def test_a_download_is_read_from_the_hubs_cache(theirs, monkeypatch):
    model, directory = theirs
    asked = {}

    def fetched(repository, **options):
        asked.update(options, repository=repository)
        return str(directory)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    got, _ = from_pretrained("gpt2")
    assert asked["repository"] == "openai-community/gpt2"
    assert all(
        pattern.endswith((".json", ".safetensors")) for pattern in asked["allow_patterns"]
    )  # no pickle
    assert largest(got(TOKENS) - model(TOKENS).logits) < 1e-5


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
