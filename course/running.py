"""Running an answer on the cases of an exercise, within limits of time, memory and output."""

import contextlib
import copy
import io
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from ctypes import c_ulong, py_object, pythonapi
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from course.comparing import Raised, differs
from course.exercise import Exercise

TIME_LIMIT = 10.0  # processor seconds for all cases of one exercise; the references need less than one
KNOWN_LIMIT = 1.0  # processor seconds for a known mistake on one case
MEMORY_LIMIT = 2 * 2**30  # bytes that an answer may add to what the process holds
OUTPUT_LIMIT = 10_000  # characters of what an answer prints that are kept


class Stopped(BaseException):
    """Raised inside an answer that has gone past a limit."""


class TimeUp(Stopped):
    """Raised inside an answer that does not come to an end."""


class MemoryFull(Stopped):
    """Raised inside an answer that fills the memory."""


@dataclass(frozen=True)
class Attempt:
    """What an answer did with all cases of an exercise."""

    arguments: list[tuple]  # of each case, as they were before
    results: list  # one for each case; Raised where it raised
    printed: str
    changed: list[bool]  # whether it changed its arguments, for each case
    seconds: float  # of processor time


class Output(io.StringIO):
    """A place for what an answer prints, which keeps the beginning only."""

    def write(self, text: str) -> int:
        if (room := OUTPUT_LIMIT - self.tell()) > 0:
            super().write(text[:room])
        return len(text)


def attempt(exercise: Exercise, answer: Callable, cases: Sequence[tuple] | None = None) -> Attempt:
    """Run an answer on every case, or on other ones. Raises Stopped if it goes past a limit.

    Each case gets arguments of its own, and a result is copied as soon as it is there: what an answer writes into
    an object reaches neither the other cases nor what is shown.
    """
    cases = exercise.cases() if cases is None else cases
    results, changed, printed = [], [], Output()
    began = time.process_time()
    with limits(TIME_LIMIT, MEMORY_LIMIT), contextlib.redirect_stdout(printed), defaults_of_torch():
        for arguments in cases:
            given = copy.deepcopy(arguments)
            try:
                results.append(as_it_is(exercise.run(answer, *given)))
            except (Stopped, KeyboardInterrupt):
                raise
            except BaseException as error:  # SystemExit and asyncio's CancelledError, too
                traceback.clear_frames(error.__traceback__)  # or what it had made would fill the memory
                results.append(Raised(error))
            changed.append(differs(given, arguments))
    return Attempt(list(cases), results, printed.getvalue(), changed, time.process_time() - began)


@contextlib.contextmanager
def defaults_of_torch() -> Iterator[None]:
    """Take back what an answer does to the dtype and the device that torch makes tensors with."""
    dtype, device = defaults()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)


def known_results(
    exercise: Exercise, wrong: Callable, got: Attempt, cases: Iterable[int] | None = None, keep: bool = True
) -> Iterator[Any]:
    """Run a known mistake on the cases of an attempt, one at a time, so that one can stop at the first difference.

    What comes out is kept for the next answer, if asked to.
    """
    kept = done_before(exercise, *defaults()) if keep else {}
    for case in range(len(got.arguments)) if cases is None else cases:
        if (wrong, case) not in kept:
            result = known_result(exercise, wrong, got.arguments[case])
            if not keep or (isinstance(result, Raised) and isinstance(result.error, Stopped)):
                yield result
                continue
            kept[wrong, case] = result
        yield kept[wrong, case]


def known_result(exercise: Exercise, wrong: Callable, arguments: tuple) -> Any:
    """Run a known mistake on one case."""
    with contextlib.redirect_stdout(Output()):
        try:
            with limits(KNOWN_LIMIT, MEMORY_LIMIT):
                return as_it_is(exercise.run(wrong, *copy.deepcopy(arguments)))
        except (Exception, Stopped) as error:  # two mistakes together may never end
            return Raised(error.with_traceback(None))


@cache
def done_before(exercise: Exercise, dtype: torch.dtype, device: torch.device) -> dict:
    """What known mistakes have done with the cases of an exercise, under (mistake, case); filled as they are run."""
    return {}


@cache
def right_attempt(exercise: Exercise, dtype: torch.dtype, device: torch.device) -> Attempt:
    """What the answer in solutions/ does. Cases depend on the dtype and the device that torch makes tensors with."""
    return attempt(exercise, exercise.reference)


def defaults() -> tuple[torch.dtype, torch.device]:
    """Return the dtype and the device that torch makes tensors with."""
    return torch.get_default_dtype(), torch.get_default_device()


def as_it_is(value: Any) -> Any:
    """Return a copy of tensors and of lists, tuples and dicts of them; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if type(value) in (list, tuple):
        return type(value)(map(as_it_is, value))
    if type(value) is dict:
        return {key: as_it_is(part) for key, part in value.items()}
    return value


@contextlib.contextmanager
def limits(seconds: float, more_bytes: float) -> Iterator[None]:
    """Stop the block if it computes too long, waits three times as long, or adds too much memory.

    Raises TimeUp or MemoryFull in this thread. An answer is not taken for endless because something else keeps the
    processor busy.
    """
    thread = threading.get_ident()
    began, waited, held = time.process_time(), time.monotonic(), memory()

    def interrupt():
        if memory() - held > more_bytes:
            reason = MemoryFull
        elif time.process_time() - began > seconds or time.monotonic() - waited > 3 * seconds:
            reason = TimeUp
        else:
            return
        pythonapi.PyThreadState_SetAsyncExc(c_ulong(thread), py_object(reason))

    watch = watcher(os.getpid())
    watch.over(interrupt)
    try:
        yield
    finally:
        try:
            watch.no_longer(interrupt)
        finally:
            watch.no_longer(interrupt)  # in case the first time was interrupted itself


class Watcher(threading.Thread):
    """The one thread that looks after all limits: a thread for each would take longer than most known mistakes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.limits, self.lock, self.busy = set(), threading.Lock(), threading.Event()

    def over(self, interrupt: Callable) -> None:
        """Begin to look after a limit."""
        with self.lock:
            self.limits.add(interrupt)
        self.busy.set()

    def no_longer(self, interrupt: Callable) -> None:
        """End that; from then on it interrupts nothing."""
        with self.lock:
            self.limits.discard(interrupt)

    def run(self) -> None:
        """Look at each limit again and again, for an answer may swallow what is raised in it."""
        while self.busy.wait():
            time.sleep(0.02)
            with self.lock:
                for interrupt in self.limits:
                    interrupt()
                if not self.limits:
                    self.busy.clear()


@cache
def watcher(process: int) -> Watcher:
    """Return the watcher of this process; one that was forked needs its own."""
    watch = Watcher()
    watch.start()
    return watch


def memory() -> int:
    """Return the bytes that this process holds (at most has held, outside Linux; 0 where nothing tells)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest tensor that any operation in the block makes."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for part in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(part, torch.Tensor):  # the storage, since a view of a small one may look large
                self.bytes = max(self.bytes, part.untyped_storage().nbytes())
        return result


def largest_tensor(exercise: Exercise, answer: Callable, arguments: tuple) -> int | None:
    """Return the bytes of the largest tensor that an answer makes of tensors without numbers; None if it can't."""
    try:
        with limits(TIME_LIMIT, MEMORY_LIMIT), contextlib.redirect_stdout(Output()), LargestTensor() as most:
            exercise.run(answer, *arguments)
    except (Exception, Stopped):
        return None
    return most.bytes
