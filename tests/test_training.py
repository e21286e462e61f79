"""Training: the pieces one by one, then runs that are interrupted, resumed and shared out."""

import ctypes
import errno
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from conftest import SIZES, largest, shake
from gpt2lib import GPT2, GPT2Config, fast, from_pretrained
from gpt2lib.memory import keep_freed_memory
from gpt2lib.tokenizer import Tokenizer
from gpt2lib.train import Run, device_of_this_process, main, parse, settings_of
from gpt2lib.training import (
    Trainer,
    TrainingConfig,
    bits_per_byte,
    decay_groups,
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
    asked = []

    def missing(name):
        asked.append(name)
        raise OSError("no such library")  # a system without glibc

    monkeypatch.setattr(ctypes, "CDLL", missing)
    progress = next(train(model(), TOKENS, TrainingConfig(1, batch_size=2, context=16)))
    assert math.isfinite(progress.loss) and not asked
    keep_freed_memory()
    assert asked == [None]


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
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 1.5}, "steps is 1.5.*whole number"),
        ({"context": 0}, "context is 0"),
        ({"batch_size": "4"}, "batch_size is '4'"),
        ({"micro_batches": -1}, "micro_batches is -1.*from 1"),
        ({"warmup_steps": -1}, "warmup_steps is -1.*from 0"),
        ({"seed": 2**60}, "seed is .*2\\*\\*48"),
        ({"peak_lr": math.nan}, "peak_lr is nan"),
        ({"peak_lr": math.inf}, "peak_lr is inf"),
        ({"final_lr": -1e-4}, "final_lr is -0.0001.*at least 0"),
        ({"weight_decay": None}, "weight_decay is None"),
        ({"clip": math.nan}, "clip is nan"),
        ({"average": math.nan}, "average is nan"),
        ({"dtype": "int8"}, "int8.*bfloat16"),
    ],
)
def test_settings_that_no_run_can_have_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        TrainingConfig(**{"steps": 1} | settings)


def test_a_batch_that_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="batch of 5.*2 micro-batches.*multiple of 2"):
        Trainer(model(), TOKENS, TrainingConfig(steps=1, batch_size=5, context=9, micro_batches=2))


KINDS = {
    "int32": lambda folder: TOKENS.int(),
    "uint16": lambda folder: TOKENS.to(torch.uint16),
    "a list": lambda folder: TOKENS.tolist(),
    "an array": lambda folder: TOKENS.numpy().astype(np.int16),
    "a memory map": lambda folder: mapped(folder / "tokens.bin"),
}


def mapped(path):
    TOKENS.numpy().astype(np.uint16).tofile(path)
    return np.memmap(path, np.uint16, mode="r")


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_any_kind_train_and_are_measured_alike(kind, tmp_path, recwarn):
    tokens, settings = KINDS[kind](tmp_path), TrainingConfig(steps=3, batch_size=4, context=9)
    want = [progress.loss for progress in train(model(), TOKENS, settings)]
    assert [progress.loss for progress in train(model(), tokens, settings)] == pytest.approx(want, abs=1e-4)
    assert mean_loss(model(), tokens, 24) == pytest.approx(mean_loss(model(), TOKENS, 24), abs=1e-4)
    assert not recwarn


@pytest.mark.parametrize(
    "tokens, reason",
    [
        (TOKENS[None], r"shape \(1, 500\).*flatten"),
        (TOKENS.numpy()[None], r"shape \(1, 500\)"),
        (TOKENS.float(), "float32"),
        (TOKENS > 3, "bool"),
        ([0.5, 1.5] * 20, "whole numbers"),
        ("the cat sat", "a str.*Tokenizer.encode"),
        ([[1, 2], [3]], "a list.*tensor, an array or a list"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_row_of_ids_is_refused(tokens, reason):
    with pytest.raises(ValueError, match=reason):
        Trainer(model(), tokens, TrainingConfig(steps=1, context=9))
    with pytest.raises(ValueError, match=reason):
        mean_loss(model(), tokens, 9)


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda m: m.requires_grad_(False), "requires_grad"),
        (fast, "FastGPT2.*the GPT2 that a fast model was made from"),
        (lambda m: m.half(), "torch.float16, too coarse.*dtype='bfloat16'"),
        (lambda m: m.bfloat16(), "torch.bfloat16, too coarse"),
    ],
)
def test_a_model_that_cannot_learn_is_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        train(change(model()), TOKENS, TrainingConfig(1, context=9))


