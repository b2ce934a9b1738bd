/** Sets options for all later calls. @param {EngineOptions} options */
export function configure(options: EngineOptions): void;
/** Returns the folder of the package; `null` where its files are beside its scripts. @param {EngineOptions} options */
export function baseOf({ base }: EngineOptions): URL | null;
/** Returns the folder of the engine's builds; `null` where it is beside the package's scripts.
 * @param {EngineOptions} options */
export function buildsOf(options: EngineOptions): URL | null;
export function pageAddress(): string;
export function threadsOf({ threads }: EngineOptions): number | undefined;
/**
 * `base`: address of the package's folder, where its files are not beside its scripts. `wasm`: address of the folder
 * of the engine's builds (`pkg/`), where it is not in that. `threads`: the most that the engine may have on the CPU.
 */
export type EngineOptions = {
    base?: string | URL;
    wasm?: string | URL;
    threads?: number;
};
