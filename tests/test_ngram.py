"""The n-gram baseline of the model card: by hand, and as a distribution."""

import ngram as script
import numpy as np
import pytest

from gpt2lib import Tokenizer


def test_a_tiny_text_worked_out_by_hand():
    """a b a b a c: bigrams ab 2, ba 2, ac 1; followed by: a by 2 kinds; continued: a after b, b and c after a."""
    model = script.KneserNey(np.array([0, 1, 0, 1, 0, 2]), 4, 2)
    # unigrams by contexts: a 1, b 1, c 1, d 0; all are ones, so the discount is 1 and all goes to 1/4
    # bigrams: ones 1, twos 2, so the discount is 1/5; after a (3 times, 2 kinds) and after b (2 times, 1 kind)
    expected = [1 / 4, (2 - 1 / 5) / 3 + 1 / 5 * 2 / 3 / 4, 1 / 5 * 1 / 2 / 4]
    np.testing.assert_allclose(model.probabilities(np.array([0, 1, 2])), expected)
    assert model.bits(np.array([0, 1, 2])) == pytest.approx(-np.log2(expected).sum())
    # by counts: a 3, b 2, c 1, so the discount is 1/3 for three kinds
    np.testing.assert_allclose(
        model.probabilities(np.array([0, 3]), order=1), [(3 - 1 / 3) / 6 + 1 / 6 / 4, 1 / 6 / 4]
    )


@pytest.mark.parametrize("order", range(1, 6))
@pytest.mark.parametrize("text", ["abracadabra", "aaaaaa", "abcdef", "aabbaabbccddccdd", "random"])
def test_the_probabilities_of_all_symbols_add_up_to_one(text, order):
    size = 7  # more than any of these texts has
    symbols = np.array([ord(c) - ord("a") for c in text]) % size
    if text == "random":
        symbols = np.random.default_rng(0).integers(0, 5, 500)
    model = script.KneserNey(symbols, size, order)
    for context in (symbols[:0], symbols[:1], symbols[2:4], symbols[-6:], np.array([6, 6, 0, 1, 2])):
        for n in range(1, order + 1):
            each = [model.probabilities(np.append(context, symbol), n)[-1] for symbol in range(size)]
            assert sum(each) == pytest.approx(1) and min(each) > 0


def test_a_model_of_a_lower_order_is_the_one_that_was_counted_to_there():
    train, held_out = np.random.default_rng(1).integers(0, 5, (2, 300))
    whole = script.KneserNey(train, 5, 4)
    for n in range(1, 5):
        part = script.KneserNey(train, 5, n)
        np.testing.assert_allclose(whole.probabilities(held_out, n), part.probabilities(held_out))


@pytest.mark.parametrize("order", [0, 4])
def test_an_order_that_cannot_be_counted_is_an_error(order):
    with pytest.raises(ValueError, match=f"order is {order}, but it must be from 1 to 3"):
        script.KneserNey(np.array([0, 1, 2]), 3, order)


def test_the_command_prints_every_order_and_the_best(tmp_path, capsys):
    tokenizer = Tokenizer.train("the cat sat on the mat and the dog sat on the cat. " * 5, 280)
    tokenizer.save(tmp_path)
    (tmp_path / "train.txt").write_text("the cat sat on the mat<|endoftext|>the dog sat on the cat. " * 5)
    (tmp_path / "one.txt").write_text("the dog sat on the mat")
    (tmp_path / "two.txt").write_text("a bird flew by")
    texts = [str(tmp_path / name) for name in ("one.txt", "two.txt")]
    script.main(
        [
            "--text",
            str(tmp_path / "train.txt"),
            "--validation",
            *texts,
            "--tokenizer",
            str(tmp_path),
            "--max-order",
            "3",
        ]
    )
    *each, best = capsys.readouterr().out.splitlines()
    assert len(each) == 6 and best.startswith("best: ")
    figures = {
        line.split(": ")[0]: [float(x) for x in line.split(": ")[1].split(" bits")[0].split(", ")]
        for line in each
    }
    name = best.removeprefix("best: ").split(", ")[0]
    assert figures[name][0] == min(first for first, _ in figures.values())
    assert all(first < second for first, second in figures.values())
