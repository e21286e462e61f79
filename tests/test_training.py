"""Training: the pieces one by one, then runs that are interrupted, resumed and shared out."""

import ctypes
import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from conftest import SIZES, largest, shake
from gpt2lib import GPT2, GPT2Config, from_pretrained
from gpt2lib.tokenizer import Tokenizer
from gpt2lib.train import main, parse, settings_of
from gpt2lib.training import (
    Trainer,
    TrainingConfig,
    bits_per_byte,
    decay_groups,
    keep_freed_memory,
    learning_rate,
    mean_loss,
    next_token_loss,
    sample_batch,
    train,
)

TOKENS = torch.randint(311, (500,), generator=torch.Generator().manual_seed(0))


def model():
    torch.manual_seed(0)
    return GPT2(GPT2Config(**SIZES))


def test_the_loss_is_the_mean_surprise():
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(7, (2, 5), generator=torch.Generator().manual_seed(1))
    chosen = logits.softmax(-1).gather(-1, targets[..., None])
    assert next_token_loss(logits, targets).item() == pytest.approx(-chosen.log().mean().item(), rel=1e-5)
    assert next_token_loss(torch.zeros(1, 3, 50257), torch.zeros(1, 3).long()).item() == pytest.approx(
        math.log(50257), rel=1e-5
    )


def test_memory_is_kept_only_where_somebody_asks_for_it(monkeypatch):
    def missing(name):
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    keep_freed_memory()  # a system without glibc
    calls = []
    monkeypatch.setattr("gpt2lib.training.keep_freed_memory", lambda: calls.append("asked"))
    progress = next(train(model(), TOKENS, TrainingConfig(1, batch_size=2, context=16)))
    assert math.isfinite(progress.loss) and not calls


def test_a_fresh_model_knows_nothing():
    inputs, targets = sample_batch(TOKENS, 8, 24, torch.Generator().manual_seed(0))
    assert next_token_loss(model()(inputs), targets).item() == pytest.approx(math.log(311), abs=0.1)


def test_targets_are_one_token_further_on():
    inputs, targets = sample_batch(torch.arange(100), 16, 10, torch.Generator().manual_seed(0))
    assert torch.equal(targets, inputs + 1)
    assert inputs.shape == targets.shape == (16, 10)
    starts = torch.cat([sample_batch(torch.arange(12), 50, 10)[0][:, 0] for _ in range(4)])
    assert set(starts.tolist()) == {0, 1}  # every stretch can come, and none runs over the end


def test_a_text_shorter_than_the_context_is_refused():
    with pytest.raises(ValueError, match="10 tokens.*11"):
        sample_batch(torch.arange(10), 1, 10)


def test_the_learning_rate_rises_falls_and_stays():
    def lr(step):
        return learning_rate(step, peak=1.0, total_steps=110, warmup_steps=10, floor=0.1)

    assert lr(0) == pytest.approx(0.1)
    assert lr(9) == lr(10) == 1.0
    assert lr(60) == pytest.approx(0.55)
    assert lr(110) == lr(111) == lr(10_000) == pytest.approx(0.1)
    assert all(lr(step) >= lr(step + 1) for step in range(10, 200))
    assert learning_rate(0, peak=1.0, total_steps=1) == 1.0


