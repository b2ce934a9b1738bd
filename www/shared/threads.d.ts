/** @param {number} most pages @returns {{ memory: WebAssembly.Memory, pages: number } | null} */
export function sharedMemory(most: number): {
    memory: WebAssembly.Memory;
    pages: number;
} | null;
/** Chooses build and threads for this browser. @param {number} [wanted] at most @returns {Threads} */
export function chooseThreads(wanted?: number): Threads;
/** Requests the engine's code.
 * @param {string} address @returns {Promise<Response>} rejects when no answer begins within STALL_TIMEOUT */
export function fetchCode(address: string): Promise<Response>;
/** Compiles the engine's code while it arrives, or from its bytes where the host does not send WebAssembly's type.
 * @param {Promise<Response>} request @returns {Promise<WebAssembly.Module>} */
export function compileCode(request: Promise<Response>): Promise<WebAssembly.Module>;
export type Threads = import("./protocol.js").Threads;
