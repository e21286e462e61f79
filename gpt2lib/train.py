"""Train a GPT-2 from the command line: `python -m gpt2lib.train --help`. Built in chapter 08."""

import argparse
import contextlib
import gc
import io
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch
import torch.distributed as dist
from filelock import Timeout
from safetensors import SafetensorError
from tqdm import tqdm

from gpt2lib.checkpoint import from_pretrained, save_pretrained
from gpt2lib.config import PRESETS, GPT2Config
from gpt2lib.corpus import Corpus, open_corpus, read_text, text_files
from gpt2lib.files import locked, replacing
from gpt2lib.memory import keep_freed_memory
from gpt2lib.model import GPT2
from gpt2lib.tokenizer import Tokenizer
from gpt2lib.training import Trainer, TrainingConfig, bits_per_byte

STATE = "training.pt"  # weights, optimizer, generator and options in one file: it is whole or not there
HELP = {  # of the options that are fields of TrainingConfig
    "batch_size": "stretches in an update, over all processes",
    "context": "tokens in a stretch of text; the model's n_positions",
    "peak_lr": "the highest learning rate; it ends at a tenth",
    "weight_decay": "shrinks each matrix by this times the learning rate in every update",
    "clip": "the largest norm that the gradient of an update may have",
    "micro_batches": "parts to cut a batch into, to save memory",
    "dtype": "of the matrix products: float32 or bfloat16",
    "average": "average the weights over this last part of the run, 0.1 for a tenth",
    "seed": "of the first weights, the choice of stretches and dropout",
}
RENAMED = {"peak_lr": "lr"}  # the option of a field, where it has another name
SIZE_OPTIONS = ("preset", "vocab_size", "layers", "heads", "width")
MAY_CHANGE = ("out", "resume", "text", "validation", "save_every", "compile", "micro_batches")


# Numbers and names of options
def number_of_tokens(text: str) -> int:
    """Return the number that 10M, 1.5B, 1e7 or 10_000_000 stands for."""
    scale = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}.get(text[-1:].lower())
    try:
        number = float(text[:-1]) * scale if scale else float(text)
    except ValueError:
        number = 0
    if not 1 <= number <= 2**48:
        raise argparse.ArgumentTypeError(f"{text} is no number of tokens; write 10000000, 1e7 or 10M")
    return round(number)


def path(text: str) -> Path:
    """Return a path; ~ is the home directory, which a shell leaves as it is in --out=~/run."""
    return Path(os.path.expanduser(text))


def option_of(name: str) -> str:
    """Return the option of a setting as it is typed: --batch-size for batch_size."""
    return "--" + RENAMED.get(name, name).replace("_", "-")


