/** @param {ImageData} pixels RGBA, 8 bits each @returns {Promise<Blob>} */
export function encodePng({ width, height, data }: ImageData): Promise<Blob>;
