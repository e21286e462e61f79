"""Time gpt2lib beside its peers, in one run: `make bench`, or `python benchmarks/run.py --help`.

Every program runs the same GPT-2 of the 124M shape with random weights, so nothing is downloaded. Each
has a process of its own, because threads that wait in one program would slow down the others; one that dies
gets a row that says so. The programs take turns, round after round; what is reported is the median and, as
the spread, the quartiles of the ratio to transformers in the same round. transformers always takes part,
CTranslate2 and llama-cpp-python where they are installed (`pip install -e ".[bench]"`). RESULTS.md keeps
one section per machine. Run it on a quiet machine: with two threads, and one core taken by something else,
some timings are ten times as long. The report says what it noticed.
"""

import argparse
import dataclasses
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np
import tiktoken
import torch
import transformers
from matplotlib import pyplot as plt

from gpt2lib.checkpoint import from_pretrained, save_pretrained
from gpt2lib.config import GPT2Config
from gpt2lib.fast import BFLOAT16, NotHere, fast, float32_in_parts, onednn, plain
from gpt2lib.files import replacing
from gpt2lib.memory import keep_freed_memory
from gpt2lib.model import GPT2
from gpt2lib.tokenizer import Tokenizer
from gpt2lib.training import (
    Progress,
    Trainer,
    TrainingConfig,
    decay_groups,
    next_token_loss,
    sample_batch,
)

warnings.simplefilter("ignore")
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

BASE = "transformers float32"  # what every ratio is to
PROGRAMS = (
    BASE,
    "transformers bfloat16",
    "gpt2lib plain float32",
    "gpt2lib fast float32",
    "gpt2lib fast float16",
    "gpt2lib fast bfloat16",
    "gpt2lib fast int8",
    "CTranslate2 float32",
    "CTranslate2 int8",
    "llama.cpp float32",
    "llama.cpp bfloat16",
    "llama.cpp q8_0",
)
Start = Callable[[list[int], int], Callable[[], None]]  # (prompt, texts) reads it -> reads one more token


# --- the programs


class Stepwise:
    """A program that reads a prompt and then one token at a time."""

    def __init__(self, start: Start):
        self.start = start

    def first_and_next(self, prompt: list[int], texts: int, new: int) -> tuple[float, float]:
        """Return the seconds to read a prompt and make one token, and the seconds for each token after it."""
        began = time.perf_counter()
        step = self.start(prompt, texts)
        first = time.perf_counter() - began
        return first, clock(lambda: [step() for _ in range(new)]) / new


class Whole:
    """A program that only does the whole: read a prompt and write a number of tokens."""

    def __init__(self, write: Callable[[list[int], int, int], None]):
        self.write = write

    def first_and_next(self, prompt: list[int], texts: int, new: int) -> tuple[float, float]:
        """Return the same as `Stepwise.first_and_next`; the tokens after the first are the difference."""
        first = clock(lambda: self.write(prompt, texts, 1))
        return first, (clock(lambda: self.write(prompt, texts, new + 1)) - first) / new


def ours(model: torch.nn.Module) -> Stepwise:
    """Run a model of this library."""

    def start(prompt: list[int], texts: int = 1):
        cache = model.new_cache(texts)
        new = torch.tensor([prompt] * texts)

        @torch.inference_mode()
        def step():
            nonlocal new
            new = model(new, cache, last_only=True)[:, -1].argmax(-1, keepdim=True)

        step()
        return step

    return Stepwise(start)


def theirs(directory: Path, dtype: torch.dtype) -> Stepwise:
    """Run transformers with its cache, the way its own `generate` does, without that one's overhead."""
    model = transformers.GPT2LMHeadModel.from_pretrained(directory, dtype=dtype).eval()

    def start(prompt: list[int], texts: int = 1):
        new, past = torch.tensor([prompt] * texts), transformers.DynamicCache()

        @torch.inference_mode()
        def step():
            nonlocal new
            logits = model(new, past_key_values=past, use_cache=True, logits_to_keep=1).logits
            new = logits[:, -1].argmax(-1, keepdim=True)

        step()
        return step

    return Stepwise(start)