@pytest.mark.parametrize("config", [{"steps": 3}, 3, None, GPT2Config()])
def test_a_run_takes_a_training_config(config):
    with pytest.raises(TypeError, match=f"{type(config).__name__}.*TrainingConfig"):
        train(model(), TOKENS, config)


@pytest.mark.parametrize("context, batch_size", [(0, 1), (-1, 1), (8.0, 1), (25, 1), (9, 0), (9, -1)])
def test_a_loss_that_cannot_be_measured_is_refused(context, batch_size):
    with pytest.raises(
        ValueError, match="batch_size is" if batch_size < 1 else f"context is {context}.*up to 24"
    ):
        mean_loss(model(), TOKENS, context, batch_size)


@pytest.mark.parametrize("empty", [[], np.array([]), torch.tensor([]), TOKENS[:0]])
def test_an_empty_text_is_said_to_be_one(empty):
    for use in (
        lambda: mean_loss(model(), empty, 9),
        lambda: train(model(), empty, TrainingConfig(1, context=9)),
    ):
        with pytest.raises(ValueError, match="0 tokens"):
            use()


def test_halves_of_surrogate_pairs_count_as_the_bytes_that_stand_for_them():
    tokenizer, pupil = Tokenizer.train("the cat ", 262), GPT2(GPT2Config(262, 24, 24, 1, 3))
    want = bits_per_byte(pupil, tokenizer, "the \ufffd cat")
    assert bits_per_byte(pupil, tokenizer, "the \ud800 cat") == pytest.approx(want, rel=1e-3)


def test_a_context_that_the_model_cannot_read_is_refused():
    with pytest.raises(ValueError, match="context is 25.*at most 24.*up to 24"):
        Trainer(model(), TOKENS, TrainingConfig(steps=1, context=25))


def test_a_loop_can_be_stopped_from_inside():
    trainer = Trainer(model(), TOKENS, TrainingConfig(steps=9, batch_size=2, context=9))
    for progress in trainer:
        if progress.step == 4:
            trainer.stop()
    assert progress.step == trainer.step == 4


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_not_made(bad, monkeypatch):
    pupil = model()
    trainer = Trainer(pupil, TOKENS, TrainingConfig(steps=9, batch_size=2, context=9))
    trainer.update()
    before = [parameter.detach().clone() for parameter in pupil.parameters()]
    monkeypatch.setattr("gpt2lib.training.next_token_loss", lambda logits, y: logits.sum() * bad)
    with pytest.raises(FloatingPointError, match="update 2.*lower learning rate.*0.001"):
        trainer.update()
    assert trainer.step == 1
    assert all(largest(a - b) < 1e-9 for a, b in zip(before, pupil.parameters()))


# --- the command ----------------------------------------------------------------------------------

SMALL = "--layers 2 --heads 2 --width 16 --context 12 --batch-size 4 --vocab-size 300 --lr 0.01 --save-every 5".split()


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat and the dog sat on the log. " * 40)
    return path


def arguments(text, out, *more, steps=30):
    return ["--text", str(text), "--out", str(out), *SMALL, "--tokens", str(steps * 48), *more]


def command(*args, torchrun=0, **how):
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
        start + list(args),
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **how,
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


# --- at once or not at all ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more, reason",
    [
        ("--batch-size 0", "--batch-size is 0"),
        ("--micro-batches 0", "--micro-batches is 0"),
        ("--micro-batches 3", "multiple of 3"),
        ("--save-every 0", "--save-every is 0"),
        ("--save-every -5", "--save-every is -5"),
        ("--context 0", "--context is 0"),
        ("--lr nan", "--lr is nan"),
        ("--lr -1", "--lr is -1"),
        ("--lr inf", "--lr is inf"),
        ("--warmup 1.5", "--warmup is 1.5"),
        ("--warmup nan", "--warmup is nan"),
        ("--weight-decay -1", "--weight-decay is -1"),
        ("--clip nan", "--clip is nan"),
        ("--clip 0", "--clip is 0.0, but it must be a number above 0; inf"),
        ("--lr 0", "--lr is 0.0, but it must be a number above 0"),
        ("--average 2", "--average is 2"),
        ("--dropout 1", "--dropout is 1"),
        ("--seed -1", "--seed is -1"),
        ("--dtype float16", "--dtype is 'float16'"),
        ("--vocab-size 256", "--vocab-size is 256"),
        ("--layers 0", "n_layer is 0"),
        ("--validation nowhere.txt", "nowhere.txt"),
        ("--preset gpt2", "leave out --layers, --heads, --width"),
        ("--start tales", "leave out --vocab-size, --layers, --heads, --width"),
    ],
)
def test_numbers_and_contradictions_are_found_before_anything_is_made(text, tmp_path, capsys, more, reason):
    message = fails(capsys, *arguments(text, tmp_path / "out", *more.split()))
    assert reason in message
    assert not (tmp_path / "out" / "training.pt").exists()
    assert not (tmp_path / "out").exists() or "multiple of 3" in message  # known with the processes only


