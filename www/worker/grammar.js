// Constraints on answers. The module of grammars is loaded when an answer is first constrained; it is as large as the
// engine's. The engine calls it for every token, in this worker.

import { Failure } from "../shared/failure.js";
import { compileCode, fetchCode } from "../shared/threads.js";

/** @typedef {import("../shared/protocol.js").Constraint} Constraint */
/** @typedef {import("../shared/protocol.js").GenerateOptions} GenerateOptions */
/** @typedef {import("../shared/protocol.js").ResponseFormat} ResponseFormat */
/** @typedef {import("../pkg/llava_web.js").Llava} Llava */
/** @typedef {typeof import("../pkg/grammar/llava_grammar.js")} Build */
/** @typedef {import("../pkg/grammar/llava_grammar.js").Grammars} Grammars */

/** Address of the module's code. */
let code = new URL("../pkg/grammar/llava_grammar_bg.wasm", import.meta.url).href;

/** @type {Promise<Build> | null} */
let loading = null;
/** The vocabularies of engines, as the module has them. @type {WeakMap<Llava, Grammars>} */
let vocabularies = new WeakMap();
/** How often the module has begun anew: objects from before are gone with its memory. */
let resets = 0;

/** Sets the place of the module's code, where it is not beside this script. @param {string} address */
export function useGrammarCode(address) {
  code = address;
}

/** @returns {Promise<Build>} */
async function load() {
  try {
    const build = await import("../pkg/grammar/llava_grammar.js");
    await build.default({ module_or_path: await compileCode(fetchCode(code)) });
    return build;
  } catch (thrown) {
    loading = null;
    throw new Failure({ kind: "engine", place: new URL(code).pathname, message: String(thrown), hint: "Check the connection, then retry." });
  }
}

/**
 * Runs `work` of the module, and converts what it throws. A trap, such as a panic or an exhausted stack, leaves it
 * unusable: it begins anew with the next answer.
 * @template T @param {Build} build @param {() => T} work @returns {T}
 */
function guarded(build, work) {
  try {
    return work();
  } catch (thrown) {
    const refused = thrown instanceof Error && Object.getPrototypeOf(thrown) === Error.prototype;
    if (!refused) {
      build.__wbg_reset_state();
      vocabularies = new WeakMap();
      resets += 1;
    }
    const message = refused ? thrown.message : `the module of grammars failed: ${thrown}`;
    throw new Failure({ kind: "argument", place: "response_format", message });
  }
}

/** @param {Build} build @param {Llava} engine */
function vocabularyOf(build, engine) {
  const known = vocabularies.get(engine);
  if (known) return known;
  const packed = engine.vocabulary();
  const made = guarded(build, () => new build.Grammars(packed));
  vocabularies.set(engine, made);
  return made;
}

/**
 * Answers with the options that the engine knows, under the constraint that `response_format` asks for.
 * @template T
 * @param {Llava} engine @param {GenerateOptions} options
 * @param {(options: Omit<GenerateOptions, "response_format">) => Promise<T>} answer @returns {Promise<T>}
 */
export async function constrained(engine, { response_format, ...options }, answer) {
  if (!response_format || response_format.type === "text") return answer(options);
  const build = await (loading ??= load());
  const begun = resets;
  const vocabulary = vocabularyOf(build, engine);
  const constraint = guarded(build, () => vocabulary.constrain(JSON.stringify(response_format)));
  try {
    engine.constrain({
      mask: () => guarded(build, () => constraint.mask()),
      accept: (token) => guarded(build, () => constraint.accept(token)),
    });
    return await answer(options);
  } finally {
    // An answer that was refused before its first token has left the constraint with the engine.
    engine.constrain(null);
    if (begun === resets) constraint.free();
  }
}
