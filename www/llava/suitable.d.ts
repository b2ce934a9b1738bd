/** Returns the tokens per second of a model on the faster backend; 0 where nothing was measured.
 * @param {CatalogueVariant} variant @param {Speeds} speeds */
export function tokensPerSecond({ name, bytes_per_token, memory }: CatalogueVariant, { webgpu, cpu }: Speeds): number;
/** Returns a model's best variant for a machine: the largest that fits and is no long download, or the smallest that
 * fits. @param {Pick<CatalogueModel, "variants">} model @param {Pick<Machine, "memory" | "room">} machine */
export function variantFor({ variants }: Pick<CatalogueModel, "variants">, { memory, room }: Pick<Machine, "memory" | "room">): import("./catalogue.js").CatalogueVariant | undefined;
/** Returns the offers for a machine, the smallest first. The smallest model is offered even where it is slow.
 * @param {CatalogueModel[]} models @param {Machine} machine @param {Speeds} speeds @returns {Suitable[]} */
export function suitableModels(models: CatalogueModel[], machine: Machine, speeds: Speeds): Suitable[];
/** Tokens per second below which a model is not offered. */
export const TOO_SLOW: 1;
export type Machine = import("./machine.js").Machine;
export type Speeds = import("./speed-here.js").Speeds;
export type CatalogueModel = import("./catalogue.js").CatalogueModel;
export type CatalogueVariant = import("./catalogue.js").CatalogueVariant;
/**
 * `bytes`: to download. `rate`: tokens per second, 0 where it was not measured. `clear`: whether there is no doubt
 * that it fits. `addresses`: of its files, which open it.
 */
export type Suitable = {
    model: CatalogueModel;
    variant: CatalogueVariant;
    addresses: string[];
    bytes: number;
    rate: number;
    clear: boolean;
};
