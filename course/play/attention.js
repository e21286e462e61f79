// Attention: one head's shares over a text, and the five steps that lead to one token's.
import { bar_row, follow, frame, h, percent, shade, slider, status, token_row } from "./kit.js";

const STEPS = ["query and keys", "scores", "mask", "softmax", "weighted sum"];
const WORDS = [
  "The token's query, and the key of every token: D numbers each. Blue is below zero, orange above.",
  "Each score is the dot product of query and key, divided by the root of D.",
  "Tokens that come later are crossed out: their score becomes −∞.",
  "Softmax turns the scores into shares that add up to 1.",
  "Each token's value times its share, added up: that is what this head hands on.",
];

export async function attention(root, ask, start = {}) {
  const state = { layer: start.layer ?? 0, head: start.head ?? 0, position: null, step: 3 };
  const text = h("input", { type: "text", "aria-label": "A text", spellcheck: "false", value: start.text ?? "", oninput: () => refresh() });
  const pick = (name) => h("select", { "aria-label": name, onchange: (event) => {
    state[name] = Number(event.target.value);
    refresh();
  } });
  const layer = pick("layer"), head = pick("head");
  const row = h("div"), table = h("div", { class: "play-scroll" });
  const [line, say] = status(), told = h("p", { role: "status" });
  const step = slider("step", STEPS.map((_, i) => i), state.step, (i) => `${i + 1} of 5: ${STEPS[i]}`, (i) => {
    state.step = i;
    draw_steps();
  });
  frame(root, "Attention.", "Choose a token: what does it take from each token before it?",
    text, h("div", { class: "play-buttons" }, h("label", {}, "block ", layer), h("label", {}, "head ", head)),
    row, line, step, told, table);

  const request = follow(ask, draw, say), follow_steps = follow(ask, (answer) => draw_steps((steps = answer)), say);
  const refresh = () => request("look", { text: text.value, layer: state.layer, head: state.head });
  let look = null, steps = null;

  const options = (select, n, chosen) =>
    select.replaceChildren(...Array.from({ length: n }, (_, i) => h("option", { value: i, selected: i === chosen }, String(i))));

  function draw(answer) {
    look = answer;
    options(layer, answer.layers, state.layer);
    options(head, answer.heads, state.head);
    state.position = Math.min(state.position ?? Infinity, answer.tokens.length - 1);
    const fieldset = token_row("What does it take?", answer.tokens, state.position, choose);
    row.replaceChildren(fieldset);
    fieldset.querySelectorAll(".play-token").forEach((token, i) => {
      token.addEventListener("pointerenter", () => paint(i));
      token.addEventListener("pointerleave", () => paint(state.position));
    });
    choose(state.position);
  }

  /** Color the tokens by what token i takes from each. */
  function paint(i) {
    row.querySelectorAll(".play-token").forEach((token, s) => {
      token.setAttribute("style", shade(look.shares[i][s]).style);
      token.classList.toggle("play-asks", s === i);
    });
    const best = look.shares[i].indexOf(Math.max(...look.shares[i]));
    say(`${look.tokens[i].label} takes most from ${look.tokens[best].label}: ${percent(look.shares[i][best])}`);
  }

  function choose(i) {
    state.position = i;
    paint(i);
    follow_steps("steps", { text: text.value, layer: state.layer, head: state.head, position: i });
  }

  function draw_steps() {
    if (!steps || steps.seen.length !== look.tokens.length) return;
    const { products, scores, seen, shares, query, keys, values, sum } = steps, at = state.step;
    told.textContent = WORDS[at];
    const number = (value) => value.toFixed(2).replace("-", "−");
    const largest = Math.max(...scores.map(Math.abs), 1e-9), most = Math.max(...shares);
    const rows = look.tokens.map(({ label }, s) => {
      const hidden = at > 1 && !seen[s];
      if (at === 0) return strip_row(label, keys[s]);
      if (at === 4) return strip_row(label, values[s], seen[s] ? percent(shares[s]) : "0", Math.sqrt(shares[s] / most));
      if (at === 3) return bar_row(label, shares[s] / most, percent(shares[s]), { hollow: hidden });
      return bar_row(label, Math.abs(scores[s]) / largest, hidden ? "−∞" : number(scores[s]), {
        hollow: hidden, color: scores[s] < 0 ? "var(--play-blue)" : "var(--play-orange)",
        hint: `${label}: product ${number(products[s])}, score ${hidden ? "minus infinity" : number(scores[s])}` });
    });
    const top = at === 0 ? [strip_row(`query of ${look.tokens[state.position].label}`, query)] : [];
    const bottom = at === 4 ? [strip_row("the sum", sum, "", 1)] : [];
    table.replaceChildren(h("div", { class: "play-bars" }, top, rows, bottom));
  }

  if (start.first) draw(start.first);
  else await refresh();
}

/** Return a row with a vector as a strip of colors: blue below zero, orange above. */
function strip_row(name, vector, number = "", opacity = 1) {
  const most = Math.max(...vector.map(Math.abs), 1e-9);
  const cells = vector.map((value) => {
    const color = value < 0 ? "var(--play-blue)" : "var(--play-orange)";
    return h("i", { style: `background: color-mix(in srgb, ${color} ${Math.round((100 * Math.abs(value)) / most)}%, transparent)` });
  });
  return h("div", { class: "play-bar" }, h("span", { class: "play-name" }, name),
    h("span", { class: "play-strip", style: `opacity: ${opacity}`, role: "img", "aria-label": `${vector.length} numbers up to ${most.toFixed(2)}` }, cells),
    h("span", { class: "play-number" }, number));
}
