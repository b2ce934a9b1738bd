// Forced decoding: the model chooses every token of a reference answer, given the reference's tokens before it.

/** @typedef {import("../shared/protocol.js").Message} Message */
/** @typedef {import("../llava/engine-link.js").EngineLink} EngineLink */

/**
 * Agreement with a reference answer. `ties` are the steps at which another token was chosen whose logit is as near as
 * the allowed error; `first` describes the first wrong step, and is empty where there is none.
 * @typedef {{ steps: number, agreed: number, ties: number, first: string, logits: number[][] }} Agreement */

/** @param {number[]} values */
const power = (values) => values.reduce((sum, value) => sum + value * value, 0) / values.length;

/**
 * @param {EngineLink} link @param {Message[]} messages @param {number[]} reference tokens
 * @param {number} bound on the normalised mean square error of logits
 * @returns {Promise<Agreement>}
 */
export async function forcedDecoding(link, messages, reference, bound) {
  /** @type {Agreement} */
  const found = { steps: reference.length, agreed: 0, ties: 0, first: "", logits: [] };
  for (let done = 0; done < reference.length; ) {
    const options = { max_new_tokens: reference.length, temperature: 0, top_p: 1, seed: 0, keep_logits: true, ignore_eos: true, begin: reference.slice(0, done) };
    const { ids, logits = [] } = (await link.call("generate", { messages, options })).answer;
    if (ids.length !== reference.length) throw new Error(`an answer of ${reference.length} tokens has ${ids.length}`);
    const begun = done;
    for (let same = true; same && done < reference.length; done++) {
      const [row, chosen, right] = [logits[done - begun] ?? [], ids[done] ?? -1, reference[done] ?? -1];
      found.logits.push(row);
      same = chosen === right;
      const gap = (row[chosen] ?? NaN) - (row[right] ?? NaN);
      if (same) found.agreed += 1;
      // A difference of two logits with this error each.
      else if (gap >= 0 && gap <= 4 * Math.sqrt(bound * power(row))) found.ties += 1;
      else found.first ||= `token ${done} is ${chosen} instead of ${right}, whose logit is ${gap.toPrecision(3)} lower`;
    }
  }
  return found;
}

/** Returns the largest normalised mean square error of rows of logits; infinite where there is none.
 * @param {number[][]} found @param {number[][]} wanted */
export function logitsError(found, wanted) {
  const errors = wanted.map((row, step) => {
    const other = found[step] ?? [];
    const difference = row.reduce((sum, value, i) => sum + ((other[i] ?? NaN) - value) ** 2, 0);
    return difference === 0 ? 0 : difference / row.length / power(row);
  });
  const largest = Math.max(...errors);
  return Number.isNaN(largest) ? Infinity : largest;
}
