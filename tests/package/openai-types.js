// Compiled, not run: answers of the package are answers of OpenAI's client, and requests with the supported fields are
// requests of both.

/** @typedef {import("openai").OpenAI.Chat.ChatCompletion} TheirCompletion */
/** @typedef {import("openai").OpenAI.Chat.ChatCompletionChunk} TheirChunk */
/** @typedef {import("openai").OpenAI.Chat.ChatCompletionCreateParamsNonStreaming} TheirRequest */
/** @typedef {import("openai").OpenAI.Chat.ChatCompletionCreateParamsStreaming} TheirStreamedRequest */
/** @typedef {import("../../www/llava/chat/types.js").ChatRequest} OurRequest */
/** @typedef {import("../../www/llava/model.js").Model} Model */

import { OpenAI } from "openai";

/** @satisfies {TheirRequest & OurRequest} */
const request = {
  model: "any",
  messages: [
    { role: /** @type {const} */ ("developer"), content: "Be brief." },
    { role: /** @type {const} */ ("user"), content: [{ type: /** @type {const} */ ("image_url"), image_url: { url: "data:image/png;base64,", detail: /** @type {const} */ ("low") } }, { type: /** @type {const} */ ("text"), text: "What is this?" }] },
    { role: /** @type {const} */ ("assistant"), content: "A square." },
    { role: /** @type {const} */ ("user"), content: "And its colour?" },
  ],
  max_completion_tokens: 9,
  temperature: 0,
  top_p: 1,
  seed: 5,
  stop: ["\n"],
  frequency_penalty: 0,
  presence_penalty: 0,
  logit_bias: { 5: 1 },
  logprobs: true,
  top_logprobs: 2,
  response_format: { type: /** @type {const} */ ("json_schema"), json_schema: { name: "n", strict: true, schema: { type: "object" } } },
  n: 1,
};

/** @param {Model} model */
export async function ours(model) {
  const answer = await model.chat.completions.create(request);
  /** @type {TheirCompletion} */
  const whole = answer;
  /** @type {TheirChunk[]} */
  const chunks = [];
  for await (const chunk of await model.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } })) chunks.push(chunk);
  // What was answered can be sent back.
  await model.chat.completions.create({ messages: [...request.messages, ...answer.choices.map(({ message }) => message)] });
  return { whole, chunks };
}

/** @param {Model} model */
export async function theirs(model) {
  const client = new OpenAI({ apiKey: "-", baseURL: "https://local/v1", fetch: model.fetch, dangerouslyAllowBrowser: true });
  const answer = await client.chat.completions.create(request);
  return { answer, stream: await client.chat.completions.create({ ...request, stream: true }) };
}
