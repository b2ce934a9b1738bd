export namespace LLaVA {
    /** Sets options for all later calls. A bundler that leaves workers where they are needs `base`.
     * @param {EngineOptions} options */
    export function configure(options: EngineOptions): void;
    /**
     * Opens a model, downloads what is missing of it, and loads it.
     * @param {Ref} ref @param {InspectOptions & LoadOptions} [options]
     * @returns {Promise<Model>} rejects with a LlavaError; of kind "cancelled" when `signal` was aborted
     */
    export function load(ref: Ref, options?: InspectOptions & LoadOptions): Promise<Model>;
    /**
     * Opens a model without loading it: what it needs, and what may be chosen. Its own `load` goes on from there.
     * @param {Ref} ref @param {InspectOptions} [options] @returns {Promise<Inspection>}
     */
    export function inspect(ref: Ref, options?: InspectOptions): Promise<Inspection>;
    /**
     * Finds the model that a reference means, without opening it: the addresses of its files, its other files, what the
     * catalogue knows of it. The result is itself a reference.
     * @param {Ref} ref @param {import("./model-ref.js").ResolveOptions} [options]
     * @returns {Promise<import("../shared/protocol.js").ModelRef>}
     */
    export function resolve(ref: Ref, options?: import("./model-ref.js").ResolveOptions): Promise<import("../shared/protocol.js").ModelRef>;
    /** Lists the known models; none where the list cannot be read. Each is a reference by its `id`.
     * @param {EngineOptions} [options] */
    export function catalogue(options?: EngineOptions): Promise<import("./catalogue.js").CatalogueModel[]>;
    /** Describes this browser's storage: its kind, the models in it, newest first, and the bytes that may still be
     * stored, `null` where the browser does not say.
     * @param {EngineOptions} [options]
     * @returns {Promise<{ kind: "opfs" | "cache" | "none", models: Stored[], room: number | null }>} */
    export function storage(options?: EngineOptions): Promise<{
        kind: "opfs" | "cache" | "none";
        models: Stored[];
        room: number | null;
    }>;
    /**
     * Loads a model, and restores a conversation with it that `model.save` returned.
     * @param {Uint8Array | ArrayBuffer | Blob} saved @param {Ref} ref @param {InspectOptions & LoadOptions} [options]
     * @returns {Promise<Model>} rejects where another model has saved it
     */
    export function restore(saved: Uint8Array | ArrayBuffer | Blob, ref: Ref, options?: InspectOptions & LoadOptions): Promise<Model>;
    /** Lists the models in this browser's storage, newest first.
     * @param {EngineOptions} [options] @returns {Promise<Stored[]>} */
    export function cached(options?: EngineOptions): Promise<Stored[]>;
    /**
     * Deletes models from this browser's storage.
     * @param {string | URL | Stored} ref a key or an entry of `LLaVA.cached()`, or the name or address that a model was
     *   loaded by
     * @param {EngineOptions} [options]
     * @returns {Promise<number>} how many were deleted
     */
    function _delete(ref: string | URL | Stored, options?: EngineOptions): Promise<number>;
    export { _delete as delete };
    /**
     * Chooses known models that suit this machine: two or three of those that fit, from the smallest to the best. With
     * `measure` the speed of this machine is measured first, unless an earlier visit has, which takes some seconds.
     * @param {EngineOptions & { backend?: import("../shared/protocol.js").BackendChoice, measure?: boolean, signal?:
     *   AbortSignal }} [options]
     * @returns {Promise<import("./suitable.js").Suitable[]>}
     */
    export function suitable({ backend, measure, signal, ...engine }?: EngineOptions & {
        backend?: import("../shared/protocol.js").BackendChoice;
        measure?: boolean;
        signal?: AbortSignal;
    }): Promise<import("./suitable.js").Suitable[]>;
    /** Describes this machine, as far as browsers tell: whether it has a GPU, the bytes that a model may take, the bytes
     * that may be stored.
     * @param {{ backend?: import("../shared/protocol.js").BackendChoice }} [options] */
    export function machine({ backend }?: {
        backend?: import("../shared/protocol.js").BackendChoice;
    }): Promise<import("./machine.js").Machine>;
}
export type EngineOptions = import("./engine-options.js").EngineOptions;
export type InspectOptions = import("./inspection.js").InspectOptions;
export type LoadOptions = import("./inspection.js").LoadOptions;
export type Ref = import("./model-ref.js").Ref;
export type Model = import("./model.js").Model;
export type Stored = import("../shared/protocol.js").Stored;
import { Inspection } from "./inspection.js";
