// The tokenizer box: type, and see the tokens; choose one, and see the merges that made its word.
import { follow, frame, h, slider, status, token_row } from "./kit.js";

const COLORS = ["blue", "orange", "green", "purple", "red"].map((name) => `var(--play-${name})`);

export async function tokenizer_box(root, ask, start = {}) {
  const text = h("textarea", { "aria-label": "Text to cut into tokens", spellcheck: "false", rows: 2, oninput: () => refresh() });
  const sides = h("div"), word = h("div");
  const [line, say] = status();
  frame(root, "The tokenizer.", "Type anything. Choose a token to see the merges that made it.", text, sides, line, word);

  const request = follow(ask, draw, say), unfold = follow(ask, draw_merges, say);
  const refresh = () => request("tokens", { text: text.value });

  function draw(answer) {
    sides.replaceChildren(...answer.sides.map((side, number) => {
      const { name, tokens, vocab_size } = side, detail = h("span");
      const choose = (i) => {
        for (const row of sides.querySelectorAll("input")) row.checked = row.checked && side_of(row) === number;
        const { label, id, bytes, chunk } = tokens[i];
        detail.replaceChildren(`${label} has the id ${id} and the bytes ${bytes}`);
        unfold("merges", { chunk: answer.chunks[chunk], side: number });
      };
      const count = `${tokens.length} token${tokens.length === 1 ? "" : "s"} of ${vocab_size.toLocaleString("en-US")}`;
      return h("div", { "data-side": number },
        token_row(`${name}: ${count}`, tokens, -1, choose, (i) => ({
          style: `background: color-mix(in srgb, ${COLORS[i % COLORS.length]} 32%, transparent)`,
          title: `id ${tokens[i].id}, bytes ${tokens[i].bytes}`,
        })),
        h("p", { role: "status" }, detail));
    }));
    word.replaceChildren();
    say(answer.text === text.value ? "" : "Only the first 300 letters are shown.");
  }

  const side_of = (input) => Number(input.closest("[data-side]").dataset.side);

  function draw_merges({ chunk, rows, steps }) {
    const n = rows[0].reduce((sum, { bytes }) => sum + bytes, 0);
    const tree = h("div", { class: "play-scroll" }), told = h("p", { role: "status" });
    const show = (count) => {
      tree.replaceChildren(h("div", { class: "play-tree", style: `grid-template-columns: repeat(${n}, minmax(2.1rem, 1fr))` },
        rows.slice(0, count + 1).flatMap((row, r) => {
          const before = places(rows[Math.max(0, r - 1)]);
          return row.map(({ label, bytes }, i) => {
            const made = !before.includes(places(row)[i]);
            return h("span", { class: made && "play-made", style: `grid-column: span ${bytes}` }, label);
          });
        })));
      const step = steps[count - 1];
      told.textContent = step
        ? `Merge ${count} of ${steps.length}: ${step.left} + ${step.right}, number ${(step.rank + 1).toLocaleString("en-US")} in the list.`
        : `${n} bytes, before any merge.`;
    };
    const counts = Array.from({ length: steps.length + 1 }, (_, i) => i);
    const title = h("p", {}, h("strong", {}, `How ${chunk} is made: `), "the pair that stands first in the list of merges goes first.");
    word.replaceChildren(title,
      steps.length ? slider("merges", counts, steps.length, (count) => `${count} of ${steps.length}`, show) : "", tree, told);
    show(steps.length);
  }

  /** Return where each symbol of a row stands, as a text that can be compared. */
  function places(row) {
    let at = 0;
    return row.map(({ bytes }) => `${at} to ${(at += bytes)}`);
  }

  text.value = start.text ?? "";
  if (start.first) draw(start.first);
  else await refresh();
}
