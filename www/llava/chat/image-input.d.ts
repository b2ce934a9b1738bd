/** Returns the file of a picture.
 * @param {ImageInput} image @param {string} where @param {AbortSignal | null} signal
 * @param {(address: string) => Promise<Blob>} fetchFile @returns {Promise<Blob>} */
export function imageFile(image: ImageInput, where: string, signal: AbortSignal | null, fetchFile: (address: string) => Promise<Blob>): Promise<Blob>;
/** Returns a drawing of the picture at an address, which a page's policy may allow only elements to load.
 * @param {string} address @param {string} where */
export function drawnAddress(address: string, where: string): Promise<Blob>;
export function isImage(value: unknown): value is ImageInput;
export type ImageInput = import("./types.js").ImageInput;
export type Drawable = Exclude<ImageInput, Blob | ImageData>;
