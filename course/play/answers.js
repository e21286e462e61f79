// What the explorables ask, answered in the browser by gpt2.js: the same questions that their Python files answer.
import {
  BYTE_OF, Generator, KVCache, Sampler, best_pair, greedy, linear, merge_pair, softmax, split_text, to_symbols,
} from "./gpt2.js";

const RANKS = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 3000, 5000, 10000, 20000];

/** Return a token's text with what can't be seen made visible. */
function visible(text) {
  return text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥");
}

/** Return how bytes are written in a picture: as text if they are whole letters, as hexadecimal numbers if not. */
function written(bytes) {
  try {
    return visible(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes)));
  } catch {
    return Array.from(bytes, (byte) => `\\x${hex(byte)}`).join("");
  }
}

/** Return a byte as two hexadecimal digits. */
function hex(byte) {
  return byte.toString(16).padStart(2, "0");
}

/** Return tokens as the pictures take them. */
function named(tokenizer, ids) {
  return Array.from(ids, (id) => ({ id, label: written(tokenizer.bytes(id)) }));
}

/** Return ids in the order of their numbers, the largest first, of equal ones the smaller id. */
function ranking(numbers) {
  return Array.from(numbers.keys()).sort((a, b) => numbers[b] - numbers[a] || a - b);
}

/** Return a function that gives the logits after ids, and computes only what a text adds to the one before it. */
function reader(model) {
  const cache = new KVCache(model.config);
  let held = [], logits = null;
  return (ids) => {
    let same = 0;
    while (same < held.length && held[same] === ids[same]) same++;
    if (same === ids.length && same === held.length) return logits;
    cache.truncate(Math.min(same, ids.length - 1)); // at least one token is read, for its logits
    logits = model.forward(ids.slice(cache.length), cache, { last_only: true });
    held = [...ids];
    return logits;
  };
}

/** Answer what the loop asks. */
export function loop_answers(model, tokenizer, { seed = Math.floor(Math.random() * 2 ** 32) } = {}) {
  const limit = model.config.n_positions, generator = Generator(seed), logits_after = reader(model);
  const read = ({ text, ids }) => {
    ids ??= tokenizer.encode(text, true);
    return [ids, logits_after((ids.length ? ids : [tokenizer.end_of_text]).slice(-limit))];
  };
  return {
    next({ temperature, top_k, top_p, ...rest }) {
      const [ids, logits] = read(rest);
      const uncut = Sampler({ temperature }).distribution(logits);
      const chances = Sampler({ temperature, top_k, top_p }).distribution(logits);
      const order = ranking(uncut);
      let sum = 0;
      const sums = order.map((id) => (sum += uncut[id]));
      return {
        text: tokenizer.decode(ids),
        tokens: named(tokenizer, ids),
        top: named(tokenizer, order.slice(0, 10)).map((token) => ({ ...token, p: uncut[token.id], chance: chances[token.id] })),
        kept: chances.reduce((n, p) => n + (p > 0), 0),
        vocab_size: sums.length,
        curve: [...RANKS, sums.length].filter((rank) => rank <= sums.length).map((rank) => [rank, sums[rank - 1]]),
        room: limit - ids.length,
      };
    },
    draw({ temperature, top_k, top_p, ...rest }) {
      const [ids, logits] = read(rest), drawn = Sampler({ temperature, top_k, top_p, generator })(logits);
      return { ids: [...ids, drawn], ended: drawn === tokenizer.end_of_text };
    },
  };
}

/** Answer what the tokenizer box asks; tokenizers: name -> Tokenizer. */
export function tokenizer_box_answers(tokenizers) {
  const text_of = (symbol) => written(Array.from(symbol, (letter) => BYTE_OF.get(letter)));
  return {
    tokens({ text }) {
      text = Array.from(text).slice(0, 300).join("");
      const chunks = split_text(text);
      const sides = Object.entries(tokenizers).map(([name, tokenizer]) => ({
        name,
        vocab_size: tokenizer.vocab_size,
        tokens: chunks.flatMap((chunk, c) => tokenizer.encode(chunk).map((id) => ({
          id, label: written(tokenizer.bytes(id)), chunk: c, bytes: tokenizer.bytes(id).map(hex).join(" "),
        }))),
      }));
      return { text, chunks, sides };
    },
    merges({ chunk, side }) {
      const { ranks } = Object.values(tokenizers)[side];
      let symbols = to_symbols(chunk);
      const rows = [symbols], steps = [];
      for (let pair; (pair = best_pair(symbols, ranks)); ) {
        rows.push((symbols = merge_pair(symbols, pair)));
        steps.push({ left: text_of(pair[0]), right: text_of(pair[1]), rank: ranks.get(pair.join(" ")) });
      }
      const shown = rows.map((row) => row.map((symbol) => ({ label: text_of(symbol), bytes: symbol.length })));
      return { chunk: visible(chunk), rows: shown, steps };
    },
  };
}

