/** Deletes stored models: a listed one, or those of a key, a name or an address.
 * @param {Stored | string} ref @param {EngineOptions} options
 * @returns {Promise<number>} of deleted models */
export function deleteStored(ref: Stored | string, options: EngineOptions): Promise<number>;
export function storedModels(options: EngineOptions): Promise<{
    kind: import("../shared/protocol.js").Storage["kind"];
    models: import("../shared/protocol.js").Stored[];
}>;
export type Calls = import("../shared/protocol.js").Calls;
export type Stored = import("../shared/protocol.js").Stored;
export type EngineOptions = import("./engine-options.js").EngineOptions;