def test_only_matrices_decay_and_each_parameter_is_there_once():
    named = dict(model().named_parameters())
    decay, rest = decay_groups(model(), 0.1)
    assert (decay["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
    assert len(decay["params"]) + len(rest["params"]) == len(named)
    assert len(decay["params"]) == sum(n.endswith("weight") and "ln_" not in n for n in named)
    assert all(p.ndim == 1 for p in rest["params"])


@pytest.mark.parametrize("micro_batches", [2, 3, 6])
def test_micro_batches_make_the_same_update(micro_batches):
    settings = dict(steps=3, batch_size=6, context=9, peak_lr=1e-2, warmup_steps=0)
    whole, parts = model(), model()
    losses = [p.loss for p in train(whole, TOKENS, TrainingConfig(**settings))]
    again = [p.loss for p in train(parts, TOKENS, TrainingConfig(**settings, micro_batches=micro_batches))]
    assert losses == pytest.approx(again, abs=1e-4)
    for a, b in zip(whole.parameters(), parts.parameters()):
        assert largest(a - b) < 1e-4


def test_one_batch_can_be_learned_by_heart():
    pupil = model()
    settings = TrainingConfig(steps=150, batch_size=8, context=10, peak_lr=1e-2, warmup_steps=5)
    losses = [progress.loss for progress in train(pupil, TOKENS[:11], settings)]
    assert losses[0] > 5 and losses[-1] < 0.1


def test_a_run_goes_on_exactly_where_it_stopped():
    settings = TrainingConfig(steps=12, batch_size=4, context=9, warmup_steps=2)
    whole = model()
    losses = [p.loss for p in train(whole, TOKENS, settings)]
    first, second = model(), model()
    shake(second)
    trainer = Trainer(first, TOKENS, settings)
    before = [trainer.update().loss for _ in range(5)]
    state = trainer.state_dict()
    resumed = Trainer(second, TOKENS, settings)
    resumed.load_state_dict(state)
    # A run that loses a batch, the optimizer's averages or a step is off by 1e-3 and more.
    assert before + [p.loss for p in resumed] == pytest.approx(losses, abs=1e-4)
    assert all(largest(a - b) < 1e-4 for a, b in zip(whole.parameters(), second.parameters()))


def test_mean_loss_predicts_each_token_once():
    """Against a loop that asks the model for one token at a time."""
    pupil, tokens = model().eval(), TOKENS[:61]
    shake(pupil)
    total, scored = 0.0, 0
    with torch.no_grad():
        for end in range(1, 61):  # the target's place
            start = 0 if end <= 24 else 12 * math.ceil((end - 24) / 12)
            start = min(start, 60 - 24)
            logits = pupil(tokens[None, start:end])[0, -1]
            total += F.cross_entropy(logits, tokens[end]).item()
            scored += 1
    assert mean_loss(pupil, tokens, 24, batch_size=2) == pytest.approx(total / scored, rel=1e-4)
    assert mean_loss(pupil, tokens[:5], 24) == pytest.approx(
        F.cross_entropy(pupil(tokens[None, :4])[0], tokens[1:5]).item(), rel=1e-4
    )


def test_bits_per_byte_of_a_model_that_knows_nothing():
    tokenizer = Tokenizer.train("a b", 258)  # one merge, so 258 ids
    pupil = GPT2(GPT2Config(258, 16, 8, 1, 2))
    for parameter in pupil.parameters():
        parameter.data.zero_()
    text = "xyz" * 20
    want = math.log2(258) * (60 - 1) / 60  # nothing predicts the first byte
    assert bits_per_byte(pupil, tokenizer, text) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize(
    "settings, reason",
    [({"steps": 0}, "steps is 0"), ({"context": 0}, "context is 0"), ({"dtype": "int8"}, "int8.*bfloat16")],
)
def test_settings_that_no_run_can_have_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        TrainingConfig(**{"steps": 1} | settings)


def test_a_batch_that_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="batch of 5.*2 micro-batches.*multiple of 2"):
        Trainer(model(), TOKENS, TrainingConfig(steps=1, batch_size=5, context=9, micro_batches=2))


# --- the command ----------------------------------------------------------------------------------

SMALL = "--layers 2 --heads 2 --width 16 --context 12 --batch-size 4 --vocab-size 300 --lr 0.01 --save-every 5".split()


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat and the dog sat on the log. " * 40)
    return path


def arguments(text, out, *more, steps=30):
    return ["--text", str(text), "--out", str(out), *SMALL, "--tokens", str(steps * 48), *more]


def command(*args, torchrun=0):
    start = [sys.executable, "-m", "gpt2lib.train"]
    if torchrun:
        start = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            f"--nproc-per-node={torchrun}",
            "--standalone",
        ]
        start += ["-m", "gpt2lib.train"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        start + list(args), env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def weights(directory):
    return load_file(directory / "model.safetensors")


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def test_killed_again_and_again_it_ends_with_the_same_weights(text, tmp_path):
    steps = 400
    finish(command(*arguments(text, tmp_path / "whole", steps=steps)))
    kills = 0
    while kills < 3:
        process = command(*arguments(text, tmp_path / "killed", "--resume", steps=steps))
        saved = tmp_path / "killed" / "training.pt"
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        while process.poll() is None and not (saved.exists() and saved.stat().st_mtime_ns > before):
            time.sleep(0.005)
        time.sleep(0.02 * kills)  # at another moment each time, perhaps in the middle of a save
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        from_pretrained(tmp_path / "killed")  # whole at any moment
    finish(command(*arguments(text, tmp_path / "killed", "--resume", steps=steps)))
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(largest(a[name] - b[name]) < 1e-4 for name in a)
    assert not list((tmp_path / "killed").glob(".*.part"))  # what a killed run left is gone


def test_two_processes_reach_the_weights_of_one(text, tmp_path):
    finish(command(*arguments(text, tmp_path / "one")))
    out = finish(command(*arguments(text, tmp_path / "two"), torchrun=2))
    assert out.count("30 updates") == 1  # one of them speaks
    a, b = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(largest(a[name] - b[name]) < 1e-4 for name in a)
    losses = [json.loads((tmp_path / run / "history.json").read_text()) for run in ("one", "two")]
    assert [row[1] for row in losses[0]] == pytest.approx([row[1] for row in losses[1]], abs=1e-4)


def test_a_trained_model_can_be_loaded_and_has_learned(text, tmp_path, capsys):
    main(arguments(text, tmp_path / "out", "--validation", str(text), steps=120))
    assert "120 updates" in capsys.readouterr().out
    history = json.loads((tmp_path / "out" / "history.json").read_text())
    assert [row[0] for row in history] == list(range(5, 121, 5))
    assert history[-1][2] < 0.5 * history[0][2]  # bits per byte
    pupil, tokenizer = from_pretrained(tmp_path / "out")
    assert bits_per_byte(pupil, tokenizer, text.read_text()) == pytest.approx(history[-1][2], rel=1e-4)


def test_a_folder_is_read_in_order_with_ends_between(tmp_path):
    from gpt2lib.train import read_text

    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.txt").write_text("two")
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "c.md").write_text("not this")
    assert read_text(tmp_path) == "one<|endoftext|>two"


