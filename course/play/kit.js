// What the explorables share: elements, sliders, the tokens of a text, and a way to ask for numbers.
//
// Each explorable is a function (root, ask, start): it draws into the element `root` and gets its numbers from
// `await ask(question, details)`. In a notebook the kernel answers (`kernel`), on a page `answers.js` (`here`).

/** Return an element: h("button", { class: "big", onclick }, "text", other). */
export function h(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "rect", "circle", "g"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  // JupyterLab gives the arrows and letters to the notebook unless the focused element itself says no
  if (/^(button|input|select|textarea)$/.test(tag)) element.setAttribute("data-lm-suppress-shortcuts", "true");
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/** Return a way to ask the notebook's kernel; it rejects with what went wrong there. */
export function kernel(model) {
  const waiting = new Map();
  const own = unique(); // two views of one widget must not take each other's answers
  model.on("msg:custom", ({ id, answer, error }) => {
    if (!waiting.has(id)) return;
    const [resolve, reject] = waiting.get(id);
    waiting.delete(id);
    error ? reject(new Error(error)) : resolve(answer);
  });
  return (question, details) =>
    new Promise((resolve, reject) => {
      const id = `${own}-${waiting.size}-${performance.now()}`;
      waiting.set(id, [resolve, reject]);
      model.send({ id, question, details });
    });
}

/** Return a way to ask functions on this page. They run a moment later, so that the page can be painted first. */
export function here(answers) {
  return async (question, details) => {
    await new Promise((ready) => setTimeout(ready));
    return answers[question](details);
  };
}

/** Return the place for the picture: a title, a sentence, what follows. */
export function frame(root, title, hint, ...children) {
  const box = h(
    "section",
    { class: "play", "aria-label": title },
    h("p", { class: "play-title" }, h("strong", {}, title), " ", hint), ...children,
  );
  root.replaceChildren(box);
  return box;
}

/**
 * Return ask(question, details) -> draw(answer), for what changes quickly: of several questions only the latest is
 * asked, one at a time. `say(text)` is told when an answer takes long, and what went wrong.
 */
export function follow(ask, draw, say) {
  let asking = false, latest = null, told = false;
  const tell = (text) => {
    if (text || told) say(text); // what `draw` has said stays
    told = Boolean(text);
  };
  return async (question, details) => {
    latest = [question, details];
    if (asking) return;
    asking = true;
    while (latest) {
      const now = latest;
      latest = null;
      const slow = setTimeout(() => tell(ask.slow ?? "Waiting for an answer. A kernel answers when its cells are done …"), 1500);
      try {
        const answer = await ask(...now);
        if (!latest) {
          tell("");
          draw(answer);
        }
      } catch (error) {
        tell(error.message);
      }
      clearTimeout(slow);
    }
    asking = false;
  };
}

/** Return [element, say]: a line that screen readers read out whenever it changes. */
export function status() {
  const line = h("p", { class: "play-status", role: "status" });
  return [line, (text) => (line.textContent = text)];
}

/** Return a labeled slider over a list of values; `show(value)` puts a value in words. */
export function slider(label, values, value, show, onchange) {
  const shown = h("span", {}, show(value));
  const now = () => values[input.value];
  const input = h("input", {
    type: "range", min: 0, max: values.length - 1, step: 1, value: Math.max(0, values.indexOf(value)), "aria-label": label,
    "aria-valuetext": show(value),
    oninput: () => {
      shown.textContent = show(now());
      input.setAttribute("aria-valuetext", show(now()));
      onchange(now());
    },
  });
  input.value = Math.max(0, values.indexOf(value));
  return h("label", { class: "play-slider" }, h("span", {}, label, " ", shown), input);
}

/** Return a name that nothing else in the document has: each widget brings its own copy of this module. */
function unique() {
  return `play-${Math.random().toString(36).slice(2)}`;
}

/**
 * Return a row of tokens of which one is chosen, by mouse or arrow keys: for a screen reader, radio buttons.
 * `choose(index)` is told; `paint(index)` may return attributes of a token, such as a style.
 */
export function token_row(label, tokens, chosen, choose, paint = () => ({})) {
  const name = unique();
  return h(
    "fieldset", { class: "play-tokens" }, h("legend", {}, label),
    tokens.map((token, i) =>
      h("label", { class: "play-token", ...paint(i) },
        h("input", { type: "radio", name, value: i, checked: i === chosen, onchange: () => choose(i) }),
        h("span", {}, token.label))),
  );
}

/** Return the style of a token that is colored by a share between 0 and 1. */
export function shade(share, color = "var(--play-blue)") {
  return { style: `background: color-mix(in srgb, ${color} ${Math.round(75 * Math.sqrt(share))}%, transparent)` };
}

/** Return a share between 0 and 1 in percent, with as many digits as one can use. */
export function percent(share) {
  if (share > 0 && share < 0.00005) return "< 0.01%";
  return `${(100 * share).toFixed(share > 0.0995 || share === 0 ? 0 : share > 0.00095 ? 1 : 2)}%`;
}

/** Return a row with a name, a bar and a number; `hollow` for a bar that does not count. */
export function bar_row(name, share, number, { hollow = false, color = "var(--play-blue)", onclick, hint } = {}) {
  const width = `${Math.max(0, Math.min(100, 100 * share))}%`;
  return h(
    onclick ? "button" : "div",
    { class: `play-bar${hollow ? " play-hollow" : ""}`, onclick, type: onclick && "button", "aria-label": hint },
    h("span", { class: "play-name" }, name),
    h("span", { class: "play-track" }, h("span", { class: "play-fill", style: `width: ${width}; background: ${color}` })),
    h("span", { class: "play-number" }, number),
  );
}
