// GPT-2 in plain JavaScript: reads the files that gpt2lib ships or `save_pretrained` wrote, and writes text.
//
// The names are gpt2lib's, snake case included: what you built in chapter 05 under `layer_norm` is here under
// `layer_norm`. One text at a time instead of a batch, so shapes lose their B. Vectors are Float64Arrays, row after
// row: x (T, C) has token t's vector at x[t * C]. Not here: training, `tokenizer.json`, weights in several files.

// ---------------------------------------------------------------------------------- tokenizer (chapter 01)

export const END_OF_TEXT = "<|endoftext|>"; // GPT-2's one special token: it stood between documents in training

// \s as Unicode and gpt2lib's regex see it; JavaScript's own \s counts U+FEFF in and U+0085 out
const S = "\\p{White_Space}";
const SPLIT_PATTERN = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${S}\\p{L}\\p{N}]+|${S}+(?![^${S}])|${S}+`, "gu",
);

/** Cut a text into the chunks that merges never cross: words with their leading space, numbers, ... */
export function split_text(text) {
  return text.match(SPLIT_PATTERN) ?? [];
}

/** Return a printable character for each of the 256 bytes, in the order of GPT-2's first 256 ids. */
export function bytes_to_unicode() {
  const range = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const printable = [...range(33, 126), ...range(161, 172), ...range(174, 255)];
  const others = range(0, 255).filter((byte) => !printable.includes(byte));
  return new Map([
    ...printable.map((byte) => [byte, String.fromCharCode(byte)]),
    ...others.map((byte, i) => [byte, String.fromCharCode(256 + i)]),
  ]);
}

const LETTER_OF = bytes_to_unicode();
export const BYTE_OF = new Map([...LETTER_OF].map(([byte, letter]) => [letter, byte]));

/** Return the UTF-8 bytes of a chunk, each as a symbol of its own, in the letters of `bytes_to_unicode`. */
export function to_symbols(chunk) {
  return Array.from(new TextEncoder().encode(chunk), (byte) => LETTER_OF.get(byte));
}

/** Join each occurrence of a pair of neighbors, from left to right and without overlap. */
export function merge_pair(symbols, [left, right]) {
  const merged = [];
  let open = false; // whether the last symbol may still be the left half of a pair
  for (const symbol of symbols) {
    if (open && merged.at(-1) === left && symbol === right) {
      merged[merged.length - 1] += symbol;
      open = false;
    } else {
      merged.push(symbol);
      open = true;
    }
  }
  return merged;
}

/** Return the neighbors with the lowest rank, or null if no two of them are a merge. */
export function best_pair(symbols, ranks) {
  let best = null;
  for (let i = 0, least = Infinity; i + 1 < symbols.length; i++) {
    const rank = ranks.get(`${symbols[i]} ${symbols[i + 1]}`) ?? Infinity;
    if (rank < least) [least, best] = [rank, [symbols[i], symbols[i + 1]]];
  }
  return best;
}

/** Merge the symbols of one chunk as training would have: the pair with the lowest rank first. */
export function bpe(symbols, ranks) {
  for (let pair; (pair = best_pair(symbols, ranks)); ) symbols = merge_pair(symbols, pair);
  return symbols;
}

/** Return the merges in the text of a `merges.txt`: two symbols a line, in the letters of `bytes_to_unicode`. */
export function read_merges(text) {
  return text.split("\n").filter((line) => line && !line.startsWith("#version")).map((line) => line.split(" "));
}

/** Turn text into token ids and back, without loss. */
export class Tokenizer {
  constructor(merges) {
    this.symbols = [...LETTER_OF.values(), ...merges.map(([left, right]) => left + right)]; // id -> letters
    this.ids = new Map(this.symbols.map((symbol, id) => [symbol, id]));
    this.ranks = new Map(merges.map((pair, rank) => [pair.join(" "), rank]));
    this.end_of_text = this.symbols.push(END_OF_TEXT) - 1;
    this.vocab_size = this.symbols.length;
  }

  /** Return the ids of a text; with allow_special, `<|endoftext|>` in it becomes its one id. */
  encode(text, allow_special = false) {
    if (allow_special) {
      return text.split(END_OF_TEXT).flatMap((part, i) => [...(i ? [this.end_of_text] : []), ...this.encode(part)]);
    }
    return split_text(text).flatMap((chunk) => bpe(to_symbols(chunk), this.ranks).map((s) => this.ids.get(s)));
  }

  /** Return the bytes of one token. */
  bytes(id) {
    if (!(id in this.symbols)) {
      throw new RangeError(`id ${id} is not in this vocabulary, which has the ids 0 to ${this.vocab_size - 1}`);
    }
    const symbol = this.symbols[id];
    return id === this.end_of_text ? [...new TextEncoder().encode(symbol)] : Array.from(symbol, (l) => BYTE_OF.get(l));
  }

  /** Return the text of ids; bytes that are not UTF-8, as in half a character, become U+FFFD. */
  decode(ids) {
    const bytes = new Uint8Array(Array.from(ids).flatMap((id) => this.bytes(id)));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }
}

// ---------------------------------------------------------------------- the arithmetic (chapters 02 to 05)

/** Multiply each row by a matrix: x (T, n) and weight (m, n), bias (m,) or none -> (T, m). */
export function linear(x, weight, bias, m) {
  const n = weight.length / m, T = x.length / n, y = new Float64Array(T * m);
  const row = (o) => weight.subarray(o * n, (o + 1) * n);
  let o = 0;
  for (; o + 4 <= m; o += 4) { // four rows of the matrix at once, for all tokens: each number is fetched less often
    const w0 = row(o), w1 = row(o + 1), w2 = row(o + 2), w3 = row(o + 3);
    for (let t = 0; t < T; t++) {
      const from = t * n, to = t * m + o;
      let a = 0, b = 0, c = 0, d = 0;
      for (let i = 0; i < n; i++) {
        const value = x[from + i];
        a += value * w0[i], b += value * w1[i], c += value * w2[i], d += value * w3[i];
      }
      y[to] = a, y[to + 1] = b, y[to + 2] = c, y[to + 3] = d;
    }
  }
  for (; o < m; o++) for (let t = 0; t < T; t++) for (let i = 0; i < n; i++) y[t * m + o] += x[t * n + i] * weight[o * n + i];
  if (bias) for (let i = 0; i < y.length; i++) y[i] += bias[i % m];
  return y;
}

/** Return the sum of each token's vector and its position's vector: (T,) -> (T, C). */
export function embed(tokens, wte, wpe, C, start = 0) {
  const x = new Float64Array(tokens.length * C);
  tokens.forEach((id, t) => {
    for (let c = 0; c < C; c++) x[t * C + c] = wte[id * C + c] + wpe[(start + t) * C + c];
  });
  return x;
}

/** Return each vector's dot product with every token's vector, its logits: (T, C) -> (T, V). */
export function unembed(x, wte, V) {
  return linear(x, wte, null, V);
}

/** Bring each vector to mean 0 and variance 1, then scale and shift each channel: (T, C) -> (T, C). */
export function layer_norm(x, weight, bias, eps) {
  const C = weight.length, y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += C) {
    let mean = 0, variance = 0;
    for (let c = 0; c < C; c++) mean += x[row + c] / C;
    for (let c = 0; c < C; c++) variance += (x[row + c] - mean) ** 2 / C;
    const scale = 1 / Math.sqrt(variance + eps);
    for (let c = 0; c < C; c++) y[row + c] = (x[row + c] - mean) * scale * weight[c] + bias[c];
  }
  return y;
}

/** Return GPT-2's GELU of each number, the tanh form. */
export function gelu(x) {
  return x.map((z) => 0.5 * z * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3))));
}

/** Return e to the power of each number over the sum of them all; -Infinity becomes 0. */
export function softmax(logits) {
  let largest = -Infinity, sum = 0;
  for (const z of logits) if (z > largest) largest = z;
  const weights = logits.map((z) => Math.exp(z - largest));
  for (const w of weights) sum += w;
  return weights.map((w) => w / sum);
}

/**
 * Let each query gather from the tokens up to its own: q (T, C), k and v (S, C) -> y (T, C), weights (T, H, S).
 * Head h works on the D = C / H channels from h * D on; query t is the token at position S - T + t.
 */
export function attend(q, k, v, C, H) {
  const T = q.length / C, S = k.length / C, D = C / H;
  const y = new Float64Array(T * C), weights = new Float64Array(T * H * S);
  for (let t = 0; t < T; t++) {
    for (let h = 0; h < H; h++) {
      const at = t * C + h * D, scores = new Float64Array(S - T + t + 1); // no later token: that is the mask
      for (let s = 0; s < scores.length; s++) {
        let dot = 0;
        for (let d = 0, from = s * C + h * D; d < D; d++) dot += q[at + d] * k[from + d];
        scores[s] = dot / Math.sqrt(D);
      }
      const shares = softmax(scores);
      weights.set(shares, (t * H + h) * S);
      for (let s = 0; s < shares.length; s++) {
        const share = shares[s], from = s * C + h * D;
        for (let d = 0; d < D; d++) y[at + d] += share * v[from + d];
      }
    }
  }
  return { y, weights };
}

// ------------------------------------------------------------------------------ the cache (chapter 07)

/** Keep the keys and values of one layer, in memory set aside once. */
export class LayerCache {
  constructor(capacity, C) {
    this.k = new Float64Array(capacity * C), this.v = new Float64Array(capacity * C);
    this.C = C, this.length = 0;
  }

  /** Add the keys and values of new tokens and return all of them: (T, C) -> (S, C). */
  append(k, v) {
    this.k.set(k, this.length * this.C), this.v.set(v, this.length * this.C);
    this.length += k.length / this.C;
    return [this.k.subarray(0, this.length * this.C), this.v.subarray(0, this.length * this.C)];
  }
}

/** Keep the keys and values of every layer. */
export class KVCache {
  constructor(config, max_length = config.n_positions) {
    this.layers = Array.from({ length: config.n_layer }, () => new LayerCache(max_length, config.n_embd));
  }

  get length() {
    return this.layers[0].length;
  }

  /** Forget all but the first `length` tokens, so that the text can go on in another way. */
  truncate(length) {
    for (const layer of this.layers) layer.length = length;
  }
}

// ------------------------------------------------------------------------------ the model (chapter 05)

/** Throw unless `tokens` are ids that a model of this config can read after the `start` tokens in a cache. */
export function check_tokens(tokens, config, start = 0) {
  const end = start + tokens.length;
  if (!tokens.length) throw new RangeError("there are no tokens, but the model needs one to start from");
  if (end > config.n_positions) {
    throw new RangeError(`got ${end} tokens, but this model reads at most ${config.n_positions}; shorten the text`);
  }
  const wrong = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocab_size);
  if (wrong !== undefined) {
    throw new RangeError(`token ${wrong} is not in this vocabulary, which has the ids 0 to ${config.vocab_size - 1}`);
  }
}

/** Predict the next token at every position. */
export class GPT2 {
  constructor(config, weights) {
    this.config = config, this.weights = weights; // weights: name -> Float32Array, matrices (out, in)
  }

  /** Return what the tokens say by themselves and by their places: (T,) -> (T, C). */
  embed(tokens, start = 0) {
    return embed(tokens, this.weights["wte.weight"], this.weights["wpe.weight"], this.config.n_embd, start);
  }

  /** Read the residual stream as the last layer would: (T, C) -> logits (T, V). */
  unembed(x) {
    const w = this.weights, normal = layer_norm(x, w["ln_f.weight"], w["ln_f.bias"], this.config.layer_norm_epsilon);
    return unembed(normal, w["wte.weight"], this.config.vocab_size);
  }

  /** Return the residual stream after block i: (T, C) -> (T, C). `see(name, array)` is shown what is on the way. */
  block(i, x, cache, see) {
    const { n_embd: C, n_head: H, layer_norm_epsilon: eps } = this.config, T = x.length / C;
    const w = (name) => this.weights[`h.${i}.${name}`];
    const apply = (name, input, m) => linear(input, w(`${name}.weight`), w(`${name}.bias`), m);
    const norm = (name, input) => layer_norm(input, w(`${name}.weight`), w(`${name}.bias`), eps);
    const plus = (a, b) => a.map((value, c) => value + b[c]);

    const qkv = apply("attn.c_attn", norm("ln_1", x), 3 * C);
    const [q, k, v] = [0, 1, 2].map(() => new Float64Array(T * C));
    for (let t = 0; t < T; t++) {
      [q, k, v].forEach((part, j) => part.set(qkv.subarray((3 * t + j) * C, (3 * t + j + 1) * C), t * C));
    }
    const [keys, values] = cache.append(k, v);
    const { y, weights } = attend(q, keys, values, C, H);
    see(`h.${i}.attn`, { q, k: keys, v: values, weights, y });
    x = plus(x, apply("attn.c_proj", y, C));
    x = plus(x, apply("mlp.c_proj", gelu(apply("mlp.c_fc", norm("ln_2", x), 4 * C)), C));
    see(`h.${i}`, x);
    return x;
  }

  /** Return the logits of the token that follows each token, (T,) -> (T, V), or with last_only the last: (V,). */
  forward(tokens, cache = null, { last_only = false, see = () => {} } = {}) {
    cache ??= new KVCache(this.config, tokens.length);
    check_tokens(tokens, this.config, cache.length);
    let x = this.embed(tokens, cache.length);
    cache.layers.forEach((layer, i) => (x = this.block(i, x, layer, see)));
    return this.unembed(last_only ? x.slice(-this.config.n_embd) : x);
  }
}

// ---------------------------------------------------------------------------------- sampling (chapter 06)

/** Return the most likely token, the first one of a tie. */
export function greedy(logits) {
  return logits.reduce((best, z, id) => (z > logits[best] ? id : best), 0);
}

/** Divide the logits by t; at t = 0 only the most likely token stays possible. */
export function scale_temperature(logits, t) {
  const best = t === 0 ? greedy(logits) : null;
  return logits.map((z, id) => (t > 0 ? z / t : id === best ? z : -Infinity));
}

/** Set all but the k largest logits to -Infinity: exactly k stay, of equal ones those with the smaller id. */
export function keep_top_k(logits, k) {
  const ranked = Float64Array.from(logits).sort().reverse();
  const least = ranked[Math.min(k, ranked.length) - 1];
  let ties = k - ranked.indexOf(least); // how many that are equal to the least one may stay
  return logits.map((z) => (z > least || (z === least && ties-- > 0) ? z : -Infinity));
}

/** Keep the fewest most likely tokens whose probabilities reach p; the one that crosses p stays. */
export function keep_top_p(logits, p) {
  const ranked = Float64Array.from(softmax(logits)).sort().reverse();
  let kept = 0;
  for (let sum = 0; kept < ranked.length && sum < p; kept++) sum += ranked[kept];
  return keep_top_k(logits, kept);
}

/** Return a source of random numbers from 0 up to 1; the same seed gives the same ones ("mulberry32"). */
export function Generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let z = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Return a function that draws the next token after temperature, then top-k, then top-p; null keeps all. */
export function Sampler({ temperature = 1, top_k = null, top_p = null, generator = Math.random } = {}) {
  if (!(temperature >= 0 && temperature < Infinity)) throw new RangeError(`temperature is ${temperature}; pass 0 or more`);
  if (top_k !== null && !(top_k >= 1)) throw new RangeError(`top_k is ${top_k}; pass at least 1, or null to keep all`);
  if (top_p !== null && !(top_p > 0 && top_p <= 1)) {
    throw new RangeError(`top_p is ${top_p}; pass a probability above 0 and at most 1, or null to keep all`);
  }
  const distribution = (logits) => {
    logits = scale_temperature(logits, temperature);
    if (top_k !== null) logits = keep_top_k(logits, top_k);
    if (top_p !== null) logits = keep_top_p(logits, top_p);
    return softmax(logits);
  };
  const sample = (logits) => {
    const probabilities = distribution(logits);
    let left = generator(), last = 0;
    for (let id = 0; id < probabilities.length; id++) {
      if (probabilities[id] === 0) continue;
      last = id;
      if ((left -= probabilities[id]) < 0) break;
    }
    return last;
  };
  return Object.assign(sample, { distribution });
}

/** Yield the tokens that continue a text, one step at a time, and end with stop_token. */
export function* generate(model, tokens, max_new_tokens, { sampler = greedy, stop_token = null, use_cache = true } = {}) {
  const limit = model.config.n_positions, text = [...tokens];
  const cache = use_cache ? new KVCache(model.config, Math.min(text.length + max_new_tokens, limit)) : null;
  check_tokens(text, model.config);
  for (let n = 0; n < max_new_tokens; n++) {
    const cached = cache && text.length <= limit; // a longer text stands at new positions: nothing kept is of use
    const logits = model.forward(text.slice(cached ? cache.length : -limit), cached ? cache : null, { last_only: true });
    const token = sampler(logits);
    yield token;
    if (token === stop_token) return;
    text.push(token);
  }
}

/** Return the prompt with what the model writes after it, up to the end of the text it writes. */
export function complete(model, tokenizer, prompt, max_new_tokens = 100, { sampler = greedy } = {}) {
  const ids = tokenizer.encode(prompt, true), stop_token = tokenizer.end_of_text;
  const written = [...generate(model, ids, max_new_tokens, { sampler, stop_token })];
  return tokenizer.decode([...ids, ...written.filter((id) => id !== stop_token)]);
}

// --------------------------------------------------------------------------------- files (chapter 05)

/** Return the sizes in the text of a `config.json`; throw if it describes another model than GPT-2. */
export function read_config(text) {
  const config = { layer_norm_epsilon: 1e-5, ...JSON.parse(text) };
  const fixed = {
    model_type: ["gpt2"], activation_function: ["gelu_new", "gelu_pytorch_tanh"], scale_attn_weights: [true],
    scale_attn_by_inverse_layer_idx: [false], add_cross_attention: [false], tie_word_embeddings: [true],
    n_inner: [null, 4 * config.n_embd],
  };
  for (const [name, allowed] of Object.entries(fixed)) {
    if (name in config && !allowed.includes(config[name])) {
      throw new Error(`config.json says ${name} = ${config[name]}, but GPT-2 has ${allowed[0]}; load another model`);
    }
  }
  return config;
}

/** Return the number that 16 bits stand for: a sign, 5 bits of exponent, 10 bits of fraction. */
export function from_float16(bits) {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
}

/** Return the tensors of a safetensors file (an ArrayBuffer) by name, matrices of linear layers as (out, in). */
export function read_weights(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true)), weights = {};
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const halves = Float32Array.from({ length: 2 ** 16 }, (_, bits) => from_float16(bits));
  for (const [stored, { dtype, shape, data_offsets }] of Object.entries(header)) {
    const name = stored.replace(/^transformer\./, "");
    if (name === "__metadata__" || /\.attn\.(masked_)?bias$/.test(name)) continue; // the mask, which needs no file
    const bytes = buffer.slice(...data_offsets.map((offset) => 8 + length + offset));
    if (dtype !== "F16" && dtype !== "F32") throw new Error(`${name} is ${dtype}; save the weights as F16 or F32`);
    const values = dtype === "F32" ? new Float32Array(bytes) : Float32Array.from(new Uint16Array(bytes), (h) => halves[h]);
    weights[name] = /\.(c_attn|c_fc|c_proj)\.weight$/.test(name) ? transposed(values, ...shape) : values;
  }
  return weights;
}

/** Return a matrix (n, m) as (m, n): files hold linear layers as (in, out), and `linear` reads (out, in). */
function transposed(values, n, m) {
  const result = new Float32Array(n * m);
  for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) result[j * n + i] = values[i * m + j];
  return result;
}

/** Return [model, tokenizer] of what is in three files: two texts and an ArrayBuffer. */
export function from_files(config, merges, weights) {
  return [new GPT2(read_config(config), read_weights(weights)), new Tokenizer(read_merges(merges))];
}

/** Return [model, tokenizer] from a folder on a server. `progress(share)` is told how much of the weights is here. */
export async function from_pretrained(folder, progress = () => {}) {
  const get = async (name) => {
    const answer = await fetch(`${folder}/${name}`);
    if (!answer.ok) throw new Error(`${folder}/${name} can't be read: ${answer.status} ${answer.statusText}`);
    return answer;
  };
  const [config, merges] = await Promise.all(["config.json", "merges.txt"].map(async (name) => (await get(name)).text()));
  const answer = await get("model.safetensors"), total = Number(answer.headers.get("content-length"));
  const parts = [];
  let read = 0;
  for await (const part of chunks(answer.body.getReader())) {
    parts.push(part);
    progress(total ? (read += part.length) / total : 0);
  }
  return from_files(config, merges, await new Blob(parts).arrayBuffer());
}

/** Yield what a reader reads: Safari's streams can't be looped over. */
async function* chunks(reader) {
  for (let next; !(next = await reader.read()).done; ) yield next.value;
}
