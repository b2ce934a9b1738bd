// The models that a proof runs: the shipped one, and small ones of random weights, of each family of layouts and of each type
// of weights that files have. reference.json has the tokens that the reference kernels compute with them (`node
// tests/browser/record-proof.mjs` records it).

/** A question about a picture. @typedef {{ picture: string, question: string }} Case */

/**
 * @typedef {object} ProofModel
 * @property {string} name
 * @property {string[]} entry  files, relative to the document
 * @property {Case[]} cases  pictures relative to the document, or to this folder where they begin with `../`
 * @property {"q8" | "q4"} [quant]  type that weights are quantised to; without it they stay as they are
 * @property {"f16"} [cache_type]  type of the cached keys and values; without it f32, which models of this size have
 * @property {number} [int8]  bound on the error of logits with activations of 8 bits, where it is not that of the others: weights
 *   that are random bits make scores that a rounding moves further
 * @property {boolean} exact  whether the CPU computes in f32: it rounds activations to 8 bits where weights are integers
 */

/** What the reference has computed: greedy tokens of each case, and the sampled tokens of the first.
 * @typedef {Record<string, { greedy: number[][], sampled: number[] }>} Reference */

const WIDE = { picture: "models/proof/wide.png", question: "what is in the picture?" };

/** Largest number of tokens of a greedy answer; of a sampled one. */
export const TOKENS = { greedy: 24, sampled: 12 };
/** Options of the sampled answers: every step of the sampler takes part. */
export const SAMPLING = { temperature: 0.9, top_k: 60, top_p: 0.95, min_p: 0.01, repetition_penalty: 1.1, frequency_penalty: 0.2, presence_penalty: 0.1, seed: 7 };

/** @type {ProofModel[]} */
export const MODELS = [
  {
    name: "scenes",
    entry: ["models/scenes/manifest.json"],
    cases: [
      { picture: "../examples/shapes.png", question: "What do you see?" },
      { picture: "../examples/by-hand.png", question: "How many shapes are there?" },
    ],
    exact: false,
  },
  { name: "gqa", entry: ["models/proof/gqa/config.json"], cases: [WIDE], quant: "q4", cache_type: "f16", exact: false },
  { name: "smolvlm", entry: ["models/proof/smolvlm/config.json"], cases: [WIDE], exact: true },
  { name: "siglip", entry: ["models/proof/siglip/config.json"], cases: [WIDE], exact: true },
  { name: "ldp", entry: ["models/proof/ldp/config.json"], cases: [WIDE], exact: true },
  { name: "ldpv2", entry: ["models/proof/ldpv2/config.json"], cases: [WIDE], exact: true },
  { name: "qwen2", entry: ["models/proof/qwen2/even-mmproj.gguf", "models/proof/qwen2/even.gguf"], cases: [WIDE], exact: false },
  { name: "k", entry: ["models/proof/k/k-mmproj.gguf", "models/proof/k/k.gguf"], cases: [WIDE], int8: 0.2, exact: false },
  { name: "legacy", entry: ["models/proof/legacy/legacy-mmproj.gguf", "models/proof/legacy/legacy.gguf"], cases: [WIDE], exact: false },
];
