/** Returns the address of the grammars' code; `undefined` where it is beside the package's scripts.
 * @param {EngineOptions} options */
export function grammarAddress(options: EngineOptions): string | undefined;
/** Chooses the build for this browser, and requests it, unless an earlier call has. @param {EngineOptions} options
 * @returns {EngineCode} */
export function engineCode(options: EngineOptions): EngineCode;
export type Threads = import("../shared/protocol.js").Threads;
export type EngineOptions = import("./engine-options.js").EngineOptions;
/**
 * `version` identifies the build by its response headers, which are known before its code. `code` is `null` where it
 * could not be compiled: then the worker tries again, and reports the error.
 */
export type EngineCode = {
    threads: Threads;
    address: string;
    version: Promise<string>;
    code: Promise<WebAssembly.Module | null>;
};