# The command line
def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line; `given` names those that were typed."""
    parser = argparse.ArgumentParser(
        prog="python -m gpt2lib.train",
        description="Train a GPT-2 on text. Interrupted, it goes on with --resume --out OUT.",
        argument_default=argparse.SUPPRESS,
    )
    defaults = {}

    def add(name: str, default: object = None, help: str = "", **how) -> None:
        shown = "" if default is None or default is False else f" (default: {default})"
        defaults[parser.add_argument(name, help=help + shown, **how).dest] = default

    add("--text", help="a text file, or a folder of .txt files", type=path)
    add("--validation", help="text to measure bits per byte on; never trained on", type=path)
    add("--out", help="the directory for the model and the state of the run", type=path, required=True)
    add("--resume", False, "go on with the run in --out, with its options", action="store_true")
    add("--start", help="start from the weights of this model, a name or a directory, not from random ones")
    add("--preset", help="the sizes of a published model", choices=PRESETS)
    add("--layers", 6, "blocks of the model", type=int)
    add("--heads", 6, "attention heads in a block", type=int)
    add("--width", 384, "n_embd, a multiple of --heads", type=int)
    add("--vocab-size", help="train a tokenizer of this size on the text (default: GPT-2's own)", type=int)
    add("--tokens", 10_000_000, "tokens to train on, e.g. 10M or 1e7", type=number_of_tokens)
    add("--warmup", 0.02, "the part of the run in which the learning rate rises", type=float)
    add("--dropout", help="of embeddings, attention and residual; GPT-2 had 0.1 (default: none)", type=float)
    add("--compile", False, "compile the model first; pays on GPUs", action="store_true")
    add("--save-every", 200, "updates between two saved states", type=int)
    for setting in fields(TrainingConfig):
        if setting.name in HELP:
            add(option_of(setting.name), setting.default, HELP[setting.name], type=setting.type)
    given = vars(parser.parse_args(arguments))
    return argparse.Namespace(**defaults | given, given=tuple(given))


# From options to settings
def settings_of(options: argparse.Namespace) -> TrainingConfig:
    """Return the training settings that the options ask for. Raises ValueError in the options' names."""
    if not 0 <= options.warmup <= 1:
        raise ValueError(f"--warmup is {options.warmup}, but it is a part of the run, from 0 to 1")
    settings = {name: getattr(options, RENAMED.get(name, name)) for name in HELP}
    try:
        config = TrainingConfig(steps=1, final_lr=options.lr / 10, warmup_steps=0, **settings)
    except ValueError as error:
        name, _, reason = str(error).partition(" ")
        raise ValueError(f"{option_of(name)} {reason}") from error
    steps = max(1, options.tokens // (config.batch_size * config.context))
    return replace(config, steps=steps, warmup_steps=int(options.warmup * steps))


# Options that contradict each other or the stored run
def check_options(options: argparse.Namespace) -> None:
    """Raise ValueError for options that no run can have or that contradict each other.

    Raises FileNotFoundError for a text that is not there. Nothing is written yet.
    """
    sizes = [name for name in SIZE_OPTIONS if name in options.given]
    if options.start and sizes:
        raise ValueError(
            f"--start brings its sizes and its tokenizer along; leave out {', '.join(map(option_of, sizes))}"
        )
    if options.preset and set(sizes) - {"preset", "vocab_size"}:
        raise ValueError(
            f"--preset {options.preset} brings its sizes along; leave out "
            f"{', '.join(option_of(name) for name in sizes if name not in ('preset', 'vocab_size'))}"
        )
    if options.save_every < 1:
        raise ValueError(f"--save-every is {options.save_every}, but it must be at least 1")
    if options.vocab_size is not None and options.vocab_size < 257:
        raise ValueError(f"--vocab-size is {options.vocab_size}, but it must be at least 257")
    if options.dropout is not None and not 0 <= options.dropout < 1:
        raise ValueError(f"--dropout is {options.dropout}, but it must be at least 0 and below 1")
    settings_of(options)
    if not options.start:
        model_config(options, options.vocab_size or GPT2Config.vocab_size)
    if options.text is None and not options.resume:
        raise ValueError("--text is missing; pass a text file or a folder of .txt files")
    for path in filter(None, (options.text, options.validation)):
        text_files(path)


def as_stored(options: argparse.Namespace, stored: dict) -> argparse.Namespace:
    """Return the options of a stored run, with those typed now that may change.

    Raises ValueError, with their names, for others that were typed and differ.
    """
    given = {name: getattr(options, name) for name in options.given}
    differ = [
        f"{option_of(name)} {stored[name]}, not {value}"
        if stored[name] is not None
        else f"no {option_of(name)}, not {value}"
        for name, value in given.items()
        if name not in MAY_CHANGE and stored[name] != value
    ]
    if differ:
        raise ValueError(
            f"the run in {options.out} has {'; '.join(differ)}. Leave these out to go on with it, or train "
            f"on from its weights: --start {options.out} --out NEW"
        )
    paths = {name: stored[name] and Path(stored[name]) for name in ("text", "validation")}
    return argparse.Namespace(**stored | paths | {"resume": True} | given, given=options.given)


# From options to the sizes of a model
def with_dropout(config: GPT2Config, dropout: float | None) -> GPT2Config:
    """Return the config with one rate for all three dropouts, or as it is for None."""
    if dropout is None:
        return config
    return replace(config, embd_pdrop=dropout, attn_pdrop=dropout, resid_pdrop=dropout)


def model_config(options: argparse.Namespace, vocab_size: int) -> GPT2Config:
    """Return the sizes of the model that the options ask for."""
    if options.preset:
        sizes = GPT2Config.preset(options.preset)
        sizes = replace(sizes, vocab_size=vocab_size, n_positions=max(sizes.n_positions, options.context))
    else:
        sizes = GPT2Config(vocab_size, options.context, options.width, options.layers, options.heads)
    return with_dropout(sizes, options.dropout)


# A run: training, saving, telling
@dataclass
class Run:
    """A training run that is under way, and what it has told so far."""

    options: argparse.Namespace
    trainer: Trainer
    corpus: Corpus
    validation: str | None
    history: list[list] = field(default_factory=list)  # [updates, mean loss, bits per byte or None]
    losses: list[float] = field(default_factory=list)  # of the updates since the last row

    def resume(self, state: dict) -> None:
        """Go on from a state that `save` wrote."""
        self.trainer.load_state_dict(state["trainer"])
        self.history = state["history"]

    def train(self) -> None:
        """Make the updates that are left, saving on the way, at the end and when told to stop.

        Raises FloatingPointError if the run diverges, OSError if it cannot be saved.
        """
        trainer, config = self.trainer, self.trainer.config
        per_update = config.batch_size * config.context
        bar = tqdm(
            total=config.steps * per_update,
            initial=trainer.step * per_update,
            unit="tok",
            unit_scale=True,
            disable=trainer.rank > 0,
        )
        trainer.model.train()
        with bar, when_interrupted(trainer.stop):
            for progress in trainer:
                self.losses.append(progress.loss)
                bar.update(per_update)
                bits = self.history[-1][2] if self.history else None
                bar.set_postfix(loss=f"{progress.loss:.3f}", bits=bits, refresh=False)
                if progress.step % self.options.save_every == 0:
                    self.save()
            if self.losses:
                self.save()

    def save(self) -> None:
        """Write the model, what it has told and the state, in this order, each file whole or not at all.

        Raises FloatingPointError, and writes nothing, if the run has diverged; OSError if the disk is full.
        """
        model, trainer = self.trainer.model.eval(), self.trainer
        start = trainer.tokens[None, : trainer.config.context].long().to(next(model.parameters()).device)
        with torch.no_grad():
            numbers = [model.forward(start), *model.parameters(), *(trainer.mean or [])]
        if not all(part.isfinite().all() for part in numbers):
            raise FloatingPointError(
                f"the run diverged: after update {trainer.step} the model is not finite any more; choose a "
                f"lower learning rate (its peak is {trainer.config.peak_lr}) or a longer warm-up"
            )
        together(self._write if trainer.rank == 0 else lambda: None)
        self.losses.clear()
        model.train()

    def result(self) -> str:
        """Return the last row of the history as a sentence, and how to go on where updates are left."""
        if not self.history:
            return f"interrupted before the first update; nothing is saved in {self.options.out} yet"
        steps, bits, out = self.trainer.config.steps, self.history[-1][2], self.options.out
        text = f"{self.trainer.step} updates, loss {self.history[-1][1]:.3f}"
        if bits is not None:
            text += f", {bits:.3f} bits per byte"
        if self.trainer.step < steps:
            text += f"; {steps} were planned, go on with: python -m gpt2lib.train --resume --out {out}"
        return text

    def _write(self) -> None:
        """Write what `save` promises, in the first process."""
        trainer, out = self.trainer, self.options.out
        stored = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(self.options).items()
            if name != "given"
        }
        with trainer.averaged_weights():
            bits = None
            if self.validation:
                bits = bits_per_byte(trainer.model, self.corpus.tokenizer, self.validation)
            self.history.append([trainer.step, sum(self.losses) / len(self.losses), bits])
            try:
                save_pretrained(trainer.model, self.corpus.tokenizer, out)
            except (OSError, RuntimeError, SafetensorError) as error:
                raise _not_saved(out, error) from error
        state = {
            "options": stored,
            "config": asdict(trainer.model.config),
            "text_sha256": self.corpus.text_sha256,
            "history": self.history,
            "trainer": trainer.state_dict(),
        }
        try:
            with replacing(out / "history.json") as path:
                path.write_text(json.dumps(self.history), "utf-8")
            with replacing(out / STATE) as path:
                torch.save(state, path)
        except (OSError, RuntimeError) as error:  # torch raises a RuntimeError where the disk is full
            raise _not_saved(out, error) from error


