// What the website's pages do: open their explorables, and load the model only when somebody touches one.

/** Return a function that loads `tales` the first time it is called; `progress(share)` is told how far it is. */
function loader() {
  let loaded = null;
  return (progress) => {
    loaded ??= (async () => {
      const { from_pretrained } = await import("./play/gpt2.js");
      return from_pretrained(new URL("tales", import.meta.url), progress);
    })();
    loaded.catch(() => (loaded = null)); // the next touch tries again
    return loaded;
  };
}

const load = loader();

/** Return the answers to what an explorable asks; `first` is what it was drawn with. */
async function answers(name, first, progress) {
  const { [`${name}_answers`]: make } = await import("./play/answers.js");
  if (name !== "tokenizer_box") return make(...(await load(progress)));
  const { Tokenizer, read_merges } = await import("./play/gpt2.js");
  const read = async (folder) => new Tokenizer(read_merges(await (await fetch(new URL(`${folder}/merges.txt`, import.meta.url))).text()));
  const folders = { "GPT-2": "gpt2", tales: "tales" }, names = first.sides.map((side) => side.name);
  return make(Object.fromEntries(await Promise.all(names.map(async (side) => [side, await read(folders[side])]))));
}

/** Open one explorable in its place: what it shows first is in the page, the model comes with the first touch. */
async function open(place) {
  const name = place.dataset.play, start = JSON.parse(place.querySelector("script").textContent);
  const { [name]: show } = await import(`./play/${name}.js`);
  const picture = document.createElement("div"), bar = document.createElement("progress"), line = document.createElement("p");
  line.className = "loading";
  line.hidden = true;
  line.append("The model is on its way: 35 MB, once. ", bar);
  let ready = null;
  const ask = async (question, details) => {
    const slow = setTimeout(() => (line.hidden = false), 150);
    try {
      ready ??= await answers(name, start.first, (share) => share && (bar.value = share));
    } finally {
      clearTimeout(slow);
      line.hidden = true;
    }
    await new Promise((painted) => setTimeout(painted));
    return ready[question](details);
  };
  ask.slow = "";
  await show(picture, ask, start);
  place.replaceChildren(picture, line);
}

for (const place of document.querySelectorAll("[data-play]")) open(place);

for (const demo of document.querySelectorAll(".demo")) {
  demo.addEventListener("change", ({ target }) => {
    for (const note of demo.querySelectorAll("[data-answer]")) note.hidden = note.dataset.answer !== target.value;
  });
}

/** Show the mistakes that have every word that was typed, and the reason that was chosen, if any. */
function filter(words, why) {
  let shown = 0;
  for (const room of document.querySelectorAll("#museum .room")) {
    const title = room.querySelector("summary").textContent.toLowerCase();
    let any = false;
    for (const card of room.querySelectorAll("article")) {
      const text = title + card.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word)) && (!why || card.querySelector(`[href="#why-${why}"]`) !== null);
      card.hidden = !fits;
      any ||= fits;
      shown += fits;
    }
    room.hidden = !any;
    room.open = any && (words.length > 0 || why !== "");
  }
  return shown;
}

const field = document.getElementById("filter"), reason = document.getElementById("why");
for (const choice of field ? [field, reason] : []) {
  choice.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean), shown = filter(words, reason.value);
    const says = document.querySelector(`#why-${reason.value || "none"} + dd`)?.textContent ?? "";
    document.getElementById("found").textContent = words.length || says ? `${shown} found. ${says}` : "";
  });
}

/** Open the fold that a link leads into. */
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target?.scrollIntoView();
}
addEventListener("hashchange", unfold);
if (location.hash) unfold();
