// Measures, in every browser, the time from the address to the first word of an answer: a first visit and a second one,
// with the shipped model, and on the CPU with the pair of files in DIR. (A software GPU takes minutes for a picture.)
//
//     node tests/browser/visits.mjs [--pair DIR]      (./build.sh visits builds what it needs, and draws the medians)
//
// Each pair of visits is repeated in a fresh profile. On Linux, lines that begin with # say what memory the pair takes: of
// the process that grows most while it is loaded, before (in a first visit), after, and the most in between.

import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { ENGINES } from "./engines.mjs";
import { serve, www } from "./harness.mjs";
import { forgetPeaks, memories } from "./memory.mjs";

/** @typedef {import("./driver/driver.mjs").Driver} Driver */
/** Milliseconds of the parts of a visit: until the page can be used, until its model is loaded, and from a picture that
 * is asked about to the first word.
 * @typedef {{ page: number, model: number, word: number }} Parts */
/** Bytes before a model is loaded, the most while it is, and after. @typedef {{ before: number, most: number, after: number }} Growth */

const RUNS = 3;
const READY = "[data-testid=status][data-state=ready]";
const ANSWERS = "[data-testid=answer]";

/** @param {number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;

/** Watches the process that grows most while something is done. @param {() => Promise<unknown>} doing @returns {Promise<Growth>} */
async function growth(doing) {
  forgetPeaks();
  const before = new Map(memories().map(({ pid, resident }) => [pid, resident]));
  await doing();
  const grown = memories().map(({ pid, resident, peak }) => ({ before: before.get(pid) ?? 0, most: peak, after: resident }));
  return grown.reduce((a, b) => (b.most - b.before > a.most - a.before ? b : a));
}

/** The largest process since `forgetPeaks`. @returns {Growth} */
function largest() {
  const { peak, resident } = memories().reduce((a, b) => (b.peak > a.peak ? b : a));
  return { before: NaN, most: peak, after: resident };
}

/** Waits for the model, which a visitor has to agree to where it is large; asks about an example as soon as it is ready.
 * @param {Driver} tab @param {(growth: Growth) => void} [onGrowth] of memory
 * @returns {Promise<Parts>} */
async function visit(tab, onGrowth) {
  const state = await tab.until("a model, or an offer", (ready) => (document.querySelector(ready) ? "ready" : document.querySelector("#offer-load")?.checkVisibility() && "offer"), READY);
  const load = async () => {
    await tab.evaluate(() => {
      performance.mark("agreed");
      /** @type {HTMLElement} */ (document.querySelector("#offer-load")).click();
    });
    await tab.shown(READY, 600_000);
  };
  if (state === "offer") await (onGrowth ? growth(load).then(onGrowth) : load());
  else if (onGrowth) onGrowth(largest());
  // A second visit begins with the conversation of the first one, whose picture would be read again.
  if (await tab.count(ANSWERS)) await tab.click("#new-chat");
  await tab.until("an empty conversation", (answers) => !document.querySelector(answers), ANSWERS);
  await tab.evaluate(() => {
    performance.mark("asked");
    /** @type {HTMLElement} */ (document.querySelector("#examples button")).click();
    const question = /** @type {HTMLTextAreaElement} */ (document.querySelector("#question"));
    question.value = "What do you see?";
    question.dispatchEvent(new Event("input", { bubbles: true }));
    const send = /** @type {HTMLButtonElement} */ (document.querySelector("[data-testid=send]"));
    const press = () => (send.disabled || !document.querySelector("#tray img") ? requestAnimationFrame(press) : send.click());
    press();
  });
  await tab.until("an answer", (done) => Boolean(document.querySelector(done)), `${ANSWERS}[data-state=done]`, 600_000);
  return tab.evaluate(() => {
    /** @param {string} name */
    const at = (name) => performance.getEntriesByName(name)[0]?.startTime;
    const [interactive = NaN, ready = NaN, word = NaN, asked = NaN] = ["interactive", "ready", "first word", "asked"].map(at);
    return { page: interactive, model: ready - (at("agreed") ?? interactive), word: word - asked };
  });
}

/** The files of a pair as the server offers them. @param {string} folder */
function pairOf(folder) {
  const files = readdirSync(folder).filter((name) => name.endsWith(".gguf"));
  const [mmproj = "", model = ""] = [files.find((name) => name.includes("mmproj")), files.find((name) => !name.includes("mmproj"))];
  return `model=models-local/${model}&mmproj=models-local/${mmproj}`;
}

const at = process.argv.indexOf("--pair");
const pair = at > 0 ? (process.argv[at + 1] ?? "") : "";
const fileBytes = pair ? readdirSync(pair).reduce((sum, name) => sum + statSync(path.join(pair, name)).size, 0) : 0;
const server = await serve(www, pair ? ["--models", path.resolve(pair)] : []);
const commit = execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }).trim();
console.log(`# commit ${commit}, ${os.cpus()[0]?.model.trim()}, ${os.cpus().length} cores, load ${os.loadavg()[0]?.toFixed(1)}\n# node tests/browser/visits.mjs ${process.argv.slice(2).join(" ")}`);
console.log("engine\tmodel\tvisit\tpage\tmodel ready\tfirst word");
for (const { name, query, start, backend } of ENGINES) {
  for (const [model, address] of [["shipped", ""], ...(pair && backend === "cpu" ? [[path.basename(pair), pairOf(pair)]] : [])]) {
    /** @type {Record<"first" | "second", Parts[]>} */
    const seen = { first: [], second: [] };
    for (let run = 0; run < RUNS; run++) {
      const tab = await start();
      try {
        /** @param {string} which */
        const onGrowth = (which) => {
          if (!address || process.platform !== "linux") return undefined;
          forgetPeaks();
          return (/** @type {Growth} */ { before, most, after }) => {
            const mb = [before, most, after].map((bytes) => (bytes / 1e6).toFixed(0));
            console.log(`# ${name}, ${model}, ${which} visit: ${which === "first" ? `${mb[0]} MB before, ` : ""}${mb[1]} MB at most, ${mb[2]} MB after; files of ${(fileBytes / 1e6).toFixed(0)} MB`);
          };
        };
        await tab.goto(`${server.url}?${[query.slice(1), address].filter(Boolean).join("&")}`);
        seen.first.push(await visit(tab, onGrowth("first")));
        await tab.reload();
        seen.second.push(await visit(tab, onGrowth("second")));
      } finally {
        await tab.close();
      }
    }
    for (const [which, runs] of Object.entries(seen)) {
      const parts = /** @type {const} */ (["page", "model", "word"]).map((part) => median(runs.map((run) => run[part])).toFixed(0));
      console.log([name, model, which, ...parts].join("\t"));
    }
  }
}
await server.stop();
