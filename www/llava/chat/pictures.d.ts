/** Returns the file of a picture.
 * @param {string | ImageInput} source @param {string} where of the request @param {AbortSignal | null} signal
 * @returns {Promise<Blob>} */
export function readPicture(source: string | ImageInput, where: string, signal: AbortSignal | null): Promise<Blob>;
export type ImageInput = import("./types.js").ImageInput;