def ctranslate2(directory: Path, folder: Path, weights: str) -> Whole:
    """Run CTranslate2."""
    import ctranslate2

    converted = folder / f"ct2-{weights}"
    ctranslate2.converters.TransformersConverter(str(directory)).convert(converted, quantization=weights)
    generator = ctranslate2.Generator(
        str(converted), compute_type=weights, intra_threads=torch.get_num_threads()
    )
    letters = json.loads((directory / "vocab.json").read_text("utf-8"))
    token_of = {i: token for token, i in letters.items()}

    def whole(prompt: list[int], texts: int, new: int):
        generator.generate_batch(
            [[token_of[i] for i in prompt]] * texts,
            max_length=new,
            min_length=new,
            sampling_topk=1,
            include_prompt_in_result=False,
        )

    return Whole(whole)


def gguf_file(model: GPT2, directory: Path, path: Path, weights: str) -> None:
    """Write a model, whose tokenizer is in directory, for llama.cpp."""
    import gguf

    kinds = gguf.GGMLQuantizationType
    kind = {"float32": kinds.F32, "bfloat16": kinds.BF16, "float16": kinds.F16, "q8_0": kinds.Q8_0}[weights]
    writer, config = gguf.GGUFWriter(path, "gpt2"), model.config
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(4 * config.n_embd)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    letters = json.loads((directory / "vocab.json").read_text("utf-8"))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(sorted(letters, key=letters.get))
    writer.add_token_types([1] * len(letters))
    writer.add_token_merges((directory / "merges.txt").read_text("utf-8").splitlines()[1:])
    names = {
        "wte": "token_embd",
        "wpe": "position_embd",
        "ln_f": "output_norm",
        "ln_1": "attn_norm",
        "attn.c_attn": "attn_qkv",
        "attn.c_proj": "attn_output",
        "ln_2": "ffn_norm",
        "mlp.c_fc": "ffn_up",
        "mlp.c_proj": "ffn_down",
    }
    for name, weight in model.named_parameters():
        module, _, leaf = name.rpartition(".")
        layer, inner = "", module
        if module.startswith("h."):
            _, number, inner = module.split(".", 2)
            layer = f"blk.{number}."
        array = weight.detach().contiguous().numpy()
        small = array.ndim == 1 or inner == "wpe"  # llama.cpp wants these as float32
        stored = array if small or kind == kinds.F32 else gguf.quants.quantize(array, kind)
        writer.add_tensor(f"{layer}{names[inner]}.{leaf}", stored, raw_dtype=None if small else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_cpp(path: Path) -> Stepwise:
    """Run llama.cpp by way of llama-cpp-python."""
    import llama_cpp

    threads = torch.get_num_threads()
    model = llama_cpp.Llama(str(path), n_ctx=1024, n_batch=512, n_ubatch=512, n_threads=threads,
                            n_threads_batch=threads, verbose=False)  # fmt: skip

    def start(prompt: list[int], texts: int = 1):
        if texts > 1:
            raise NotImplementedError
        model.reset()
        model.eval(prompt)
        return lambda: model.eval([prompt[0]])

    return Stepwise(start)


def program_of(name: str, directory: Path, folder: Path) -> Stepwise | Whole:
    """Return a program by its name; it may write files into folder. Raises ImportError if it is not there."""
    kind, _, weights = name.rpartition(" ")
    if kind == "transformers":
        return theirs(directory, getattr(torch, weights))
    if kind == "CTranslate2":
        return ctranslate2(directory, folder, weights)
    model, _ = from_pretrained(directory)
    if kind == "llama.cpp":
        path = folder / f"{weights}.gguf"
        gguf_file(model, directory, path, weights)
        return llama_cpp(path)
    return ours(fast(model, weights) if kind == "gpt2lib fast" else model)


def serve(name: str, directory: Path, folder: Path, threads: int, line: Connection) -> None:
    """Be the process of one program: answer (prompt, texts, new) with what `first_and_next` measures.

    The first answer is the seconds that it took to prepare; an answer that is a text says what went wrong.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()  # the same for every program
    try:
        began = time.perf_counter()
        program = program_of(name, directory, folder)
        line.send(time.perf_counter() - began)
        while work := line.recv():
            line.send(program.first_and_next(*work))
    except Exception as error:
        line.send(f"{type(error).__name__}: {error}")


class Worker:
    """A process of its own that answers what it is asked. It may die and take nobody along."""

    def __init__(self, processes: BaseContext, server: Callable, *arguments):
        """Start a process that runs server(*arguments, line)."""
        self.line, other = processes.Pipe()
        self.process = processes.Process(target=server, args=(*arguments, other), daemon=True)
        self.process.start()
        other.close()  # so that the line breaks if the process does
        self.failure = ""

    def answer(self, patience: float = 900):
        """Return the next answer, or None if there is none to come; then `failure` says why."""
        try:
            if not self.line.poll(patience):
                self.process.kill()
                self.failure = f"no answer in {patience:.0f} seconds"
                return None
            answer = self.line.recv()
        except (EOFError, OSError):
            self.process.join(10)
            code = self.process.exitcode
            how = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
            self.failure = f"its process ended ({how})"
            return None
        if isinstance(answer, str):
            self.failure = answer
            return None
        return answer

    def ask(self, work):
        """Return the answer to work, as `answer` does."""
        if self.failure:
            return None
        try:
            self.line.send(work)
        except OSError:
            pass  # it is dead; the answer will say how
        return self.answer()


# --- timing


def clock(run: Callable[[], None]) -> float:
    """Return the seconds that run() takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def core_seconds() -> float | None:
    """Return for how many seconds all cores together have worked since the start; None if nothing says so."""
    try:
        user, nice, system, _, _, *interrupts = map(
            int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
        )
    except (OSError, ValueError):
        return None
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


others: list[float] = []  # how many cores were at work each time that all of our programs were waiting


def settle() -> None:
    """Wait until the threads of the program that ran before sleep, and notice whether others don't."""
    time.sleep(0.2)
    before, began = core_seconds(), time.perf_counter()
    time.sleep(0.2)
    if before is not None:
        others.append((core_seconds() - before) / (time.perf_counter() - began))


class Table:
    """The times of all rounds: measure -> program -> seconds."""

    def __init__(self):
        self.times: dict[str, dict[str, list[float]]] = {}

    def add(self, measure: str, program: str, seconds: float) -> None:
        self.times.setdefault(measure, {}).setdefault(program, []).append(seconds)

    def drop(self, program: str) -> None:
        """Forget a program."""
        for rows in self.times.values():
            rows.pop(program, None)

    def median(self, measure: str, program: str) -> float:
        return statistics.median(self.times[measure][program])

    def ratio(self, measure: str, program: str, base: str = BASE) -> tuple[float, float, float]:
        """Return how many times as fast as base a program is: the median of the rounds, and the quartiles."""
        rows = self.times[measure]
        ratios = [b / p for b, p in zip(rows[base], rows[program])]
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        return middle, low, high


def inference(table: Table, programs: dict[str, Worker], rounds: int, new: int) -> "Limits":
    """Time prompts of 128 and 512 tokens, and tokens after 128, after 1000 - new, and for 8 texts.

    Returns the machine's limits, which are measured in every round: memory is not equally quick all day.
    """
    ids = torch.randint(50257, (1000,), generator=torch.Generator().manual_seed(0)).tolist()
    questions = {  # what is read, how many texts, how many new tokens -> what the two times are
        ("prefill 128", "decode at 128"): (ids[:128], 1, new),
        ("prefill 512", None): (ids[:512], 1, 1),
        (None, "decode at 1000"): (ids[: 1000 - new], 1, new),
        (None, "8 texts"): (ids[:128], 8, max(4, new // 4)),
    }
    machine = Limits()
    for number in range(rounds + 1):  # the first round warms up
        settle()
        machine.measure()
        for name, worker in programs.items():
            for measures, work in questions.items():
                if work[1] > 1 and "llama" in name:
                    continue
                settle()
                for measure, seconds in zip(measures, worker.ask(work) or ()):
                    if number and measure:
                        table.add(measure, name, seconds)
            if worker.failure and name in table.times.get("decode at 128", {}):
                table.drop(name)  # half a row would be compared with other rounds
    return machine


class CausalOnly(torch.nn.Module):
    """Attention by nanoGPT's recipe: torch's own causal mask, and no cache."""

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = torch.nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = torch.nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: torch.Tensor, cache: None = None) -> torch.Tensor:
        """(B, T, C) -> (B, T, C)."""
        heads = self.c_attn(x).unflatten(-1, (3, self.n_head, -1)).permute(2, 0, 3, 1, 4)
        y = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
        return self.c_proj(y.transpose(1, 2).flatten(2))


def by_the_recipe_of_nanogpt() -> GPT2:
    """Return a GPT2 with the parts that nanoGPT's training has: is_causal attention and the exact GELU."""
    config = GPT2Config()
    model = GPT2(config)
    for block in model.h:
        block.attn = CausalOnly(config)
        block.mlp = torch.nn.Sequential(
            torch.nn.Linear(config.n_embd, 4 * config.n_embd),
            torch.nn.GELU(),
            torch.nn.Linear(4 * config.n_embd, config.n_embd),
        )
    return model


TRAINERS = ("transformers", "nanoGPT's recipe", "gpt2lib")


def updater(kind: str, directory: Path) -> Callable[[str], object]:
    """Return what makes one update in a dtype: 4 texts of 256 tokens, forward, backward, clipping, AdamW."""
    tokens = torch.randint(50257, (100_000,), generator=torch.Generator().manual_seed(1))
    if kind == "gpt2lib":
        trainer = Trainer(GPT2(GPT2Config()), tokens, TrainingConfig(10_000, batch_size=4, context=256))

        def update(dtype: str) -> Progress:
            trainer.config = dataclasses.replace(trainer.config, dtype=dtype)
            return trainer.update()

        return update
    if kind == "transformers":
        without = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
        model = transformers.GPT2LMHeadModel.from_pretrained(directory, **without).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    else:
        model = by_the_recipe_of_nanogpt()
        optimizer = torch.optim.AdamW(decay_groups(model, 0.1), lr=1e-4)  # fused on GPUs only

    def update(dtype: str) -> None:
        x, y = sample_batch(tokens, 4, 256)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            out = model(x)
        next_token_loss(getattr(out, "logits", out), y).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return update


def serve_training(kind: str, directory: Path, threads: int, line: Connection) -> None:
    """Be the process of one trainer: answer a dtype with the seconds of an update in it."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    try:
        update = updater(kind, directory)
        while dtype := line.recv():
            line.send(clock(lambda: update(dtype)))
    except Exception as error:
        line.send(f"{type(error).__name__}: {error}")


def training(table: Table, processes: BaseContext, directory: Path, threads: int, rounds: int) -> None:
    """Time updates of every trainer, in turns."""
    workers = {kind: Worker(processes, serve_training, kind, directory, threads) for kind in TRAINERS}
    for number in range(rounds + 1):  # the first round warms up
        for dtype in ("float32", "bfloat16"):
            for kind, worker in workers.items():
                settle()
                seconds = worker.ask(dtype)
                if worker.failure:
                    print(f"training with {kind}: {worker.failure}")
                    table.drop(f"{kind} {dtype}")
                elif number:
                    table.add("training step", f"{kind} {dtype}", seconds)
    for worker in workers.values():
        worker.process.kill()


def tokenizers(table: Table, text: str, directory: Path, rounds: int) -> None:
    """Time the encoding of a text; ours starts cold each time, which is when its cache is empty."""
    merges = Tokenizer.gpt2()
    encoding = merges.to_tiktoken()
    again = tiktoken.Encoding(
        "again", pat_str=encoding._pat_str, mergeable_ranks=encoding._mergeable_ranks, special_tokens={}
    )
    fast_one = transformers.GPT2TokenizerFast.from_pretrained(directory)
    for number in range(rounds + 1):
        cold = Tokenizer.gpt2()
        programs = {
            "gpt2lib, cold": lambda: cold.encode(text),  # noqa: B023
            "gpt2lib, warm": lambda: cold.encode(text),  # noqa: B023
            "gpt2lib to_tiktoken": lambda: encoding.encode_ordinary(text),
            "tiktoken": lambda: again.encode_ordinary(text),
            "HF tokenizers": lambda: fast_one(text),
        }
        for name, run in programs.items():
            seconds = clock(run)
            if number:
                table.add("tokenizer", name, seconds)


COLD = {
    "transformers": """
import torch, transformers
model = transformers.GPT2LMHeadModel.from_pretrained(DIRECTORY).eval()
tokenizer = transformers.AutoTokenizer.from_pretrained(DIRECTORY)
with torch.inference_mode():
    model(torch.tensor([tokenizer("Once upon a time").input_ids])).logits[0, -1].argmax()
""",
    "gpt2lib": """
import torch
from gpt2lib.checkpoint import from_pretrained
model, tokenizer = from_pretrained(DIRECTORY)
with torch.inference_mode():
    model(torch.tensor([tokenizer.encode("Once upon a time")]), last_only=True)[0, -1].argmax()
""",
    "torch alone": "import torch",
}


PEAK = """
import pathlib, re, resource
status = pathlib.Path("/proc/self/status")  # getrusage also counts the process that started this one
held = re.search(r"VmHWM:\\s+(\\d+)", status.read_text()) if status.exists() else None
print(held[1] if held else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def cold_start(table: Table, directory: Path, rounds: int) -> dict[str, float]:
    """Time a fresh process up to its first token; return the peak memory of each in MB."""
    peak = {}
    for number in range(rounds + 1):
        for name, program in COLD.items():
            code = program.replace("DIRECTORY", repr(str(directory)))
            code += PEAK
            began = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            if number:
                table.add("cold start", name, time.perf_counter() - began)
                peak[name] = int(done.stdout.split()[-1]) / 1000
    return peak


class Limits:
    """The best that was seen of this machine: bytes per second, and operations per second in two dtypes."""

    def __init__(self):
        self.best: dict[str, float] = {}  # what is limited -> per second, the best of all rounds
        self.spread = 1.0  # how many times as long as the best a float32 product took, in the worst round

    def measure(self) -> None:
        """Measure once more: each way to read or to multiply in a few tries, of which the fastest counts."""
        long, columns = torch.ones(32, 1024, 1024), torch.ones(32, 1024, 1)
        square, zeros = torch.ones(1024, 1024), torch.zeros(1024)
        ways = {"bytes": [long.sum, lambda: long @ columns], "float32": [], "bfloat16": []}
        for dtype, makers in [("float32", (plain, float32_in_parts, onednn)), ("bfloat16", BFLOAT16)]:
            for make in makers:
                try:
                    product = make(square, zeros)
                    product(square)
                except NotHere:
                    continue
                ways[dtype].append(lambda product=product: product(square))
        work = {"bytes": long.nbytes, "float32": 2 * 1024**3, "bfloat16": 2 * 1024**3}
        for what, calls in ways.items():
            times = [[clock(call) for _ in range(10)] for call in calls]
            self.best[what] = max(self.best.get(what, 0.0), work[what] / min(map(min, times)))
            if what == "float32":
                self.spread = max(self.spread, statistics.median(times[0]) * self.best[what] / work[what])

    def __str__(self) -> str:
        gigas = {what: rate / 1e9 for what, rate in self.best.items()}
        return (
            f"Memory gives {gigas['bytes']:.0f} GB/s, a product {gigas['float32']:.0f} GFLOP/s in float32 "
            f"and {gigas['bfloat16']:.0f} in bfloat16 (the best of all rounds)."
        )

    def unrest(self) -> str:
        """Return a warning if something else was running, or an empty string."""
        taken = float(np.mean(others)) if others else 0.0
        if taken < 0.1 and self.spread < 2:
            return ""
        return (
            f"**The machine was not quiet**: other programs kept {taken:.1f} of its {os.cpu_count()} cores "
            f"busy, and the same product took up to {self.spread:.1f} times as long as at best. With a core "
            "taken, threads wait for each other, and some times are many times too long. Don't trust them."
        )


# --- the report

HEAD = "One section per machine, written there by `make bench`; a new run replaces the machine's own section."


def title() -> str:
    """Return the heading of this machine's section in RESULTS.md."""
    return f"## {machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def report(
    table: Table, peak: dict, limits: Limits, workers: dict[str, Worker], prepared: dict[str, float],
    text_bytes: int, weights_bytes: int,
) -> str:  # fmt: skip
    """Return all that was measured as Markdown."""
    lines = [
        title(),
        "",
        f"{limits} GPT-2 124M shape, random weights, transformers {transformers.__version__}; medians, and "
        f"in brackets how many times as fast as {BASE} in the same round (median; quartiles).",
        "",
        *([limits.unrest(), ""] if limits.unrest() else []),
    ]
    measures = ["decode at 128", "decode at 1000", "prefill 128", "prefill 512", "8 texts"]
    lines += ["| ms | " + " | ".join(measures) + " | of the roof |", "|---|" + "---|" * (len(measures) + 1)]
    for name, worker in workers.items():
        if worker.failure:
            lines.append(
                f"| {name} | did not finish: {' '.join(worker.failure.split())} |" + " |" * len(measures)
            )
            continue
        row = [name]
        for measure in measures:
            if name not in table.times[measure]:
                row.append("")
                continue
            middle, low, high = table.ratio(measure, name)
            row.append(f"{1000 * table.median(measure, name):.1f} ({middle:.2f}; {low:.2f}–{high:.2f})")
        floor = bytes_fetched(name) / limits.best["bytes"]
        row.append(f"{100 * floor / table.median('decode at 128', name):.0f}%")
        lines.append("| " + " | ".join(row) + " |")
    lines += [
        "",
        "| times as fast as gpt2lib plain float32 | " + " | ".join(measures) + " | prepared in |",
        "|---|" + "---|" * (len(measures) + 1),
    ]
    for name in table.times["decode at 128"]:
        if name.startswith("gpt2lib fast"):
            row = [name]
            for measure in measures:
                middle, low, high = table.ratio(measure, name, "gpt2lib plain float32")
                row.append(f"{middle:.2f} ({low:.2f}–{high:.2f})")
            lines.append("| " + " | ".join(row) + f" | {prepared[name]:.1f} s |")
    lines += ["", "| training step, 4 × 256 tokens | s | ratio |", "|---|---|---|"]
    for name in table.times.get("training step", ()):
        base = "transformers " + name.split()[-1]
        middle, low, high = table.ratio("training step", name, base)
        seconds = table.median("training step", name)
        lines.append(f"| {name} | {seconds:.2f} | {middle:.2f} ({low:.2f}–{high:.2f}) |")
    lines += ["", f"| tokenizer, {text_bytes / 1e6:.1f} MB | MB/s |", "|---|---|"]
    for name in table.times["tokenizer"]:
        lines.append(f"| {name} | {text_bytes / 1e6 / table.median('tokenizer', name):.1f} |")
    lines += [
        "",
        "| fresh process to its first token | s | peak memory above torch, of the weights |",
        "|---|---|---|",
    ]
    for name in ("transformers", "gpt2lib"):
        above = (peak[name] - peak["torch alone"]) * 1e6 / weights_bytes
        lines.append(f"| {name} | {table.median('cold start', name):.2f} | {above:.2f} × |")
    return "\n".join(lines) + "\n"


def with_section(text: str, section: str) -> str:
    """Return the text of a results file with a section that replaces the one of its heading, or is new."""
    head, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    heading = section.splitlines()[0]
    others = {each.splitlines()[0]: each.rstrip("\n") for each in sections}
    return "\n\n".join([head.strip() or HEAD, *(others | {heading: section.rstrip("\n")}).values()]) + "\n"


def bytes_fetched(name: str) -> float:
    """Return the bytes of weights that a program fetches for one token: all but those of positions."""
    size = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "q8_0": 34 / 32}
    kind = size[name.split()[-1]]
    head = 1 if name == "gpt2lib fast bfloat16" else kind  # it makes its logits in int8
    return 85_056_000 * kind + 50257 * 768 * head  # the blocks and ln_f, and wte


def machine() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    return names[0].split(":")[1].strip() if names else platform.processor() or platform.machine()


def picture(table: Table, path: Path) -> None:
    """Draw the tokens per second of every program."""
    names = sorted(table.times["decode at 128"], key=lambda name: -table.median("decode at 128", name))
    fig, ax = plt.subplots(figsize=(7.2, 0.32 * len(names) + 0.9), layout="constrained", dpi=110)
    for i, name in enumerate(names):
        rate = 1 / table.median("decode at 128", name)
        ax.barh(i, rate, color="#0072B2" if "gpt2lib" in name else "#9ca3af", height=0.7)
        ax.text(rate, i, f" {rate:.0f}", va="center", fontsize=9)
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set(xlabel=f"tokens per second, GPT-2 124M, one text, {torch.get_num_threads()} threads, {machine()}")
    fig.savefig(path, metadata={"Software": None})
    plt.close(fig)


def main() -> None:
    """Measure everything and write RESULTS.md and speed.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--new", type=int, default=48, help="tokens in each decode")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--text", type=Path, help="a text for the tokenizers; default: Python's own reference"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of RESULTS.md")
    parser.add_argument("--picture", type=Path, help="a file to draw the tokens per second into")
    parser.add_argument("--only", help="programs whose names contain this, transformers and gpt2lib plain")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table, processes = Table(), get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder, directory = Path(name), Path(name) / "gpt2"
        torch.manual_seed(0)
        save_pretrained(GPT2(GPT2Config()), Tokenizer.gpt2(), directory)
        peak = {} if options.only else cold_start(table, directory, options.rounds)
        workers, prepared = {}, {}
        for name in PROGRAMS:
            if options.only and name not in (BASE, "gpt2lib plain float32") and options.only not in name:
                continue
            worker = Worker(processes, serve, name, directory, folder, options.threads)
            prepared[name] = worker.answer()
            if worker.failure.startswith(("ImportError", "ModuleNotFoundError")):
                print(f"{name} does not take part: {worker.failure}")
                continue
            workers[name] = worker
            print(f"{name}: {worker.failure or f'prepared in {prepared[name]:.1f} s'}", flush=True)
        limits = inference(table, workers, options.rounds, options.new)
        if workers[BASE].failure:
            raise SystemExit(f"{BASE}, which all others are compared with, failed: {workers[BASE].failure}")
        for worker in workers.values():
            worker.process.kill()
        if options.only:
            print(limits, limits.unrest(), sep="\n")
            for measure, rows in table.times.items():
                for name in rows:
                    middle, low, high = table.ratio(measure, name)
                    ms = 1000 * table.median(measure, name)
                    print(f"{measure:15} {name:24} {ms:7.1f} ms {middle:.2f} ({low:.2f}-{high:.2f})")
            return
        training(table, processes, directory, options.threads, options.rounds)
        if options.text:
            text = options.text.read_text("utf-8")[:1_000_000]
        else:
            from pydoc_data.topics import topics

            text = "\n".join(topics.values())
        tokenizers(table, text, directory, options.rounds)
        size = (directory / "model.safetensors").stat().st_size
        section = report(table, peak, limits, workers, prepared, len(text.encode()), size)
    options.out.mkdir(parents=True, exist_ok=True)
    results = options.out / "RESULTS.md"
    with replacing(results) as path:
        path.write_text(
            with_section(results.read_text("utf-8") if results.exists() else "", section), "utf-8"
        )
    if options.picture:
        picture(table, options.picture)
    print(section)


if __name__ == "__main__":
    main()
