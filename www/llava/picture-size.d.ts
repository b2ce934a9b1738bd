/** Returns the pace that an estimate of the speed gives. @param {Probe | null} probe @returns {Pace | null} */
export function paceOf(probe: Probe | null): Pace | null;
/** Returns the reason for the plan's size; empty where it is the checkpoint's own.
 * @param {Plan} plan @param {SizeChoice} choice */
export function reasonFor(plan: Plan, { chosen, pace }: SizeChoice): "" | "as you chose" | "chosen so that a picture takes under 10 s here" | "the smallest: a picture takes more than 10 s here at every size";
/** Chooses the size for a model that has just been opened. Nothing is measured where there is only one.
 * @param {EngineLink} link @param {Opened} opened @param {number | undefined} longest_edge that is wanted; one that the
 *   model cannot have is passed over
 * @param {Probe | null} [measured] estimate, where it was made already
 * @returns {Promise<{ opened: Opened, size: SizeChoice }>} */
export function chooseSize(link: EngineLink, opened: Opened, longest_edge: number | undefined, measured?: Probe | null): Promise<{
    opened: Opened;
    size: SizeChoice;
}>;
/** Stores the pace of a model for the next time. @param {EngineLink} link @param {Opened} opened @param {Pace} pace */
export function rememberPace(link: EngineLink, opened: Opened, pace: Pace): Promise<void>;
/** State of a model whose pictures have one size. @type {SizeChoice} */
export const ONE_SIZE: SizeChoice;
export function hasSizes(plan: Plan | null): boolean;
export function secondsOf({ tiles, rows }: {
    tiles: number;
    rows: number;
}, { row, tile }: Pace): number;
export type Opened = import("../shared/protocol.js").Opened;
export type Plan = import("../shared/protocol.js").Plan;
export type Probe = import("../shared/protocol.js").Probe;
export type EngineLink = import("./engine-link.js").EngineLink;
/**
 * Seconds that pictures take here, for each row through the decoder and each tile through the tower.
 */
export type Pace = {
    row: number;
    tile: number;
};
/**
 * The size of pictures that are cut into tiles: whether it was wanted, the pace where it is known, and the estimate
 * that was made to choose it.
 */
export type SizeChoice = {
    chosen: boolean;
    pace: Pace | null;
    probe: Probe | null;
};