def fails(capsys, *args):
    with pytest.raises(SystemExit) as stopped:
        main(list(args))
    message = str(stopped.value)
    assert message.startswith("gpt2lib.train: ") and "\n" not in message
    return message


def test_bad_input_ends_with_one_sentence(text, tmp_path, capsys):
    empty, binary = tmp_path / "empty.txt", tmp_path / "binary.txt"
    empty.write_text("  \n")
    binary.write_bytes(b"ok \xff\xfe")
    (tmp_path / "folder").mkdir()
    out = tmp_path / "out"
    assert "empty" in fails(capsys, *arguments(empty, out))
    assert "UTF-8" in fails(capsys, *arguments(binary, out))
    assert "no .txt" in fails(capsys, *arguments(tmp_path / "folder", out))
    assert "nowhere.txt" in fails(capsys, *arguments(tmp_path / "nowhere.txt", out))
    short = tmp_path / "short.txt"
    short.write_text("the cat")
    assert "context of 12" in fails(capsys, *arguments(short, out))
    assert "multiple of n_head" in fails(capsys, *arguments(text, out, "--heads", "3"))
    assert not (out / "training.pt").exists()


def test_a_run_is_not_overwritten_and_not_resumed_as_another(text, tmp_path, capsys):
    out = tmp_path / "out"
    main(arguments(text, out, steps=5))
    before = weights(out)
    assert "--resume" in fails(capsys, *arguments(text, out, steps=5))
    assert "--lr 0.01, not 0.5" in fails(capsys, *arguments(text, out, "--resume", "--lr", "0.5", steps=5))
    message = fails(
        capsys, "--out", str(out), "--resume", "--layers", "1", "--dropout", "0.1", "--tokens", "1M"
    )
    assert (
        "--layers 2, not 1" in message and "no --dropout, not 0.1" in message and f"--start {out}" in message
    )
    assert "--tokens 240, not 1000000" in message and "--lr" not in message
    text.write_text(text.read_text() + "more")
    assert "--text" in fails(capsys, *arguments(text, out, "--resume", steps=5))
    assert all(torch.equal(before[name], after) for name, after in weights(out).items())


def test_a_full_disk_leaves_the_last_checkpoint_whole(text, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    main(arguments(text, out, steps=5))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    real = torch.save

    def full(state, path):
        real(state, path)
        with open(path, "r+b") as file:
            file.truncate(100)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gpt2lib.train.torch.save", full)
    monkeypatch.setattr("gpt2lib.checkpoint.save_file", lambda *a, **k: full({}, a[1]))
    (tmp_path / "copy").mkdir()
    for name, data in before.items():
        (tmp_path / "copy" / name).write_bytes(data)
    state = torch.load(tmp_path / "copy" / "training.pt", weights_only=True)
    state["trainer"]["step"] = 4  # one update to go
    real(state, tmp_path / "copy" / "training.pt")
    kept = (tmp_path / "copy" / "training.pt").read_bytes()
    assert "No space" in fails(capsys, *arguments(text, tmp_path / "copy", "--resume", steps=5))
    assert (tmp_path / "copy" / "training.pt").read_bytes() == kept
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == before["model.safetensors"]


def test_a_run_can_start_from_a_model(text, tmp_path, capsys):
    saved = tmp_path / "saved"
    main(arguments(text, saved, steps=3))
    options = [
        "--start",
        str(saved),
        "--tokens",
        "48",
        "--batch-size",
        "2",
        "--context",
        "12",
        "--lr",
        "1e-9",
    ]
    main(["--text", str(text), "--out", str(tmp_path / "out"), *options])
    before, after = load_file(saved / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(largest(before[name] - after[name]) < 1e-6 for name in before)
    assert "leave out --preset" in fails(
        capsys, "--text", str(text), "--out", str(tmp_path / "other"), *options, "--preset", "gpt2"
    )


def test_options_become_settings():
    options = parse(
        "--text t --out o --tokens 1e6 --batch-size 10 --context 100 --lr 0.002 --warmup 0.1".split()
    )
    settings = settings_of(options)
    assert (settings.steps, settings.warmup_steps, settings.peak_lr) == (1000, 100, 0.002)
    assert settings.final_lr == pytest.approx(0.0002)


def test_bfloat16_trains(text, tmp_path):
    main(arguments(text, tmp_path / "out", "--dtype", "bfloat16", steps=40))
    history = json.loads((tmp_path / "out" / "history.json").read_text())
    assert history[-1][1] < history[0][1] - 0.5
