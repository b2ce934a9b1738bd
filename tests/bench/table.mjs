// Figures → a table for people (Markdown) and for programs (CSV).

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? NaN) + (sorted[sorted.length >> 1] ?? NaN)) / 2;
}

/** How far the runs are apart, in percent of their median. @param {number[]} values */
const spread = (values) => (values.length < 2 ? "one run" : `±${((50 * (Math.max(...values) - Math.min(...values))) / median(values)).toFixed(0)} %`);

/** @param {number} value */
const short = (value) => (Number.isNaN(value) ? "—" : value.toPrecision(3));

/**
 * @typedef {object} Row
 * @property {string} size
 * @property {string} engine
 * @property {string} group  engines of one group are compared: `cpu 1`, `cpu 2`, `webgpu`
 * @property {boolean} first  of its group, which the others are compared with: ours
 * @property {string} verdict  whether what it computes is right
 * @property {string} says  what it says of where it runs
 * @property {number} tokens  decoded in a run
 * @property {number} rows  about as many as its prompt has
 * @property {boolean} cold  the first run was too long for another
 * @property {number[]} prefill  tokens per second
 * @property {number[]} decode  tokens per second
 */

/** What `row` is compared with. @param {Row[]} rows @param {Row} row */
const reference = (rows, row) => rows.find((other) => other.first && other.size === row.size && other.group === row.group);

/**
 * Whether ours is as many times as fast as it has to be.
 * @param {Row[]} rows @param {Record<string, number>} least  by group
 */
export function bars(rows, least) {
  return rows.flatMap((row) => {
    const [bar, first] = [least[row.group], reference(rows, row)];
    if (row.first || !first || !bar) return [];
    return /** @type {const} */ (["prefill", "decode"]).map((what) => {
      const ratio = median(first[what]) / median(row[what]);
      return `${ratio >= bar ? "met" : "**missed**"}: ${row.engine}, ${what} ${short(ratio)}, at least ${bar}`;
    });
  });
}

/** @param {Row[]} rows @param {string} about @param {string} first  what the first of each group is */
export function markdown(rows, about, first) {
  const head = ["model", "engine", "compared as", "prefill, tokens/s", `${first} is × as fast`, "decode, tokens/s", `${first} is × as fast`, "runs × decoded", "what it computes"];
  const lines = rows.map((row) => {
    const first = reference(rows, row);
    /** @param {"prefill" | "decode"} what */
    const ratio = (what) => (row.first || !first ? "" : short(median(first[what]) / median(row[what])));
    const figure = (/** @type {number[]} */ values) => `${short(median(values))} (${spread(values)})`;
    const cells = [row.size, row.engine, row.group, figure(row.prefill), ratio("prefill"), figure(row.decode), ratio("decode"), `${row.prefill.length} × ${row.tokens}${row.cold ? ", cold" : ""}`, row.verdict];
    return `| ${cells.join(" | ")} |`;
  });
  return [about, "", `| ${head.join(" | ")} |`, `|${head.map(() => "---").join("|")}|`, ...lines, ""].join("\n");
}

/** @param {Row[]} rows */
export function csv(rows) {
  const head = "size,engine,group,first,prefill_tokens_per_s,prefill_runs,decode_tokens_per_s,decode_runs,decoded,verdict,says";
  const quoted = (/** @type {unknown} */ value) => `"${String(value).replaceAll('"', '""')}"`;
  const lines = rows.map((row) =>
    [row.size, row.engine, row.group, row.first, median(row.prefill), row.prefill.join(" "), median(row.decode), row.decode.join(" "), row.tokens, row.verdict, row.says].map(quoted).join(","),
  );
  return [head, ...lines, ""].join("\n");
}
