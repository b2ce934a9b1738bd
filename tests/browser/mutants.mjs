// Mutants of the shaders: one constant, operator, bound, index or barrier of a shader is changed, and the checks of
// proof.html must notice. `node tests/browser/mutants.mjs [COUNT [SEED [SKIP]]]` runs COUNT of them in Chromium, without
// the first SKIP, and prints a table.

import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { MODELS } from "../../www/proof/models.js";
import { launch, repository, rootWith, serve } from "./harness.mjs";

/** A mutant: the line `before` of a shader becomes `after`.
 * @typedef {{ file: string, line: number, kind: string, before: string, after: string }} Mutant */

const KERNELS = path.join(repository, "src/kernels");
/** Shaders that no model runs, since they measure the device, and those that this browser's adapter cannot run. */
const EXCLUDED = ["copy.wgsl", "dot4.wgsl", "fma.wgsl", "fma_f16.wgsl", "matmul_f16.wgsl"];
/** Mutants that are tried at the same time: much of a proof is one thread's work. */
const AT_ONCE = 2;
/** A proof of one model that takes longer hangs, ms. */
const LONGEST = 300_000;

/** Changes by kind: a pattern, and what becomes of each match. @type {[string, RegExp, (match: string) => string][]} */
const CHANGES = [
  ["constant", /(?<![\w.])(\d+)u\b/g, (text) => `${Number.parseInt(text, 10) + 1}u`],
  ["constant", /(?<![\w.])(\d+\.\d+)\b/g, (text) => `${Number.parseFloat(text) + 0.5}`.replace(/^(\d+)$/, "$1.0")],
  ["operator", / \+ /g, () => " - "],
  ["operator", / \* /g, () => " + "],
  ["operator", / - /g, () => " + "],
  ["operator", / \+= /g, () => " -= "],
  ["operator", / \/ /g, () => " * "],
  ["operator", / & /g, () => " | "],
  ["operator", / >> /g, () => " << "],
  ["bound", / < /g, () => " <= "],
  ["bound", / >= /g, () => " > "],
  ["bound", / < /g, () => " > "],
  ["index", /(?<=\w)\[(\w+)\]/g, (text) => `${text.slice(0, -1)} + 1u]`],
  ["barrier", /workgroupBarrier\(\);/g, () => ""],
];

/** Lists every mutant of a shader. Declarations are left out: bindings, types, and constants that the launcher sets.
 * @param {string} file */
function mutantsOf(file) {
  /** @type {Mutant[]} */ const mutants = [];
  const lines = readFileSync(path.join(KERNELS, file), "utf8").split("\n");
  for (const [index, line] of lines.entries()) {
    const code = line.split("//")[0] ?? "";
    if (!/[;{]/.test(code) || /^(const|struct|@group|var<|enable|@compute|fn |})/.test(code.trim())) continue;
    // A line that stands twice in a shader would be changed twice.
    if (lines.filter((other) => other === line).length > 1) continue;
    for (const [kind, pattern, change] of CHANGES) {
      for (const match of code.matchAll(pattern)) {
        const after = line.slice(0, match.index) + change(match[0]) + line.slice(match.index + match[0].length);
        mutants.push({ file, line: index + 1, kind, before: line, after });
      }
    }
  }
  return mutants;
}

/** Chooses mutants, the same for the same seed: a shader in turn, then one of its mutants. @param {number} seed */
export function* chosenMutants(seed = 1) {
  let state = seed >>> 0;
  // A linear congruential generator of 32 bits (Numerical Recipes), of which the upper bits are good.
  const below = (/** @type {number} */ n) => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32 * n) | 0;
  const names = readdirSync(KERNELS, { recursive: true }).map(String).filter((name) => name.endsWith(".wgsl") && !EXCLUDED.includes(name)).sort();
  const left = names.map(mutantsOf);
  while (left.some((mutants) => mutants.length)) {
    for (const mutants of left) if (mutants.length) yield /** @type {Mutant} */ (mutants.splice(below(mutants.length), 1)[0]);
  }
}

/** Changes every shader that has the line, in the worker. @param {Pick<Mutant, "before" | "after">} mutant */
const patch = ({ before, after }) => `{
  const create = GPUDevice.prototype.createShaderModule;
  GPUDevice.prototype.createShaderModule = function (descriptor) {
    return create.call(this, { ...descriptor, code: descriptor.code.split("\\n").map((line) => line === ${JSON.stringify(before)} ? ${JSON.stringify(after)} : line).join("\\n") });
  };
}\n`;

/** Lets every page of a context run the mutant. @param {import("playwright-core").BrowserContext} context
 * @param {Pick<Mutant, "before" | "after">} mutant */
export async function routeMutant(context, mutant) {
  await context.route("**/worker/worker*.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: patch(mutant) + (await response.text()) });
  });
}

/**
 * Proves with a mutant, or without one, in Chromium, until something is wrong.
 * @param {import("playwright-core").Browser} browser @param {string} url @param {Mutant | null} mutant
 * @param {string[]} [models] those that run, in place of all
 * @returns {Promise<{ wrong: string[], compiled: boolean, way: string }>}
 */
