/** @typedef {import("../../shared/protocol.js").TokenProbability} TokenProbability */
/** @typedef {import("./types.js").ChatTokenLogprob} ChatTokenLogprob */
/** @param {TokenProbability} token @returns {ChatTokenLogprob} */
export function tokenLogprob({ bytes, logprob, top }: TokenProbability): ChatTokenLogprob;
export type TokenProbability = import("../../shared/protocol.js").TokenProbability;
export type ChatTokenLogprob = import("./types.js").ChatTokenLogprob;
