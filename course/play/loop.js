// The loop: a text, its most likely next tokens as bars; take one, and it is part of the text.
import { bar_row, follow, frame, h, percent, slider, status } from "./kit.js";

const TEMPERATURES = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 3, 5];
const TOP_K = [1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200, 500, 1000, null];
const TOP_P = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, null];

export async function loop(root, ask, start = {}) {
  const settings = { temperature: start.temperature ?? 1, top_k: start.top_k ?? null, top_p: start.top_p ?? null };
  let ids = null; // the text's tokens; null while they aren't known because somebody typed
  let room = 1, writing = false;

  const text = h("textarea", { "aria-label": "The text so far", spellcheck: "false", rows: 3, oninput: retype });
  const button = (name, onclick, main) => h("button", { type: "button", class: main && "play-main", onclick }, name);
  const write = button("Write on", () => (writing ? stop() : write_on()), true);
  const back = button("Take one back", () => take(ids?.slice(0, -1)));
  const again = button("Start over", () => {
    text.value = start.text ?? "";
    retype();
  });
  const bars = h("div", { class: "play-bars", role: "group", "aria-label": "The most likely next tokens" });
  const [line, say] = status();
  const knob = (name, label, values, show) => {
    if (!values.includes(settings[name])) values = [...values, settings[name]].sort((a, b) => (a ?? 1e9) - (b ?? 1e9));
    return slider(label, values, settings[name], show, (value) => {
      settings[name] = value;
      refresh();
    });
  };
  const curve = h("figure");
  frame(root, "The loop.", "Pick the next token, or let the model write on.",
    text, h("div", { class: "play-buttons" }, write, back, again), line, bars,
    h("div", { class: "play-sliders" },
      knob("temperature", "temperature", TEMPERATURES, (t) => (t === 0 ? "0 (greedy)" : String(t))),
      knob("top_k", "top-k", TOP_K, (k) => (k === null ? "off" : String(k))),
      knob("top_p", "top-p", TOP_P, (p) => (p === null ? "off" : String(p)))),
    curve);

  const details = () => ({ text: text.value, ids, ...settings });
  const request = follow(ask, draw, say);
  const refresh = () => request("next", details());

  function retype() {
    ids = null;
    stop();
    refresh();
  }

  function take(longer) {
    if (!longer) return;
    ids = longer;
    return refresh();
  }

  function stop() {
    writing = false;
    write.textContent = "Write on";
  }

  async function write_on() {
    writing = true;
    write.textContent = "Stop";
    try {
      while (writing && room > 0) {
        const drawn = await ask("draw", details());
        if (writing && drawn.ended) {
          stop();
          say("The model ended its text here. Take a token back or type on.");
        } else if (writing) {
          await take(drawn.ids);
        }
      }
    } catch (error) {
      say(error.message);
    }
    stop();
  }

  function draw(answer) {
    if (ids !== null || text.value === "") text.value = answer.text; // never under the hands of who types
    ids = answer.tokens.map((token) => token.id);
    room = answer.room;
    const focused = [...bars.children].indexOf(document.activeElement);
    const longest = Math.max(0.3, ...answer.top.map((token) => Math.max(token.p, token.chance)));
    bars.replaceChildren(...answer.top.map((token) => {
      const cut = token.chance === 0, share = cut ? token.p : token.chance;
      return bar_row(token.label, share / longest, cut ? "cut" : percent(share), {
        hollow: cut, onclick: () => take([...ids, token.id]),
        hint: `Append ${token.label}: ${cut ? `cut off, it had ${percent(share)}` : percent(share)}`,
      });
    }));
    if (focused >= 0) bars.children[Math.min(focused, bars.children.length - 1)].focus();
    for (const bar of bars.children) bar.disabled = room < 1;
    curve.replaceChildren(...draw_curve(answer));
    back.disabled = ids.length === 0;
    write.disabled = room < 1;
    if (room < 1) say("The text is as long as this model can read.");
  }

  text.value = start.text ?? "";
  if (start.first) draw(start.first);
  else await refresh();
}

/** Draw how the probabilities add up from the most likely token on, and where the cut is. */
function draw_curve({ curve, kept, vocab_size }) {
  const x = (rank) => (100 * Math.log(rank)) / Math.log(vocab_size), y = (sum) => 100 * (1 - sum);
  const path = curve.map(([rank, sum], i) => `${i ? "L" : "M"}${x(rank).toFixed(2)} ${y(sum).toFixed(2)}`).join("");
  const area = (from, to, color) => h("rect", { x: from, y: 0, width: to - from, height: 100, fill: color });
  const tick = (rank, name) => h("span", { style: `left: ${x(rank)}%` }, name);
  const all = kept === vocab_size, n = (number) => number.toLocaleString("en-US");
  return [
    h("div", { class: "play-plot", role: "img", "aria-label": `Sum of the probabilities, most likely first. ${n(kept)} tokens stay` },
      h("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" },
        area(0, x(kept), "color-mix(in srgb, var(--play-blue) 22%, transparent)"),
        h("path", { d: path, fill: "none", stroke: "var(--play-orange)", "stroke-width": 3, "vector-effect": "non-scaling-stroke" }),
        all ? null : h("line", {
          x1: x(kept), x2: x(kept), y1: 0, y2: 100, stroke: "var(--play-blue)", "stroke-width": 3, "vector-effect": "non-scaling-stroke" })),
      h("div", { class: "play-ticks", "aria-hidden": "true" },
        tick(1, "1st"), [10, 100, 1000, 10000].filter((rank) => rank < vocab_size / 3).map((rank) => tick(rank, `${n(rank)}th`)), tick(vocab_size, n(vocab_size)))),
    h("figcaption", {}, "The curve adds the probabilities up, most likely token first. ",
      all ? `Nothing is cut: all ${n(vocab_size)} tokens can be drawn.` : `The cut leaves ${n(kept)} of ${n(vocab_size)} tokens: the blue part.`),
  ];
}
