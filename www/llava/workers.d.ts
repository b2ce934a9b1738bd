/** Starts a worker of the package. @param {Script} script @param {EngineOptions} options */
export function startWorker(script: Script, options: EngineOptions): Worker;
/** Returns the address of a script of the package; `null` where a bundler has placed it.
 * @param {Script} script @param {EngineOptions} options */
export function scriptAddress(script: Script, options: EngineOptions): string | null;
/**
 * Starts the workers that are the engine's other threads on the CPU. The page makes them: in Firefox, a worker that
 * makes another may wait for ever. Each waits at its port, which the engine's worker receives, for the memory that it
 * shares. The page never holds that memory, and so does not keep it alive.
 * @param {number} count @param {EngineOptions} [options]
 * @returns {{ workers: Worker[], ports: MessagePort[] }}
 */
export function createThreadWorkers(count: number, options?: EngineOptions): {
    workers: Worker[];
    ports: MessagePort[];
};
export type EngineOptions = import("./engine-options.js").EngineOptions;
export type Script = "worker/worker.js" | "worker/worker-threads.js" | "worker/pool-thread.js" | "worker/storage.js";
