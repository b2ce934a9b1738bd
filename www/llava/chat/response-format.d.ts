/** Reads the format; `null` where every text is allowed. The schema itself is checked by the engine.
 * @param {unknown} value @param {string} where @returns {Exclude<ResponseFormat, { type: "text" }> | null} */
export function readResponseFormat(value: unknown, where: string): Exclude<ResponseFormat, {
    type: "text";
}> | null;
export type ResponseFormat = import("../../shared/protocol.js").ResponseFormat;
