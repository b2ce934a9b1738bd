/** @typedef {import("../../shared/protocol.js").BenchOptions} BenchOptions */
/** @typedef {import("../../shared/protocol.js").Report} Report */
/** @typedef {import("../../shared/protocol.js").Seen} Seen */
/** @typedef {import("./call-queue.js").EngineCall} EngineCall */
/** @typedef {import("./call-queue.js").Link} Link */
/** @typedef {import("./types.js").AnswerAttention} AnswerAttention */
/** @typedef {import("./types.js").CallOptions} CallOptions */
/** @typedef {import("./types.js").ChatMessage} ChatMessage */
/** @typedef {import("./types.js").EncodedPicture} EncodedPicture */
/** @typedef {import("./types.js").ImageInput} ImageInput */
/** What a model answers with.
 * @typedef {object} ChatSurface
 * @property {{ completions: Completions }} chat
 * @property {(image: string | ImageInput, options?: CallOptions) => Promise<EncodedPicture>} encode
 * @property {(messages: readonly ChatMessage[], options?: CallOptions) => Promise<number>} prefill
 * @property {(messages: readonly ChatMessage[], options?: CallOptions) => Promise<AnswerAttention>} attention
 * @property {(options?: { signal?: AbortSignal | null }) => Promise<Uint8Array<ArrayBuffer>>} save
 * @property {(saved: Uint8Array | ArrayBuffer | Blob, options?: { signal?: AbortSignal | null }) => Promise<number>} restore
 * @property {(what?: BenchOptions, options?: CallOptions) => Promise<string[]>} bench
 * @property {(input: RequestInfo | URL, init?: RequestInit) => Promise<Response>} fetch
 */
/**
 * Returns the functions of a model that answer.
 * @param {Link} link to the engine that has loaded it
 * @param {object} model
 * @param {string} model.name
 * @param {import("./call-queue.js").Recovered} [model.recovered]
 * @param {(report: Partial<Report>) => void} [model.onReport]  receives what has changed of the engine's report
 * @param {(seen: Seen) => void} [model.onEncoded]  receives the measured time of a picture
 * @returns {ChatSurface & { exclusive: <T>(where: string, work: () => Promise<T>) => Promise<T> }} `exclusive` runs other
 *   work when no call runs
 */
export function createChat(link: Link, { name, recovered, onReport, onEncoded }: {
    name: string;
    recovered?: import("./call-queue.js").Recovered | undefined;
    onReport?: ((report: Partial<Report>) => void) | undefined;
    onEncoded?: ((seen: Seen) => void) | undefined;
}): ChatSurface & {
    exclusive: <T>(where: string, work: () => Promise<T>) => Promise<T>;
};
export type BenchOptions = import("../../shared/protocol.js").BenchOptions;
export type Report = import("../../shared/protocol.js").Report;
export type Seen = import("../../shared/protocol.js").Seen;
export type EngineCall = import("./call-queue.js").EngineCall;
export type Link = import("./call-queue.js").Link;
export type AnswerAttention = import("./types.js").AnswerAttention;
export type CallOptions = import("./types.js").CallOptions;
export type ChatMessage = import("./types.js").ChatMessage;
export type EncodedPicture = import("./types.js").EncodedPicture;
export type ImageInput = import("./types.js").ImageInput;
/**
 * What a model answers with.
 */
export type ChatSurface = {
    chat: {
        completions: Completions;
    };
    encode: (image: string | ImageInput, options?: CallOptions) => Promise<EncodedPicture>;
    prefill: (messages: readonly ChatMessage[], options?: CallOptions) => Promise<number>;
    attention: (messages: readonly ChatMessage[], options?: CallOptions) => Promise<AnswerAttention>;
    save: (options?: {
        signal?: AbortSignal | null;
    }) => Promise<Uint8Array<ArrayBuffer>>;
    restore: (saved: Uint8Array | ArrayBuffer | Blob, options?: {
        signal?: AbortSignal | null;
    }) => Promise<number>;
    bench: (what?: BenchOptions, options?: CallOptions) => Promise<string[]>;
    fetch: (input: RequestInfo | URL, init?: RequestInit) => Promise<Response>;
};
import { Completions } from "./completions.js";