/** Answer what the neighbors ask. */
export function neighbors_answers(model, tokenizer) {
  const wte = model.weights["wte.weight"], C = model.config.n_embd, V = model.config.vocab_size;
  const row = (id) => wte.subarray(id * C, (id + 1) * C);
  const length = (vector) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  const lengths = Array.from({ length: V }, (_, id) => length(row(id)));
  const ranked = (vector, n) => {
    const own = length(vector), similarity = linear(vector, wte, null, V).map((dot, id) => dot / own / lengths[id]);
    const best = ranking(similarity).slice(0, n);
    return named(tokenizer, best).map((token) => ({ ...token, cosine: similarity[token.id] }));
  };
  return {
    nearest({ token, chosen = null }) {
      const ids = tokenizer.encode(token);
      if (!ids.length) return { tokens: [], chosen: 0, nearest: [] };
      chosen ??= ids.length - 1;
      const nearest = ranked(row(ids[chosen]), 11).filter(({ id }) => id !== ids[chosen]).slice(0, 10);
      return { tokens: named(tokenizer, ids), chosen, nearest };
    },
    analogy({ words }) {
      const ids = words.map((word) => tokenizer.encode(word)), wrong = ids.findIndex((found) => found.length !== 1);
      if (wrong >= 0) {
        return { problem: `'${words[wrong]}' is not one token of this vocabulary, and only a token has a vector` };
      }
      const [a, b, c] = ids.map(([id]) => row(id));
      const found = ranked(Float64Array.from(a, (value, i) => value - b[i] + c[i]), 13);
      return { found: found.map((token) => ({ ...token, given: ids.flat().includes(token.id) })) };
    },
  };
}

/** Answer what the picture of attention asks. */
export function attention_answers(model, tokenizer) {
  const { n_embd: C, n_head: H, n_layer } = model.config, D = C / H;
  const run = (text, layer) => {
    const ids = tokenizer.encode(text).slice(0, 32);
    if (!ids.length) ids.push(tokenizer.end_of_text);
    let seen;
    model.forward(ids, null, { last_only: true, see: (name, parts) => name === `h.${layer}.attn` && (seen = parts) });
    return [ids, seen];
  };
  const rows = (matrix, head, T) => Array.from({ length: T }, (_, t) => [...matrix.subarray(t * C + head * D, t * C + (head + 1) * D)]);
  const shares = (weights, head, t, T) => [...weights.subarray((t * H + head) * T, (t * H + head + 1) * T)];
  return {
    look({ text, layer, head }) {
      const [ids, { weights }] = run(text, layer), T = ids.length;
      return { tokens: named(tokenizer, ids), layers: n_layer, heads: H, shares: ids.map((_, t) => shares(weights, head, t, T)) };
    },
    steps({ text, layer, head, position }) {
      const [ids, { q, k, v, weights, y }] = run(text, layer), T = ids.length;
      const [query, keys] = [rows(q, head, T)[position], rows(k, head, T)];
      const products = keys.map((key) => key.reduce((sum, value, d) => sum + value * query[d], 0));
      return {
        query, keys, products, scores: products.map((product) => product / Math.sqrt(D)),
        seen: ids.map((_, s) => s <= position), shares: shares(weights, head, position, T),
        values: rows(v, head, T), sum: rows(y, head, T)[position],
      };
    },
  };
}

/** Answer what the picture of the stream asks. */
export function stream_answers(model, tokenizer) {
  const { n_embd: C } = model.config;
  return {
    read({ text, position = null }) {
      const ids = tokenizer.encode(text).slice(0, 32);
      if (!ids.length) ids.push(tokenizer.end_of_text);
      position = Math.min(position ?? Infinity, ids.length - 1);
      const streams = [model.embed(ids)];
      model.forward(ids, null, { last_only: true, see: (name, x) => /^h\.\d+$/.test(name) && streams.push(x) });
      const rows = streams.map((x, i) => {
        const p = softmax(model.unembed(x.slice(position * C, (position + 1) * C)));
        const top = named(tokenizer, ranking(p).slice(0, 5)).map((token) => ({ ...token, p: p[token.id] }));
        return { name: i ? `block ${i - 1}` : "embedding", top };
      });
      return { tokens: named(tokenizer, ids), position, rows };
    },
  };
}

/** Answer what the picture of the cache asks. */
export function cache_answers(model, tokenizer) {
  const { n_embd: C, n_layer, vocab_size, n_positions } = model.config, STEPS = 12;
  const products = (start, end) => {
    const looked_at = (end * (end + 1) - start * (start + 1)) / 2;
    return n_layer * (12 * C * C * (end - start) + 2 * C * looked_at) + vocab_size * C;
  };
  return {
    run({ text }) {
      const ids = tokenizer.encode(text).slice(0, Math.max(1, n_positions - STEPS));
      if (!ids.length) ids.push(tokenizer.end_of_text);
      const prompt = ids.length, kept = new KVCache(model.config), steps = [];
      let same = true;
      while (steps.length < STEPS && ids.length < n_positions) {
        const start = kept.length, end = ids.length;
        const logits = model.forward(ids.slice(start), kept, { last_only: true });
        const whole = model.forward(ids, null, { last_only: true });
        same = same && logits.every((z, i) => Math.abs(z - whole[i]) < 1e-3);
        steps.push({ start, end, with: products(start, end), without: products(0, end) });
        ids.push(greedy(logits));
      }
      return { tokens: named(tokenizer, ids), prompt, layers: n_layer, numbers: 2 * n_layer * C, steps, same };
    },
  };
}
