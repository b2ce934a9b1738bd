/** Finds the model that a reference means.
 * @param {Ref} ref @param {ResolveOptions} options @returns {Promise<ModelRef>} */
export function resolveRef(ref: Ref, options: ResolveOptions): Promise<ModelRef>;
export type ModelRef = import("../shared/protocol.js").ModelRef;
export type Stored = import("../shared/protocol.js").Stored;
/**
 * A file with its path in the folder of the model.
 */
export type FileInFolder = {
    path: string;
    file: File;
};
/**
 * What names a model: an address, a name on the hub (`org/name`, `org/name:Q4_K_M`, `hf.co/org/name`), a name in the
 * catalogue, a key of `LLaVA.cached()`; two of these for a language model and its mmproj; files of a model, or a
 * folder with them.
 */
export type Ref = string | URL | string[] | File | FileList | File[] | FileInFolder[] | FileSystemDirectoryHandle | Stored | ModelRef;
/**
 * Options of finding a model: the backend decides how much memory there is.
 */
export type ResolveOptions = import("./engine-options.js").EngineOptions & {
    backend?: import("../shared/protocol.js").BackendChoice;
    signal?: AbortSignal;
};
/**
 * `memory`: bytes that a model may take.
 */
export type How = {
    memory: () => Promise<number>;
    options: ResolveOptions;
};
