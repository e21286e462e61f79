"""Time gpt2lib beside its peers, in one run: `make bench`, or `python benchmarks/run.py --help`.

Every program runs the same GPT-2 of the 124M shape with random weights, so nothing is downloaded. Each
has a process of its own, for threads that wait in one program would slow down the others. The programs
take turns, round after round; what is reported is the median and, as the spread, the quartiles of the
ratio to transformers in the same round. transformers always takes part, CTranslate2 and
llama-cpp-python where they are installed (`pip install -e ".[bench]"`).
"""

import argparse
import dataclasses
import json
import platform
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

from gpt2lib.cache import KVCache
from gpt2lib.checkpoint import from_pretrained, save_pretrained
from gpt2lib.config import GPT2Config
from gpt2lib.fast import fast
from gpt2lib.model import GPT2
from gpt2lib.tokenizer import Tokenizer
from gpt2lib.training import Progress, Trainer, TrainingConfig, decay_groups, next_token_loss, sample_batch

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


def ours(model: torch.nn.Module) -> Start:
    """Run a model of this library."""

    def start(prompt: list[int], texts: int = 1):
        cache = KVCache(model.config, texts, dtype=getattr(model, "cache_dtype", None))
        new = torch.tensor([prompt] * texts)

        @torch.inference_mode()
        def step():
            nonlocal new
            new = model(new, cache, last_only=True)[:, -1].argmax(-1, keepdim=True)

        step()
        return step

    return start


def theirs(directory: Path, dtype: torch.dtype) -> Start:
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

    return start


def ctranslate2(directory: Path, folder: Path, weights: str) -> Callable[[list[int], int, int], None]:
    """Run CTranslate2; it only has the whole: read a prompt and write so many tokens."""
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

    return whole


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


def llama_cpp(path: Path) -> Start:
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

    return start


def program_of(name: str, directory: Path, folder: Path):
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
    """Be the process of one program: answer (prompt, texts, new) with what `first_and_next` measures."""
    torch.set_num_threads(threads)
    try:
        program = program_of(name, directory, folder)
    except ImportError as error:
        line.send(f"{name} does not take part: {error}")
        return
    line.send("")
    while work := line.recv():
        line.send(first_and_next(program, *work))


def spawn(processes: BaseContext, server: Callable, *arguments) -> Connection:
    """Start a process that runs server(*arguments, line), and return the other end of the line."""
    line, other = processes.Pipe()
    processes.Process(target=server, args=(*arguments, other), daemon=True).start()
    other.close()  # so that the line breaks if the process does
    return line


# --- timing


