"""benchmarks/run.py: a program that dies, a machine that isn't quiet, one section per machine."""

import os
import signal
import time
from multiprocessing import get_context

import pytest
import run
import torch


def answers(line):
    while work := line.recv():
        line.send((work, 1.0))


def dies(line):
    line.send(0.5)
    line.recv()
    os.kill(os.getpid(), signal.SIGKILL)


def exits(line):
    os._exit(3)


def sleeps(line):
    time.sleep(60)


def raises(line):
    run.serve("CTranslate2 no-such-type", "no such directory", "no such folder", 1, line)


@pytest.fixture(scope="module")
def processes():
    return get_context("fork" if hasattr(os, "fork") else "spawn")


def test_a_worker_answers(processes):
    worker = run.Worker(processes, answers)
    assert worker.ask("one") == ("one", 1.0) and worker.ask("two") == ("two", 1.0) and not worker.failure
    worker.process.kill()


def test_a_worker_that_dies_says_how_and_is_not_asked_again(processes):
    worker = run.Worker(processes, dies)
    assert worker.answer() == 0.5
    assert worker.ask("work") is None and worker.failure == "its process ended (SIGKILL)"
    assert worker.ask("work") is None


@pytest.mark.parametrize(
    "server, says",
    [(exits, "exit code 3"), (raises, "Error: "), (sleeps, "no answer in 0 seconds")],
)
def test_a_worker_that_fails_says_why(processes, server, says):
    worker = run.Worker(processes, server)
    assert worker.answer(0.2 if server is sleeps else 60) is None and says in worker.failure


MEASURES = ("decode at 128", "decode at 1000", "prefill 128", "prefill 512", "8 texts")


@pytest.fixture
def limits():
    limits = run.Limits()
    limits.best = {"bytes": 5e10, "float32": 2e11, "bfloat16": 1e11}
    return limits


def test_others_go_on_when_a_program_dies_and_its_row_says_so(processes, limits, monkeypatch):
    monkeypatch.setattr(run, "settle", lambda: None)
    monkeypatch.setattr(run.Limits, "measure", lambda limits: None)
    names = (run.BASE, "gpt2lib plain float32", "gpt2lib fast int8", "llama.cpp q8_0")
    workers = {name: run.Worker(processes, times) for name in names[:3]} | {
        names[3]: run.Worker(processes, dies_later)
    }
    table = run.Table()
    run.inference(table, workers, rounds=2, new=4)
    peak = dict.fromkeys(("transformers", "gpt2lib", "torch alone"), 1.0)
    for name in ("transformers", "gpt2lib"):
        table.add("cold start", name, 1.0)
    table.add("tokenizer", "tiktoken", 1.0)
    text = run.report(table, peak, limits, workers, {"gpt2lib fast int8": 2.5}, 10, 10)
    rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if line.startswith("| ")}
    assert "did not finish: its process ended (SIGKILL)" in rows["llama.cpp q8_0"]
    assert rows["gpt2lib plain float32"].count("1.00; 1.00–1.00") == 5
    assert "| gpt2lib fast int8 | 1.00 (1.00–1.00) |" in text and "2.5 s |" in text  # beside the plain model
    assert run.machine() in text and torch.__version__ in text and "threads" in text
    for worker in workers.values():
        worker.process.kill()


def times(line):
    while line.recv():
        line.send((0.5, 0.25))


def dies_later(line):
    for _ in range(5):
        line.recv()
        line.send((0.5, 0.25))
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_machine_that_is_not_quiet_is_told_from_one_that_is(limits, monkeypatch):
    monkeypatch.setattr(run, "others", [0.01, 0.0, 0.05])
    assert limits.unrest() == ""
    limits.spread = 6.0
    assert "not quiet" in limits.unrest() and "6.0 times" in limits.unrest()
    limits.spread = 1.1
    monkeypatch.setattr(run, "others", [0.9, 1.0, 1.1])
    assert "1.0 of its" in limits.unrest()


def test_results_keep_a_section_for_each_machine():
    first = run.with_section("", "## A, 2 threads\n\n| a | 1 |\n")
    both = run.with_section(first, "## B, 8 threads\n\n| b | 2 |\n")
    again = run.with_section(both, "## A, 2 threads\n\n| a | 3 |\n")
    assert first.startswith(run.HEAD) and again.startswith(run.HEAD)
    assert "| a | 1 |" in both and "| b | 2 |" in both
    assert again.count("## A, 2 threads") == 1 and "| a | 3 |" in again and "| a | 1 |" not in again
    assert "| b | 2 |" in again and again.endswith("|\n")


def test_the_limits_are_the_best_of_all_rounds(monkeypatch):
    seconds = iter([2.0] * 1000)
    monkeypatch.setattr(run, "clock", lambda call: next(seconds))
    limits = run.Limits()
    limits.measure()
    slow = dict(limits.best)
    seconds = iter([1.0] * 1000)
    limits.measure()
    assert all(limits.best[what] == pytest.approx(2 * slow[what]) for what in slow)
    best = dict(limits.best)
    seconds = iter([3.0] * 1000)
    limits.measure()
    assert limits.best == pytest.approx(best) and limits.spread == pytest.approx(3.0)
    assert "GFLOP/s" in str(limits)
