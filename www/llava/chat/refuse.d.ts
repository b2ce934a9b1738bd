/** Returns the error of a request that is not supported, or is wrong.
 * @param {string} where the field, as a path: `request.messages[0].content`
 * @param {string} message @param {string} [hint] */
export function refusal(where: string, message: string, hint?: string): Failure;
/** @param {AbortSignal | null | undefined} signal @param {string} where */
export function throwIfAborted(signal: AbortSignal | null | undefined, where: string): void;
/** Describes the type of a value, for messages. @param {unknown} value */
export function typeName(value: unknown): any;
/** Returns the failure of a call, with the place of a message or of the format as the request names it.
 * @param {unknown} thrown @param {string} root path of what has the messages: "request." or "" */
export function inRequest(thrown: unknown, root: string): Failure;
import { Failure } from "../../shared/failure.js";