@pytest.mark.parametrize(
    "given, tokens",
    [("1000", 1000), ("1e6", 10**6), ("10M", 10**7), ("1.5k", 1500), ("2B", 2 * 10**9), ("10_000", 10_000)],
)
def test_a_number_of_tokens_is_written_as_people_write_it(given, tokens):
    assert parse(["--text", "t", "--out", "o", "--tokens", given]).tokens == tokens


@pytest.mark.parametrize("given", ["inf", "nan", "0", "-5", "M", "10X", "1e99", ""])
def test_no_number_of_tokens_is_refused(given, capsys):
    with pytest.raises(SystemExit):
        parse(["--text", "t", "--out", "o", f"--tokens={given}"])
    assert "10000000, 1e7 or 10M" in capsys.readouterr().err


def test_the_options_are_the_fields_of_the_settings():
    options = parse("--text t --out o --lr 0.5 --micro-batches 2 --average 0.25".split())
    settings = settings_of(options)
    assert (settings.peak_lr, settings.micro_batches, settings.average) == (0.5, 2, 0.25)
    assert settings.batch_size == TrainingConfig(1).batch_size and settings.clip == TrainingConfig(1).clip


@pytest.mark.parametrize("place", ["file", "file/below", "read-only", "read-only/below"])
def test_a_place_that_cannot_be_written_is_found_at_once(text, tmp_path, capsys, place, small_disk):
    (tmp_path / "file").write_text("a file")
    out = small_disk / place if place.startswith("read") else tmp_path / place
    if place.startswith("read"):
        (small_disk / "read-only").mkdir()
        mount("-o", "remount,ro", str(small_disk))
    message = fails(capsys, *arguments(text, out))
    assert f"--out {out} is no directory that can be written to" in message
    assert (tmp_path / "file").read_text() == "a file"


