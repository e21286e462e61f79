// The cache: step by step, what is computed, what is looked up, what is kept.
import { bar_row, follow, frame, h, slider, status } from "./kit.js";

export async function cache(root, ask, start = {}) {
  const text = h("input", { type: "text", "aria-label": "A text", spellcheck: "false", value: start.text ?? "", oninput: () => refresh() });
  const steps = h("div"), grid = h("div", { class: "play-scroll" }), counts = h("div", { class: "play-bars" });
  const [line, say] = status();
  const off = h("input", { type: "checkbox", onchange: () => show() });
  frame(root, "The cache.", "Each step writes one token. What does it have to compute?",
    text, steps, h("label", { class: "play-check" }, off, " without a cache"), line, grid, counts);

  const request = follow(ask, draw, say);
  const refresh = () => request("run", { text: text.value });
  let answer = null, at = 3; // a step that has something to look up

  function draw(found) {
    answer = found;
    const numbers = answer.steps.map((_, i) => i);
    at = Math.min(at, numbers.length - 1);
    steps.replaceChildren(slider("step", numbers, at, (i) => `${i + 1} of ${numbers.length}`, (i) => {
      at = i;
      show();
    }));
    show();
  }

  function show() {
    if (!answer) return;
    const { tokens, layers, numbers } = answer, { start: kept, end } = answer.steps[at];
    const old = off.checked ? 0 : kept;
    const cell = (i) => h("td", { class: i < old ? "play-old" : "play-new" }, i < old ? "↑" : "✱");
    const seen = tokens.slice(0, end);
    grid.replaceChildren(h("table", { class: "play-grid" },
      h("caption", { class: "play-hidden" }, "Keys and values of each block and token: computed in this step or looked up"),
      h("thead", {}, h("tr", {}, h("th", {}), seen.map(({ label }, i) => h("th", { scope: "col", class: i >= old ? "play-read" : null }, label)), h("th", { class: "play-next" }, `→ ${tokens[end].label}`))),
      h("tbody", {}, Array.from({ length: layers }, (_, i) => h("tr", {}, h("th", { scope: "row" }, `block ${i}`), seen.map((_, t) => cell(t)))))));
    const n = (number) => number.toLocaleString("en-US");
    say(`✱ computed now: ${n((end - old) * layers)} keys and as many values. ↑ looked up: ${n(old * layers)}. `
      + (off.checked ? "Nothing is kept." : `Kept after this step: ${n(end * numbers)} numbers.`));
    const total = (kind) => answer.steps.slice(0, at + 1).reduce((sum, step) => sum + step[kind], 0);
    const all = answer.steps.reduce((sum, step) => sum + step.without, 0), millions = (products) => `${n(Math.round(products / 1e6))} M`;
    counts.replaceChildren(
      h("p", {}, "Multiplications up to this step", answer.same ? " (the tokens are the same either way):" : ":"),
      bar_row("with a cache", total("with") / all, millions(total("with")), { color: "var(--play-green)" }),
      bar_row("without", total("without") / all, millions(total("without")), { color: "var(--play-orange)" }));
  }

  if (start.first) draw(start.first);
  else await refresh();
}