def _not_saved(out: Path, error: Exception) -> OSError:
    """Return the error to raise where a save failed."""
    free = shutil.disk_usage(out).free / 1e6
    return OSError(
        f"the run could not be saved: {str(error).splitlines()[0]} ({free:.1f} MB are free in {out}). "
        f"What was saved before is whole; make room and pass --resume"
    )


# Opening a run, alone or as one of several processes
def gathered(mine: object) -> list:
    """Return what each process passes, in the order of their ranks."""
    if not dist.is_initialized():
        return [mine]
    everyones = [None] * dist.get_world_size()
    dist.all_gather_object(everyones, mine)
    return everyones


def together(work: Callable[[], object]) -> object:
    """Return what work returns, once it has gone well in all processes.

    Raises the first process's ValueError or OSError in all of them, so that none waits for one that
    has ended, and one can tell for all.
    """
    result = error = None
    try:
        result = work()
    except (ValueError, OSError) as problem:
        error = problem
    for problem in gathered(error):
        if problem is not None:
            raise problem
    return result


@contextlib.contextmanager
def when_interrupted(stop: Callable[[], None]) -> Iterator[None]:
    """Call stop at Ctrl+C and, in a lone process, at SIGTERM; a second signal ends that one at once."""
    alone = not dist.is_initialized()  # torchrun repeats signals, and sends SIGTERM where a process failed

    def note(number: int, frame: object) -> None:
        stop()
        if alone:
            signal.signal(number, before[number])

    here = threading.current_thread() is threading.main_thread()  # others get no signals
    numbers = [signal.SIGINT, signal.SIGTERM][: 1 + alone] if here else []
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def take(out: Path, closing: contextlib.ExitStack) -> None:
    """Make the directory of a run, or say that it cannot be written, and lock it until `closing` closes."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        closing.enter_context(locked(out / ".lock", patience=0))
    except Timeout:
        raise ValueError(
            f"another run is writing to {out}; wait for its end, or pass another --out"
        ) from None
    except OSError as error:
        raise OSError(
            f"--out {out} is no directory that can be written to ({error.strerror}); pass another one"
        ) from error
    for left in out.glob(".*.part"):  # by a run that was killed; its state has all that they hold
        shutil.rmtree(left, ignore_errors=True)


def read_state(path: Path) -> dict | None:
    """Return the state that a run saved, on the CPU, or None if there is none.

    Raises ValueError if it cannot be read or was not written by `Run.save`.
    """
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing = {"options", "config", "text_sha256", "history", "trainer"} - state.keys()
    except Exception as error:  # a damaged file raises errors of many kinds
        state, missing = None, type(error).__name__
    if missing:
        raise ValueError(
            f"{path} is damaged or was not written by this version ({missing}); the weights beside it may be "
            f"whole: train on from them with --start {path.parent} --out NEW"
        )
    return state


def device_of_this_process() -> torch.device:
    """Return this process's GPU, a Mac's only where it trains alone, or the CPU.

    `mps` can't exchange gradients with other processes.
    """
    if torch.cuda.is_available():
        return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}")
    return torch.device("mps" if torch.backends.mps.is_available() and not dist.is_initialized() else "cpu")


def open_run(options: argparse.Namespace, closing: contextlib.ExitStack) -> Run:
    """Open what a run needs: its directory, text, tokenizer, model and, to go on, its state.

    What can be known before the first update is checked here, in all processes. The lock of the
    directory is left to `closing`. Raises ValueError for options that contradict each other, the texts
    or the run that is to be resumed, OSError for files that cannot be read or written.
    """
    first = not dist.is_initialized() or dist.get_rank() == 0

    def open_directory() -> tuple[argparse.Namespace, dict | None]:
        check_options(options)
        if options.text is None and not (options.out / STATE).is_file():
            raise ValueError(f"there is no run in {options.out} to go on with; pass --text to start one")
        if first:
            take(options.out, closing)
        state = read_state(options.out / STATE)
        if state is None:
            return options, None
        if not options.resume:
            raise ValueError(
                f"{options.out} holds a run already; pass --resume to go on with it, or another --out"
            )
        return as_stored(options, state["options"]), state

    def open_texts() -> tuple[GPT2, Corpus, str | None]:
        model, tokenizer = open_model(options, state)
        corpus = open_corpus(options.text, options.out, tokenizer)
        if model is None:
            torch.manual_seed(options.seed)
            model = GPT2(model_config(options, corpus.tokenizer.vocab_size))
        if state and corpus.text_sha256 != state["text_sha256"]:
            raise ValueError(
                f"{options.text} is not the --text that the run in {options.out} was started with; pass that "
                f"one, or train on from its weights: --start {options.out} --out NEW"
            )
        if corpus.largest >= model.config.vocab_size:
            raise ValueError(
                f"the text has the id {corpus.largest}, but the model of --start has only "
                f"{model.config.vocab_size} ids; its tokenizer belongs to another model"
            )
        validation = read_text(options.validation) if options.validation else None
        if validation and len(corpus.tokenizer.encode(validation, allow_special=True)) < 2:
            raise ValueError(f"{options.validation} is one token, but --validation needs at least 2")
        if first:
            check_room(options, model, state)
        return model, corpus, validation

    options, state = together(open_directory)
    model, corpus, validation = together(open_texts)
    model.to(device_of_this_process())
    if options.compile:
        model.compile()
    run = Run(options, Trainer(model, corpus.tokens, settings_of(options)), corpus, validation)
    if state:
        run.resume(state)
    if len(set(gathered(run.trainer.step))) > 1:
        raise ValueError(
            f"{options.out / STATE} is not the same for all processes; put it where all machines see it"
        )
    return run


def open_model(options: argparse.Namespace, state: dict | None) -> tuple[GPT2 | None, Tokenizer | int]:
    """Return the model to train, None for a fresh one, and its tokenizer, or the size of one to learn."""
    if state:
        return GPT2(GPT2Config(**state["config"])), Tokenizer.load(options.out)
    if not options.start:
        return None, options.vocab_size or Tokenizer.gpt2()
    model, tokenizer = from_pretrained(options.start)
    longest = model.config.n_positions
    if "context" not in options.given:
        options.context = min(options.context, longest)
    if options.context > longest:
        raise ValueError(
            f"--context is {options.context}, but {options.start} reads at most {longest} tokens; "
            f"choose --context up to {longest}"
        )
    weights = model.state_dict()
    model = GPT2(with_dropout(model.config, options.dropout))
    model.load_state_dict(weights)
    return model, tokenizer


def check_room(options: argparse.Namespace, model: GPT2, state: dict | None) -> None:
    """Raise OSError if the disk of --out has too little room for one save."""
    copies = 3 + (options.average > 0) + (state is None)  # AdamW keeps two numbers for each weight
    needed = copies * sum(weight.numel() * weight.element_size() for weight in model.parameters())
    free = shutil.disk_usage(options.out).free
    if free < needed:
        raise OSError(
            f"a save takes {needed / 1e6:.1f} MB, but only {free / 1e6:.1f} MB are free in {options.out}; "
            f"make room, or pass another --out"
        )


# The program
def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says; print expected errors as one line and exit."""
    first = os.environ.get("RANK", "0") == "0"  # the one that speaks, of those that torchrun starts
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a path may have letters that this terminal lacks
    with contextlib.redirect_stderr(sys.stderr if first else io.StringIO()):
        options = parse(arguments)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    else:
        keep_freed_memory()
    run = None
    try:
        if "RANK" in os.environ:
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        with contextlib.ExitStack() as closing:
            run = open_run(options, closing)
            try:
                run.train()
            except FloatingPointError as error:
                saved = f"the state after {run.history[-1][0]} updates" if run.history else "nothing yet"
                raise ValueError(f"{error}. Saved in {options.out}: {saved}") from error
        if first:
            print(run.result())
        if run.trainer.stopped:
            sys.exit(130)
    except KeyboardInterrupt:
        sys.exit("gpt2lib.train: interrupted; what was saved before is whole" if first else 1)
    except (RuntimeError, MemoryError) as error:
        about = [sentence for sentence in str(error).split(". ") if "memory" in sentence]
        if isinstance(error, RuntimeError) and not about:  # a CPU's lack of memory has no class of its own
            raise
        reason = about[0] if about else "there is not enough memory"
        remedy = "pass more --micro-batches, a smaller --batch-size, --context or model"
        sys.exit(f"gpt2lib.train: {reason}; {remedy}")
    except (ValueError, OSError) as error:
        sys.exit(f"gpt2lib.train: {error}" if first else 1)
    finally:
        if dist.is_initialized():
            run = None
            gc.collect()  # a model of DDP's would keep the group's threads until the interpreter has gone
            dist.destroy_process_group()


if __name__ == "__main__":
    main()
