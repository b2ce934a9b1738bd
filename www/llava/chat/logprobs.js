// Log probabilities of tokens, in OpenAI's form.

/** @typedef {import("../../shared/protocol.js").TokenProbability} TokenProbability */
/** @typedef {import("./types.js").ChatTokenLogprob} ChatTokenLogprob */

/** @param {TokenProbability} token @returns {ChatTokenLogprob} */
export function tokenLogprob({ bytes, logprob, top }) {
  const form = (/** @type {{ bytes: number[], logprob: number }} */ { bytes, logprob }) => ({ token: new TextDecoder().decode(Uint8Array.from(bytes)), bytes, logprob });
  return { ...form({ bytes, logprob }), top_logprobs: top.map(form) };
}
