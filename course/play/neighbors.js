// Neighbors: the tokens nearest to a token, and where a - b + c leads.
import { bar_row, follow, frame, h, status, token_row } from "./kit.js";

export async function neighbors(root, ask, start = {}) {
  const field = (label, value, oninput) => h("input", { type: "text", "aria-label": label, value, spellcheck: "false", oninput });
  const word = field("A token; a space in front counts", start.token ?? "", () => refresh());
  const pieces = h("div"), bars = h("div", { class: "play-bars" });
  const [line, say] = status(), [line_2, say_2] = status();
  const terms = ["a", "minus b", "plus c"].map((name, i) => field(name, start.analogy?.[i] ?? "", () => solve()));
  const hide = h("input", { type: "checkbox", onchange: () => draw_analogy() });
  const result = h("div", { class: "play-bars" });
  frame(root, "Neighbors.", "Tokens that are used alike have vectors that point alike. A space in front is part of the token.",
    word, pieces, line, bars,
    h("p", {}, h("strong", {}, "Arithmetic. "), "Which token is nearest to the first, minus the second, plus the third?"),
    h("div", { class: "play-terms" }, terms[0], h("span", {}, "−"), terms[1], h("span", {}, "+"), terms[2]),
    h("label", { class: "play-check" }, hide, " leave out the three you put in, as the papers do"), line_2, result);

  const request = follow(ask, draw, say);
  const refresh = () => request("nearest", { token: word.value });
  const solving = follow(ask, (answer) => draw_analogy((found = answer)), say_2);
  const solve = () => solving("analogy", { words: terms.map((term) => term.value) });
  let found = null;

  const cosine = ({ label, cosine }, options) => bar_row(label, Math.max(0, cosine), cosine.toFixed(2), options);

  function draw({ tokens, chosen, nearest }) {
    const focused = pieces.contains(document.activeElement);
    pieces.replaceChildren(tokens.length > 1
      ? token_row("Several tokens; compared is", tokens, chosen, (i) => request("nearest", { token: word.value, chosen: i }))
      : "");
    if (focused) pieces.querySelectorAll("input")[chosen]?.focus();
    say(tokens.length ? `Nearest to ${tokens[chosen].label}, by the cosine of the angle between the vectors:` : "Type a token.");
    bars.replaceChildren(...nearest.map((token) => cosine(token)));
  }

  function draw_analogy() {
    if (!found) return;
    say_2(found.problem ?? "");
    result.replaceChildren(...(found.found ?? []).filter(({ given }) => !(given && hide.checked)).slice(0, 8)
      .map((token) => cosine(token, { color: token.given ? "var(--play-orange)" : "var(--play-green)" })));
    if (found.found?.some(({ given }) => given) && !hide.checked) say_2("Orange: a token that you put in yourself.");
  }

  if (start.first) draw(start.first);
  else await refresh();
  await solve();
}
