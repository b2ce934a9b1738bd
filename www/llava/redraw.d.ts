/** Returns the browser's drawing of a picture, upright, on white, as PNG. @param {Blob} blob */
export function redraw(blob: Blob): Promise<Blob>;