def clock(run: Callable[[], None]) -> float:
    """Return the seconds that run() takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def settle() -> None:
    """Wait until the threads of the program that ran before have gone to sleep."""
    time.sleep(0.3)


def first_and_next(program, prompt: list[int], texts: int, new: int) -> tuple[float, float]:
    """Return the seconds to read a prompt and make one token, and the seconds for each token after it."""
    if program.__name__ == "whole":
        first = clock(lambda: program(prompt, texts, 1))
        return first, (clock(lambda: program(prompt, texts, new + 1)) - first) / new
    began = time.perf_counter()
    step = program(prompt, texts)
    first = time.perf_counter() - began
    return first, clock(lambda: [step() for _ in range(new)]) / new


class Table:
    """Hold the times of all rounds: measure -> program -> seconds."""

    def __init__(self):
        self.times: dict[str, dict[str, list[float]]] = {}

    def add(self, measure: str, program: str, seconds: float) -> None:
        self.times.setdefault(measure, {}).setdefault(program, []).append(seconds)

    def median(self, measure: str, program: str) -> float:
        return statistics.median(self.times[measure][program])

    def ratio(self, measure: str, program: str, base: str = BASE) -> tuple[float, float, float]:
        """Return how many times as fast as base a program is: the median of the rounds, and the quartiles."""
        rows = self.times[measure]
        ratios = [b / p for b, p in zip(rows[base], rows[program])]
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        return middle, low, high


def inference(table: Table, programs: dict[str, Connection], rounds: int, new: int) -> tuple[float, float]:
    """Time prompts of 128 and 512 tokens, and tokens after 128, after 1000 - new, and for 8 texts.

    Returns the medians of `limits`, which are measured in every round: memory is not equally quick all day.
    """

    def ask(line: Connection, *work) -> tuple[float, float]:
        settle()
        line.send(work)
        return line.recv()

    ids = torch.randint(50257, (1000,), generator=torch.Generator().manual_seed(0)).tolist()
    seen = []
    for number in range(rounds + 1):  # the first round warms up
        settle()
        seen.append(limits())
        for name, line in programs.items():
            times = {}
            times["prefill 128"], times["decode at 128"] = ask(line, ids[:128], 1, new)
            times["prefill 512"], _ = ask(line, ids[:512], 1, 1)
            _, times["decode at 1000"] = ask(line, ids[: 1000 - new], 1, new)
            if "llama" not in name:
                _, times["8 texts"] = ask(line, ids[:128], 8, max(4, new // 4))
            if number:
                for measure, seconds in times.items():
                    table.add(measure, name, seconds)
    return tuple(np.median(seen, axis=0))


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
    update = updater(kind, directory)
    while dtype := line.recv():
        line.send(clock(lambda: update(dtype)))


def training(table: Table, processes: BaseContext, directory: Path, threads: int, rounds: int) -> None:
    """Time updates of every trainer, in turns."""
    lines = {kind: spawn(processes, serve_training, kind, directory, threads) for kind in TRAINERS}
    for number in range(rounds + 1):  # the first round warms up
        for dtype in ("float32", "bfloat16"):
            for kind, line in lines.items():
                settle()
                line.send(dtype)
                seconds = line.recv()
                if number:
                    table.add("training step", f"{kind} {dtype}", seconds)
    for line in lines.values():
        line.send("")


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


def limits() -> tuple[float, float]:
    """Return the bytes per second that memory gives and the float32 operations per second of a product."""
    long, square = torch.ones(64_000_000), torch.ones(1024, 1024)
    for_sum = min(clock(long.sum) for _ in range(10))
    for_product = min(clock(lambda: square @ square) for _ in range(10))
    return long.nbytes / for_sum, 2 * 1024**3 / for_product


# --- the report


def report(table: Table, peak: dict, limit: tuple, text_bytes: int, weights_bytes: int) -> str:
    """Return all that was measured as Markdown."""
    bandwidth, flops = limit
    lines = [
        f"Measured on {machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"transformers {transformers.__version__}. Memory gives {bandwidth / 1e9:.0f} GB/s, a float32 "
        f"product {flops / 1e9:.0f} GFLOP/s. GPT-2 124M shape, random weights; medians, and in brackets how "
        f"many times as fast as {BASE} in the same round (median; quartiles).",
        "",
    ]
    measures = ["decode at 128", "decode at 1000", "prefill 128", "prefill 512", "8 texts"]
    lines += ["| ms | " + " | ".join(measures) + " | of the roof |", "|---|" + "---|" * (len(measures) + 1)]
    for name in table.times["decode at 128"]:
        row = [name]
        for measure in measures:
            if name not in table.times[measure]:
                row.append("")
                continue
            middle, low, high = table.ratio(measure, name)
            row.append(f"{1000 * table.median(measure, name):.1f} ({middle:.2f}; {low:.2f}–{high:.2f})")
        floor = bytes_fetched(name) / bandwidth
        row.append(f"{100 * floor / table.median('decode at 128', name):.0f} %")
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", "| training step, 4 × 256 tokens | s | ratio |", "|---|---|---|"]
    for name in table.times["training step"]:
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
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--only", help="programs whose names contain this, and transformers float32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table, processes = Table(), get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder, directory = Path(name), Path(name) / "gpt2"
        torch.manual_seed(0)
        save_pretrained(GPT2(GPT2Config()), Tokenizer.gpt2(), directory)
        peak = {} if options.only else cold_start(table, directory, options.rounds)
        ready = {}
        for name in PROGRAMS:
            if options.only and name != BASE and options.only not in name:
                continue
            line = spawn(processes, serve, name, directory, folder, options.threads)
            if absent := line.recv():
                print(absent)
            else:
                ready[name] = line
        limit = inference(table, ready, options.rounds, options.new)
        for line in ready.values():
            line.send(None)
        if not options.only:
            training(table, processes, directory, options.threads, options.rounds)
            if options.text:
                text = options.text.read_text("utf-8")[:1_000_000]
            else:
                from pydoc_data.topics import topics

                text = "\n".join(topics.values())
            tokenizers(table, text, directory, options.rounds)
            size = (directory / "model.safetensors").stat().st_size
            result = report(table, peak, limit, len(text.encode()), size)
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / "RESULTS.md").write_text(result, "utf-8")
            picture(table, options.out / "speed.png")
            print(result)
        else:
            print(f"memory gives {limit[0] / 1e9:.0f} GB/s, a float32 product {limit[1] / 1e9:.0f} GFLOP/s")
            for measure, rows in table.times.items():
                for name in rows:
                    middle, low, high = table.ratio(measure, name)
                    ms = 1000 * table.median(measure, name)
                    print(f"{measure:15} {name:24} {ms:7.1f} ms {middle:.2f} ({low:.2f}-{high:.2f})")


if __name__ == "__main__":
    main()
