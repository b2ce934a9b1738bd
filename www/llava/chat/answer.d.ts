/** @typedef {import("../../shared/protocol.js").Answered & { attention?: import("./types.js").AnswerAttention }} Answered */
/** @typedef {import("./types.js").ChatCompletion} ChatCompletion */
/** @typedef {import("./types.js").ChatCompletionChunk} ChatCompletionChunk */
/** @typedef {import("./types.js").FinishReason} FinishReason */
/** @typedef {import("./types.js").ChatTokenLogprob} ChatTokenLogprob */
/** @typedef {import("./types.js").Usage} Usage */
/** Makes the answer and the chunks of one call. */
export class AnswerForm {
    /** @param {string} model its name @param {boolean} logprobs whether they are wanted @param {boolean} includeUsage */
    constructor(model: string, logprobs: boolean, includeUsage: boolean);
    id: string;
    created: number;
    model: string;
    logprobs: boolean;
    includeUsage: boolean;
    /** @param {Answered} answered @param {ChatTokenLogprob[]} logprobs @returns {ChatCompletion} */
    completion(answered: Answered, logprobs: ChatTokenLogprob[]): ChatCompletion;
    /** @param {ChatCompletionChunk["choices"][0]["delta"]} delta @param {ChatTokenLogprob[]} [logprobs]
     * @returns {ChatCompletionChunk} */
    chunk(delta: ChatCompletionChunk["choices"][0]["delta"], logprobs?: ChatTokenLogprob[]): ChatCompletionChunk;
    /** The chunks at the end of an answer. @param {Answered} answered @returns {ChatCompletionChunk[]} */
    lastChunks(answered: Answered): ChatCompletionChunk[];
    #private;
}
export type Answered = import("../../shared/protocol.js").Answered & {
    attention?: import("./types.js").AnswerAttention;
};
export type ChatCompletion = import("./types.js").ChatCompletion;
export type ChatCompletionChunk = import("./types.js").ChatCompletionChunk;
export type FinishReason = import("./types.js").FinishReason;
export type ChatTokenLogprob = import("./types.js").ChatTokenLogprob;
export type Usage = import("./types.js").Usage;
