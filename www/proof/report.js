// The report of a proof: what is saved as JSON, its verdict, and its table as text.

/** @typedef {import("./proof.js").Proven} Proven */
/** @typedef {import("./proof.js").Run} Run */

/** Tells the format of the file. */
export const FORMAT = "llava-web proof";

/**
 * @typedef {object} Report
 * @property {string} format
 * @property {1} version
 * @property {string} date  ISO 8601
 * @property {string} adapter  empty where there is no GPU
 * @property {string} browser
 * @property {string} page  version of the page; empty where it was not built for a host
 * @property {string} engine
 * @property {number} seconds
 * @property {string} why  the reason why there is no GPU; empty where there is one
 * @property {string[]} ways
 * @property {Run[]} runs
 */

/** Returns the ways with a wrong result, and those without. @param {Pick<Report, "ways" | "runs">} report */
export function verdictOf({ ways, runs }) {
  const isWrong = (/** @type {string} */ way) => runs.some((run) => run.way === way && run.wrong.length > 0);
  return { wrong: ways.filter(isWrong), right: ways.filter((way) => !isWrong(way)) };
}

/** Returns the operation nearest to its bound, or farthest beyond it. @param {Run} run */
export function worst({ operations }) {
  const share = operations.map(({ error, bound }) => error / bound);
  return operations[share.indexOf(Math.max(...share))];
}

/** Returns the cells of a run, for tables. @param {Run} run */
export function cells(run) {
  const most = worst(run);
  return [
    run.way,
    run.model,
    `${run.operations.filter(({ error, bound }) => error <= bound).length} of ${run.operations.length}`,
    most ? `${most.error.toExponential(1)} of ${most.bound}` : "",
    `${run.agreed} of ${run.steps}${run.ties ? `, ${run.ties} near ${run.ties > 1 ? "ties" : "tie"}` : ""}`,
    run.sampled ? "equal" : "other",
    run.error === null ? "" : `${run.error.toExponential(1)} of ${run.bound}`,
  ];
}

/** Names of the cells. */
export const COLUMNS = ["way", "model", "operations right", "largest error", "tokens as the reference's", "sampled answer", "logits against the first way"];

/** Checks that a value is a report. @param {unknown} value @param {string} place @returns {Report} */
export function parseReport(value, place) {
  const report = /** @type {Partial<Report> | null} */ (value);
  if (typeof report !== "object" || report?.format !== FORMAT || report.version !== 1) throw new Error(`${place} is no report of a proof (format "${FORMAT}", version 1)`);
  const texts = [report.date, report.adapter, report.browser, report.page, report.engine];
  const isText = (/** @type {unknown} */ text) => typeof text === "string";
  if (!texts.every(isText) || !Array.isArray(report.ways) || !report.ways.every(isText) || !Array.isArray(report.runs)) throw new Error(`${place}: a field is missing or of another type`);
  for (const [i, run] of report.runs.entries()) {
    const numbers = [run?.steps, run?.agreed, run?.ties].every(Number.isInteger);
    const operations = Array.isArray(run?.operations) && run.operations.every((/** @type {any} */ one) => isText(one?.operation) && Number.isFinite(one.error) && Number.isFinite(one.bound));
    if (!numbers || !operations || !isText(run.way) || !isText(run.model) || !Array.isArray(run.wrong)) throw new Error(`${place}: runs[${i}] lacks a field`);
  }
  return /** @type {Report} */ (report);
}
