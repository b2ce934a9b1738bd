// Reads a request in OpenAI's form: checks every field, and refuses by name what is not supported.

import { entryOf, readBoolean, readNumber, readObject } from "./fields.js";
import { readMessages } from "./messages.js";
import { refusal, typeName } from "./refuse.js";
import { readResponseFormat } from "./response-format.js";

/** @typedef {import("./types.js").ChatRequest} ChatRequest */
/** @typedef {import("./types.js").CheckedRequest} CheckedRequest */
/** @typedef {import("./types.js").EngineOptions} EngineOptions */

/** Numbers that the engine takes under the same name: the lowest and highest value, and whether it is whole.
 * @type {Record<string, [number, number, boolean?]>} */
const NUMBERS = {
  temperature: [0, 2],
  top_p: [0, 1],
  top_k: [0, 2 ** 32 - 1, true],
  min_p: [0, 1],
  frequency_penalty: [-2, 2],
  presence_penalty: [-2, 2],
  repetition_penalty: [0.01, 100],
};

/** Greedy, as the models' own configurations say; OpenAI's default is a temperature of 1. */
const DEFAULTS = { temperature: 0, top_p: 1 };

/** Fields that are read below. */
const READ = new Set(["messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "seed", "stop", "logit_bias", "logprobs", "top_logprobs", "response_format", "attention", "n", "signal", ...Object.keys(NUMBERS)]);

/** Fields that cannot change an answer of this engine: names, accounting, and hints about speed. */
const IGNORED = new Set(["model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "prediction"]);

/** Fields of OpenAI's that are refused, and what to do instead. @type {Record<string, string>} */
const REFUSED = {
  tools: "Describe the wanted answer with response_format, and call the function yourself.",
  tool_choice: "There are no tools.",
  parallel_tool_calls: "There are no tools.",
  functions: "Describe the wanted answer with response_format, and call the function yourself.",
  function_call: "There are no functions.",
  audio: "Answers are text.",
  modalities: 'Only ["text"] is supported.',
  moderation: "",
  reasoning_effort: "These models do not reason before they answer.",
  verbosity: "Ask for a short or a long answer in a message.",
  web_search_options: "The model is alone in this tab.",
};

/** Values of refused fields that ask for nothing. @type {Record<string, (value: unknown) => boolean>} */
const HARMLESS = {
  tools: (value) => Array.isArray(value) && !value.length,
  functions: (value) => Array.isArray(value) && !value.length,
  tool_choice: (value) => value === "none" || value === "auto",
  function_call: (value) => value === "none" || value === "auto",
  parallel_tool_calls: (value) => typeof value === "boolean",
  reasoning_effort: (value) => value === "none",
  modalities: (value) => Array.isArray(value) && value.length === 1 && value[0] === "text",
};

/** Most texts that end an answer; OpenAI allows 4. */
const MAX_STOPS = 16;
/** Longest of them, characters. */
const MAX_STOP_LENGTH = 256;
/** Most entries of `logit_bias`. */
const MAX_BIASES = 4096;

/** Reads a request. Options that it does not name are the engine's defaults.
 * @param {unknown} request @returns {CheckedRequest} */
export function readRequest(request) {
  const fields = readObject(request, "request");
  for (const [name, value] of Object.entries(fields)) {
    if (value === null || value === undefined || READ.has(name) || IGNORED.has(name) || entryOf(HARMLESS, name)?.(value)) continue;
    const advice = entryOf(REFUSED, name);
    if (advice !== undefined) throw refusal(`request.${name}`, "is not supported", advice);
    throw refusal(`request.${name}`, "is not known", "Check its spelling; src/docs/openai.md lists the fields.");
  }
  const n = readNumber(fields.n, "request.n", [1, 128, true]) ?? 1;
  if (n !== 1) throw refusal("request.n", `${n} answers; only 1 is supported`, "Call create several times, with different seeds.");
  const stream = readBoolean(fields.stream, "request.stream") ?? false;
  const signal = fields.signal ?? null;
  if (signal !== null && !(signal instanceof AbortSignal)) throw refusal("request.signal", `is ${typeName(signal)}, not an AbortSignal`);
  const { options, logprobs } = readOptions(fields);
  return { messages: readMessages(fields.messages, "request.messages"), options, stream, includeUsage: readStreamOptions(fields.stream_options, stream), logprobs, signal };
}

/** @param {Record<string, unknown>} fields */
function readOptions(fields) {
  const limits = ["max_completion_tokens", "max_tokens"].map((name) => readNumber(fields[name], `request.${name}`, [1, 2 ** 32 - 1, true]));
  if (limits[0] !== undefined && limits[1] !== undefined && limits[0] !== limits[1]) throw refusal("request.max_tokens", `is ${limits[1]}, and max_completion_tokens is ${limits[0]}`, "Give one of the two.");
  /** @type {EngineOptions} */
  const options = { ...DEFAULTS, max_new_tokens: limits[0] ?? limits[1] ?? 2 ** 32 - 1, seed: readSeed(fields.seed) };
  for (const [name, range] of Object.entries(NUMBERS)) {
    const value = readNumber(fields[name], `request.${name}`, range);
    if (value !== undefined) Object.assign(options, { [name]: value });
  }
  // The engine wants a probability above 0; the most likely token remains in any case.
  if (options.top_p === 0) options.top_p = 1e-6;
  const stop = readStop(fields.stop);
  if (stop.length) options.stop = stop;
  const bias = readBias(fields.logit_bias);
  if (bias) options.logit_bias = bias;
  const logprobs = readBoolean(fields.logprobs, "request.logprobs") ?? false;
  const top = readNumber(fields.top_logprobs, "request.top_logprobs", [0, 20, true]);
  if (top !== undefined && !logprobs) throw refusal("request.top_logprobs", "is given without logprobs", "Set logprobs: true, too.");
  if (logprobs) options.top_logprobs = top ?? 0;
  const format = readResponseFormat(fields.response_format, "request.response_format");
  if (format) options.response_format = format;
  if (readBoolean(fields.attention, "request.attention")) options.attention = true;
  return { options, logprobs };
}

/** @param {unknown} value @param {boolean} stream @returns {boolean} whether usage is wanted */
function readStreamOptions(value, stream) {
  if (value === null || value === undefined) return false;
  const where = "request.stream_options";
  const { include_usage, include_obfuscation, ...others } = readObject(value, where);
  if (!stream) throw refusal(where, "is given without stream", "Set stream: true, too.");
  const [unknown] = Object.keys(others);
  if (unknown) throw refusal(`${where}.${unknown}`, "is not known");
  // Obfuscation protects what is streamed through a network; there is none here.
  readBoolean(include_obfuscation, `${where}.include_obfuscation`);
  return readBoolean(include_usage, `${where}.include_usage`) ?? false;
}

/** Returns the engine's seed: the lowest 32 bits of the request's, or a random one. @param {unknown} value */
function readSeed(value) {
  const seed = readNumber(value, "request.seed", [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, true]);
  if (seed === undefined) return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return Number(BigInt.asUintN(32, BigInt(seed)));
}

/** @param {unknown} value @returns {string[]} */
function readStop(value) {
  if (value === null || value === undefined) return [];
  const stop = Array.isArray(value) ? value : [value];
  if (stop.length > MAX_STOPS) throw refusal("request.stop", `${stop.length} texts; at most ${MAX_STOPS} are possible`);
  for (const [i, text] of stop.entries()) {
    const where = Array.isArray(value) ? `request.stop[${i}]` : "request.stop";
    if (typeof text !== "string") throw refusal(where, `is ${typeName(text)}, not a string`);
    if (!text) throw refusal(where, "is empty");
    if (text.length > MAX_STOP_LENGTH) throw refusal(where, `has ${text.length} characters; at most ${MAX_STOP_LENGTH} are possible`);
  }
  return stop;
}

/** @param {unknown} value @returns {Record<string, number> | null} */
function readBias(value) {
  if (value === null || value === undefined) return null;
  const entries = Object.entries(readObject(value, "request.logit_bias"));
  if (entries.length > MAX_BIASES) throw refusal("request.logit_bias", `${entries.length} tokens; at most ${MAX_BIASES} are possible`);
  for (const [id, bias] of entries) {
    const where = `request.logit_bias["${id}"]`;
    if (!/^\d{1,9}$/.test(id)) throw refusal(where, "is no token", "Name tokens by their ids in the model's tokenizer.");
    if (readNumber(bias, where, [-100, 100]) === undefined) throw refusal(where, "has no value");
  }
  return entries.length ? /** @type {Record<string, number>} */ (Object.fromEntries(entries)) : null;
}
