/**
 * Opens `model` in `link`, on the backend that is wanted or on the faster one.
 * @param {EngineLink} link @param {ModelRef} model @param {BackendChoice} wanted
 * @param {(opened: Opened) => QuantName | undefined} quant names the type that is wanted for the weights
 * @returns {Promise<Choice>} whose link has the model open; any second worker is closed
 */
export function openModel(link: EngineLink, model: ModelRef, wanted: BackendChoice, quant: (opened: Opened) => QuantName | undefined): Promise<Choice>;
export type BackendChoice = import("../shared/protocol.js").BackendChoice;
export type ModelRef = import("../shared/protocol.js").ModelRef;
export type Opened = import("../shared/protocol.js").Opened;
export type Probe = import("../shared/protocol.js").Probe;
/**
 * `probe` is the estimate of the opened model, where it was made.
 */
export type Choice = {
    link: EngineLink;
    opened: Opened;
    why: string;
    weights: import("./weights.js").Weights;
    probe?: Probe | null;
};
export type QuantName = import("./weights.js").QuantName;
export type Decision = {
    backend: BackendChoice;
    why: string;
};
import { EngineLink } from "./engine-link.js";