def test_a_place_may_be_below_the_home_directory(text, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    main(["--text=~/text.txt", "--out=~/o ü", *arguments(text, "o", steps=1)[4:]])  # as a shell leaves it
    assert from_pretrained("~/o ü")[0].config.n_embd == 16 and not (tmp_path / "~").exists()


@pytest.mark.parametrize("number", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_a_drive_without_locks_and_modes_is_no_obstacle(text, tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(getattr(errno, number), "not here")

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr("os.chmod", refuse)
    main(arguments(text, tmp_path / "out", steps=1))
    assert from_pretrained(tmp_path / "out")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB). Tried to allocate"),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_one_sentence(text, tmp_path, capsys, monkeypatch, error):
    monkeypatch.setattr(Trainer, "update", lambda self: (_ for _ in ()).throw(error))
    assert re.search("memory.*--micro-batches", fails(capsys, *arguments(text, tmp_path / "out")))


def test_a_validation_text_of_one_token_is_found_at_once(text, tmp_path, capsys):
    (tmp_path / "one.txt").write_text("a")
    message = fails(capsys, *arguments(text, tmp_path / "out", "--validation", str(tmp_path / "one.txt")))
    assert "one.txt is one token" in message and not (tmp_path / "out" / "training.pt").exists()


def test_a_run_without_a_text_is_refused(tmp_path, capsys):
    assert "--text is missing" in fails(capsys, "--out", str(tmp_path / "out"))
    assert "no run in" in fails(capsys, "--out", str(tmp_path / "out"), "--resume")
    assert not (tmp_path / "out").exists()


def test_the_context_of_a_model_to_start_from_bounds_that_of_the_run(text, tmp_path, capsys):
    saved = tmp_path / "saved"
    main(arguments(text, saved, steps=3))
    options = ["--text", str(text), "--start", str(saved), "--tokens", "200", "--batch-size", "2"]
    message = fails(capsys, *options, "--out", str(tmp_path / "out"), "--context", "13")
    assert "--context is 13" in message and "choose --context up to 12" in message
    main([*options, "--out", str(tmp_path / "out")])  # 12, not the 256 of the option's default
    assert from_pretrained(tmp_path / "out")[0].config.n_positions == 12


def test_ids_that_a_model_to_start_from_has_not_are_found_at_once(text, tmp_path, capsys):
    saved, out = tmp_path / "saved", tmp_path / "out"
    main(arguments(text, saved, "--vocab-size", "258", steps=3))
    Tokenizer.train(text.read_text(), 270).save(saved)  # of another model
    fails(capsys, "--text", str(text), "--start", str(saved), "--out", str(out), "--tokens", "500")
    assert not (out / "training.pt").exists()


# --- stopped, resumed, damaged --------------------------------------------------------------------


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


ALL_OF_IT = ["--average", "0.9", "--dropout", "0.1", "--save-every", "7"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A text and the weights of a run on it that nobody interrupted."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "text.txt").write_text("the cat sat on the mat and the dog sat on the log. " * 40)
    finish(command(*arguments(folder / "text.txt", folder / "out", *ALL_OF_IT, steps=300)))
    return folder / "text.txt", weights(folder / "out")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_saves_and_says_how_to_go_on(undisturbed, tmp_path, number):
    text, want = undisturbed
    out = tmp_path / "out"
    process = command(*arguments(text, out, *ALL_OF_IT, steps=300))
    wait_for(out / "training.pt", process)
    process.send_signal(number)
    said, err = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in err, err
    done = int(said.split(" updates")[0])
    assert f"300 were planned, go on with: python -m gpt2lib.train --resume --out {out}" in said
    assert json.loads((out / "history.json").read_text())[-1][0] == done < 300
    finish(command("--out", str(out), "--resume"))
    assert all(largest(want[name] - weight) < 1e-4 for name, weight in weights(out).items())


def test_interrupted_before_the_first_update_it_says_so(text, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Trainer, "__iter__", lambda self: (self.stop(), iter(()))[1])
    with pytest.raises(SystemExit) as stopped:
        main(arguments(text, tmp_path / "out"))
    assert (
        stopped.value.code == 130 and "before the first update; nothing is saved" in capsys.readouterr().out
    )


def test_interrupted_two_processes_stop_after_the_same_update(undisturbed, tmp_path):
    text, _ = undisturbed
    out = tmp_path / "out"
    options = [option for option in ALL_OF_IT if option not in ("--dropout", "0.1")]
    process = command(*arguments(text, out, *options, steps=300), torchrun=2, start_new_session=True)
    wait_for(out / "training.pt", process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said, err = process.communicate(timeout=300)
    assert said.count("300 were planned, go on with") == 1, err
    done = json.loads((out / "history.json").read_text())[-1][0]
    assert f"{done} updates" in said and done < 300
    finish(command("--out", str(out), "--resume"))
    assert json.loads((out / "history.json").read_text())[-1][0] == 300


def test_resumed_a_run_needs_no_options_and_may_change_some(text, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    main(arguments(text, out, steps=10))
    moved = text.rename(tmp_path / "moved.txt")
    assert "text.txt" in fails(capsys, "--out", str(out), "--resume")
    capsys.readouterr()
    main(
        ["--out", str(out), "--resume", "--text", str(moved), "--save-every", "3", "--validation", str(moved)]
    )
    assert capsys.readouterr().out.startswith("10 updates")


@pytest.mark.parametrize(
    "cuda, mps, several, device",
    [
        (False, False, False, "cpu"),
        (False, True, False, "mps"),
        (False, True, True, "cpu"),  # mps can't exchange gradients
        (True, False, True, "cuda:3"),
    ],
)
def test_a_run_uses_the_gpu_that_is_there(monkeypatch, cuda, mps, several, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: several)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device_of_this_process() == torch.device(device)


@pytest.mark.parametrize("damage", ["cut short", "empty", "text", "other tensors"])
def test_a_damaged_state_is_said_to_be_one(text, tmp_path, capsys, damage):
    out = tmp_path / "out"
    main(arguments(text, out, steps=3))
    state = out / "training.pt"
    whole = state.read_bytes()
    if damage == "other tensors":
        torch.save({"step": 3}, state)
    else:
        state.write_bytes({"cut short": whole[: len(whole) // 2], "empty": b"", "text": b"state"}[damage])
    message = fails(capsys, "--out", str(out), "--resume")
    assert "training.pt is damaged" in message and f"--start {out} --out NEW" in message


def test_a_state_saved_on_a_gpu_is_resumed_without_one(text, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as forged:
        forged.setattr("torch.serialization.location_tag", lambda storage: "cuda:3")
        main(arguments(text, out, "--average", "1", steps=3))
    with pytest.raises(RuntimeError, match="(?i)cuda"):
        torch.load(out / "training.pt", weights_only=True)
    main(["--out", str(out), "--resume"])
    assert capsys.readouterr().out.count("3 updates") == 2


@pytest.mark.parametrize("step, kept", [(3, None), (9, 5), (12, 10)])
def test_a_run_that_diverges_keeps_its_last_finite_state(text, tmp_path, capsys, monkeypatch, step, kept):
    """At step 9 the weights are beyond all numbers when they are to be saved, at 12 the next loss is."""
    right = learning_rate
    monkeypatch.setattr(
        "gpt2lib.training.learning_rate", lambda s, **how: 1e38 if s >= step else right(s, **how)
    )
    out = tmp_path / "out"
    message = fails(capsys, *arguments(text, out))
    assert "diverged" in message and "its peak is 0.01" in message
    assert f"Saved in {out}: " + (f"the state after {kept} updates" if kept else "nothing yet") in message
    if kept:
        state = torch.load(out / "training.pt", weights_only=True)
        assert state["trainer"]["step"] == kept == json.loads((out / "history.json").read_text())[-1][0]
        for tensor in [*state["trainer"]["model"].values(), *weights(out).values()]:
            assert tensor.isfinite().all()
    else:
        assert not (out / "training.pt").exists() and not (out / "model.safetensors").exists()


# --- others beside it -----------------------------------------------------------------------------


def test_two_runs_into_one_place_are_one_too_many(text, tmp_path, capsys):
    out = tmp_path / "out"
    process = command(*arguments(text, out, steps=100_000))
    wait_for(out / "training.pt", process)
    for more in ([], ["--resume"], ["--seed", "1"]):
        assert f"another run is writing to {out}" in fails(capsys, *arguments(text, out, *more))
    process.kill()
    process.communicate()
    assert "holds a run already" in fails(capsys, *arguments(text, out))  # the lock ended with the process


TORCHRUN = {
    "--out ": lambda folder, text: arguments(text, text),
    "holds no .txt": lambda folder, text: arguments(folder / "empty", folder / "out"),
    "multiple of 4": lambda folder, text: arguments(
        text, folder / "out", "--micro-batches", "2", "--batch-size", "6"
    ),
    "error: argument --tokens": lambda folder, text: arguments(text, folder / "out", "--tokens", "many"),
}


@pytest.mark.parametrize("reason", TORCHRUN)
def test_of_several_processes_one_says_what_is_wrong(text, tmp_path, reason):
    (tmp_path / "empty").mkdir()
    process = command(*TORCHRUN[reason](tmp_path, text), torchrun=2)
    out, err = process.communicate(timeout=300)
    assert process.returncode and err.count(reason) == 1, err
    assert "gpt2lib/train.py" not in err  # no traceback of ours


# --- a full disk ----------------------------------------------------------------------------------


def mount(*options):
    done = subprocess.run(["mount", *options], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 kB."""
    if not shutil.which("mount"):
        pytest.skip("there is no mount")
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("left", [0, 16_000, 60_000, 100_000])  # bytes: it ends in one file or another
def test_a_disk_that_fills_up_leaves_what_was_saved(text, small_disk, tmp_path, capsys, monkeypatch, left):
    whole, out, filler = tmp_path / "whole", small_disk / "out", small_disk / "filler"
    main(arguments(text, whole, steps=10))
    write = Run._write

    def then_fill(run):
        write(run)
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - left))

    with monkeypatch.context() as filling:
        filling.setattr(Run, "_write", then_fill)
        message = fails(capsys, *arguments(text, out, steps=10))
    assert "could not be saved" in message and "make room and pass --resume" in message
    assert torch.load(out / "training.pt", weights_only=True)["trainer"]["step"] == 5
    from_pretrained(out)
    filler.unlink()
    main(["--out", str(out), "--resume"])
    want, got = (json.loads((run / "history.json").read_text()) for run in (whole, out))
    assert [row[:1] for row in got] == [[5], [10]] and got[1][1] == pytest.approx(want[1][1], abs=1e-3)


def test_a_disk_that_is_too_small_is_found_at_once(text, small_disk, capsys):
    (small_disk / "filler").write_bytes(bytes(500_000))
    message = fails(capsys, *arguments(text, small_disk / "out"))
    assert "a save takes" in message and "MB are free" in message
    assert not (small_disk / "out" / "model.safetensors").exists()
