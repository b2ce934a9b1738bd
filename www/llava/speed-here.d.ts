/**
 * Measures the backends that may be used, unless an earlier visit has.
 * @param {BackendChoice} wanted
 * @param {AbortSignal | undefined} signal ends the measurement, which then rejects
 * @param {import("./engine-options.js").EngineOptions} options
 * @returns {Promise<Speeds>}
 */
export function speedsHere(wanted: BackendChoice, signal: AbortSignal | undefined, options: import("./engine-options.js").EngineOptions): Promise<Speeds>;
export type BackendChoice = import("../shared/protocol.js").BackendChoice;
/**
 * Bytes of weights that are read in a second while a token is computed, by the type of the weights.
 */
export type Rates = {
    q8: number;
    q4: number;
};
/**
 * Rates by backend; those that were not measured are absent.
 */
export type Speeds = {
    webgpu?: Rates;
    cpu?: Rates;
};
