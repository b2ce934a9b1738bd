/** Reads the files of all pictures. Pixels of elements are those of the moment of this call.
 * @param {SourceMessage[]} messages @param {AbortSignal | null} signal @returns {Promise<ReadMessage[]>} */
export function readPictures(messages: SourceMessage[], signal: AbortSignal | null): Promise<ReadMessage[]>;
/** Makes the pictures resident that the engine misses, and returns the messages as it reads them.
 * @param {EngineCall} call @param {ReadMessage[]} read @param {(event: Event) => void} [onProgress]
 * @returns {Promise<Message[]>} */
export function encodePictures(call: EngineCall, read: ReadMessage[], onProgress?: (event: Event) => void): Promise<Message[]>;
/** Makes a picture resident. One that the engine refuses is replaced by the browser's drawing of it.
 * @param {EngineCall} call @param {Blob} file @param {string} where @param {string[]} needed ids of other pictures that
 *   must stay @param {(event: Event) => void} [onEvent] @returns {Promise<Seen & { file: Blob }>} with what was encoded */
export function encodePicture(call: EngineCall, file: Blob, where: string, needed: string[], onEvent?: (event: Event) => void): Promise<Seen & {
    file: Blob;
}>;
export type Event = import("../../shared/protocol.js").Event;
export type Message = import("../../shared/protocol.js").Message;
export type Seen = import("../../shared/protocol.js").Seen;
export type EngineCall = import("./call-queue.js").EngineCall;
export type SourceMessage = import("./types.js").SourceMessage;
/**
 * A picture's file, and its id where this page may compute it.
 */
export type ReadPicture = {
    file: Blob;
    where: string;
    id: string | null;
};
export type ReadMessage = {
    role: Message["role"];
    parts: ({
        text: string;
    } | ReadPicture)[];
};
