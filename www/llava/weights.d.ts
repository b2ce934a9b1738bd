/** Returns the opened model with another type for its weights.
 * @param {EngineLink} link @param {Opened} opened @param {Quant | undefined} quant @returns {Promise<Opened>} */
export function withQuant(link: EngineLink, opened: Opened, quant?: Quant | undefined): Promise<Opened>;
/**
 * Chooses the type for a model that has just been opened.
 * @param {EngineLink} link @param {Opened} opened @param {QuantName | undefined} name of the wanted type; one that the
 *   model cannot have is passed over
 * @returns {Promise<{ opened: Opened, weights: Weights }>}
 */
export function chooseWeights(link: EngineLink, opened: Opened, name: QuantName | undefined): Promise<{
    opened: Opened;
    weights: Weights;
}>;
export function nameOfQuant(quant: Quant | undefined): QuantName;
export type Opened = import("../shared/protocol.js").Opened;
export type Plan = import("../shared/protocol.js").Plan;
export type Quant = import("../shared/protocol.js").Quant;
export type EngineLink = import("./engine-link.js").EngineLink;
/**
 * Name of a type of weights; "exact" keeps their own.
 */
export type QuantName = "exact" | "q8" | "q4";
/**
 * The type of a float checkpoint's weights: whether it was wanted, the proposed type, and the reason.
 */
export type Weights = {
    chosen: boolean;
    proposed: Quant | undefined;
    why: string;
};