export async function prove(browser, url, mutant, models) {
  const context = await browser.newContext();
  try {
    if (mutant) await routeMutant(context, mutant);
    const page = await context.newPage();
    page.setDefaultTimeout(600_000);
    await page.goto(`${url}proof.html`);
    const found = await page.evaluate(async (models) => {
      const base = document.querySelector('script[type="module"]')?.getAttribute("src") ?? "";
      /** @type {typeof import("../../www/proof/proof.js")} */
      const { Proof } = await import(new URL(base.replace("main.js", "proof.js"), document.baseURI).href);
      const reference = await (await fetch(new URL(base.replace("main.js", "reference.json"), document.baseURI))).json();
      /** @type {import("../../www/proof/proof.js").Run | undefined} */ let wrong;
      const proof = new Proof(reference, ({ run }) => {
        if (run?.wrong.length && !wrong) proof.stop(), (wrong = run);
      }, models);
      const proven = await proof.run().catch((/** @type {unknown} */ thrown) => {
        if (!wrong) throw thrown;
      });
      // A GPU that cannot be opened is noticed as well.
      return { wrong: wrong?.wrong ?? (proven?.why ? [proven.why] : []), way: wrong?.way ?? "" };
    }, models);
    return { ...found, compiled: !found.wrong.some((text) => /of the shader:/.test(text)) };
  } finally {
    await context.close();
  }
}

/** The models, the one first that is proved in the shortest time on this browser's adapter, and the shipped one last. */
const CHEAP_FIRST = ["siglip", ...MODELS.map(({ name }) => name).filter((name) => !["siglip", "scenes"].includes(name)), "scenes"];
/** Shaders that the first of them does not run, and one that does. */
const RUN_BY = { "depthwise.wgsl": "ldp", "excite.wgsl": "ldp", "matmul_int8.wgsl": "gqa", "matvec_int8.wgsl": "gqa", "mean_pool.wgsl": "ldpv2", "pixel_shuffle.wgsl": "smolvlm" };

/** What is known of the mutants that have been tried. */
class Tally {
  caught = 0;
  done = 0;
  /** Those that did not compile: no mutants, since every page would notice. */
  refused = 0;
  /** @type {string[]} */ survivors = [];
  /** The model that is tried first, by shader: the one that caught its last mutant. @type {Map<string, string>} */
  #catchers = new Map(Object.entries(RUN_BY));

  /** Tries a mutant with one model after the other, until one catches it: the same checks as those of the whole proof.
   * A person, too, sees that a proof does not end. A browser that ends may have been ended from outside: then the mutant
   * is tried again, `last` time in another. Returns whether the browser can go on.
   * @param {import("playwright-core").Browser} browser @param {string} url @param {Mutant} mutant @param {boolean} last
   * @returns {Promise<"go on" | "restart" | "again">} */
  async try(browser, url, mutant, last) {
    const { file, line, kind, after } = mutant;
    const name = `${file}:${line} ${kind}: ${after.trim()}`;
    const first = this.#catchers.get(file);
    for (const model of first ? [first, ...CHEAP_FIRST.filter((name) => name !== first)] : CHEAP_FIRST) {
      const hang = { wrong: [`no end within ${LONGEST / 1000} s`], compiled: true, way: "hangs" };
      // A page that ends with an error shows it, as it shows what is wrong.
      const proof = prove(browser, url, mutant, [model]).catch((/** @type {unknown} */ thrown) => ({ wrong: [String(thrown)], compiled: true, way: "fails" }));
      const found = await Promise.race([proof, setTimeout(LONGEST, hang, { ref: false })]);
      const { wrong, compiled, way } = found;
      if (!browser.isConnected() && !last) return "again";
      if (!compiled) {
        this.refused += 1;
        return "go on";
      }
      if (!wrong.length) continue;
      this.#catchers.set(file, model);
      this.caught += 1;
      this.#print(`caught by ${model}, ${way}`, `${name} | ${(wrong[0] ?? "").slice(0, 160)}`);
      return found === hang || !browser.isConnected() ? "restart" : "go on";
    }
    this.survivors.push(name);
    this.#print("SURVIVES", name);
    return "go on";
  }

  /** @param {string} outcome @param {string} text */
  #print(outcome, text) {
    this.done += 1;
    console.log(`${String(this.done).padStart(3)} ${outcome} | ${text}`);
  }
}

/** Serves www/ as it is. */
async function main() {
  const [count = 100, seed = 1, skip = 0] = process.argv.slice(2).map(Number);
  const served = await rootWith(async () => {});
  const server = await serve(served.root);
  const tally = new Tally();
  const mutants = chosenMutants(seed);
  for (let i = 0; i < skip; i++) mutants.next();
  let started = 0;
  const work = async () => {
    let browser = await launch({ gpu: true });
    try {
      // Another takes the place of one that does not compile.
      while (started - tally.refused < count) {
        const { value, done } = mutants.next();
        if (done) return;
        started += 1;
        for (let round = 0, outcome = "again"; outcome === "again"; round++) {
          outcome = await tally.try(browser, server.url, value, round > 0);
          if (outcome === "go on") continue;
          await browser.close();
          browser = await launch({ gpu: true });
        }
      }
    } finally {
      await browser.close();
    }
  };
  try {
    const browser = await launch({ gpu: true });
    const unchanged = await prove(browser, server.url, null).finally(() => browser.close());
    if (unchanged.wrong.length) throw new Error(`without a mutant: ${unchanged.wrong.join("; ")}`);
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    const { caught, done, refused, survivors } = tally;
    console.log(`${caught} of ${done} mutants caught (${refused} more did not compile)\nSurvivors:\n${survivors.join("\n")}`);
  } finally {
    await server.stop();
    await served.remove();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
