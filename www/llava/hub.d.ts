/** Lists a repository, or a folder of it.
 * @param {Repository} repository @param {AbortSignal} [signal] @returns {Promise<HubFile[]>} */
export function listRepository({ id, revision, folder }: Repository, signal?: AbortSignal): Promise<HubFile[]>;
/** Returns the model in a listed repository.
 * @param {Repository} repository @param {HubFile[]} files @param {number} memory @returns {ModelRef} */
export function modelIn(repository: Repository, files: HubFile[], memory: number): ModelRef;
/**
 * Finds the model that one or two names mean: a language model and its mmproj, or all in one.
 * @param {string[]} texts @param {string} base address that others are relative to
 * @param {() => Promise<number>} memory bytes that a model may take on this machine
 * @param {AbortSignal} [signal]
 * @returns {Promise<ModelRef>}
 */
export function resolveModel(texts: string[], base: string, memory: () => Promise<number>, signal?: AbortSignal): Promise<ModelRef>;
export type HubFile = import("../shared/hub-files.js").HubFile;
export type Repository = import("../shared/hub-name.js").Repository;
export type ModelRef = import("../shared/protocol.js").ModelRef;
