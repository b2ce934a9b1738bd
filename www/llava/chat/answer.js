// The form of OpenAI's answers and chunks.

/** @typedef {import("../../shared/protocol.js").Answered & { attention?: import("./types.js").AnswerAttention }} Answered */
/** @typedef {import("./types.js").ChatCompletion} ChatCompletion */
/** @typedef {import("./types.js").ChatCompletionChunk} ChatCompletionChunk */
/** @typedef {import("./types.js").FinishReason} FinishReason */
/** @typedef {import("./types.js").ChatTokenLogprob} ChatTokenLogprob */
/** @typedef {import("./types.js").Usage} Usage */

/** Makes the answer and the chunks of one call. */
export class AnswerForm {
  id = `chatcmpl-${[...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  created = Math.floor(Date.now() / 1000);

  /** @param {string} model its name @param {boolean} logprobs whether they are wanted @param {boolean} includeUsage */
  constructor(model, logprobs, includeUsage) {
    this.model = model;
    this.logprobs = logprobs;
    this.includeUsage = includeUsage;
  }

  /** @param {Answered} answered @param {ChatTokenLogprob[]} logprobs @returns {ChatCompletion} */
  completion(answered, logprobs) {
    const { id, created, model } = this;
    const message = /** @type {const} */ ({ role: "assistant", content: answered.answer.text, refusal: null });
    const choice = { index: /** @type {const} */ (0), message, finish_reason: finishReason(answered), logprobs: this.#logprobs(logprobs) };
    return { id, object: "chat.completion", created, model, choices: [choice], usage: usageOf(answered), timings: answered.timing, stop_reason: answered.answer.stop, ...attentionOf(answered) };
  }

  /** @param {ChatCompletionChunk["choices"][0]["delta"]} delta @param {ChatTokenLogprob[]} [logprobs]
   * @returns {ChatCompletionChunk} */
  chunk(delta, logprobs = []) {
    return this.#chunk([{ index: 0, delta, finish_reason: null, logprobs: logprobs.length ? this.#logprobs(logprobs) : null }]);
  }

  /** The chunks at the end of an answer. @param {Answered} answered @returns {ChatCompletionChunk[]} */
  lastChunks(answered) {
    const last = { ...this.#chunk([{ index: 0, delta: {}, finish_reason: finishReason(answered), logprobs: null }]), timings: answered.timing, stop_reason: answered.answer.stop, ...attentionOf(answered) };
    return this.includeUsage ? [last, { ...this.#chunk([]), usage: usageOf(answered) }] : [last];
  }

  /** @param {ChatCompletionChunk["choices"]} choices @returns {ChatCompletionChunk} */
  #chunk(choices) {
    const { id, created, model } = this;
    return { id, object: "chat.completion.chunk", created, model, choices, ...(this.includeUsage && { usage: null }) };
  }

  /** @param {ChatTokenLogprob[]} content */
  #logprobs(content) {
    return this.logprobs ? { content, refusal: null } : null;
  }
}

/** @param {Answered} answered */
const attentionOf = ({ attention }) => (attention ? { attention } : {});

/** @param {Answered} answered @returns {FinishReason} */
function finishReason({ answer }) {
  return answer.stop === "length" || answer.stop === "context" ? "length" : "stop";
}

/** @param {Answered} answered @returns {Usage} */
function usageOf({ answer }) {
  const [prompt_tokens, completion_tokens] = [answer.prompt_ids.length, answer.ids.length];
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens, prompt_tokens_details: { cached_tokens: Math.min(answer.reused_rows, prompt_tokens) } };
}
