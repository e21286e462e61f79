// The stream: what the model would say after each block, if it stopped there.
import { follow, frame, h, percent, shade, status, token_row } from "./kit.js";

export async function stream(root, ask, start = {}) {
  const text = h("input", { type: "text", "aria-label": "A text", spellcheck: "false", value: start.text ?? "", oninput: () => refresh() });
  const row = h("div"), table = h("div", { class: "play-scroll" });
  const [line, say] = status();
  let position = null;
  frame(root, "The stream.", "Choose a token. Each row is the guess for the next one, read after that block.", text, row, line, table);

  const request = follow(ask, draw, say);
  const refresh = () => request("read", { text: text.value, position: null });

  function draw(answer) {
    const focused = row.contains(document.activeElement);
    position = answer.position;
    row.replaceChildren(token_row("What comes after", answer.tokens, position, (i) => request("read", { text: text.value, position: i })));
    if (focused) row.querySelectorAll("input")[position].focus();
    const winner = answer.rows.at(-1).top[0];
    const first = answer.rows.findIndex((_, i) => answer.rows.slice(i).every(({ top }) => top[0].id === winner.id));
    say(`At the end ${winner.label} is the most likely, with ${percent(winner.p)}. It leads from ${answer.rows[first].name} on.`);
    table.replaceChildren(h("table", { class: "play-lens" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "read after"), answer.rows[0].top.map((_, i) => h("th", { scope: "col" }, `${i + 1}.`)))),
      h("tbody", {}, answer.rows.map(({ name, top }) => h("tr", {}, h("th", { scope: "row" }, name),
        top.map(({ label, id, p }) => h("td", shade(p, id === winner.id ? "var(--play-orange)" : "var(--play-blue)"), label, h("small", {}, percent(p)))))))));
  }

  if (start.first) draw(start.first);
  else await refresh();
}
