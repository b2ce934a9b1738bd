// Runs every browser test: two files at a time, then those that compare speeds, memory or threads, one at a time. A
// browser on a software GPU takes one core, and many tests wait.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import path from "node:path";
import { here } from "./harness.mjs";

/** A file that takes longer hangs, ms. */
const LONGEST = 20 * 60_000;

/** What others at the same time would disturb. */
const ALONE = ["backend", "grammar", "leak", "openai", "real", "smollm2", "threads", "visitor"];

const wanted = process.argv.slice(2);
const files = readdirSync(here).filter((name) => name.endsWith(".test.mjs") && (!wanted.length || wanted.some((part) => name.includes(part))));
const isAlone = (/** @type {string} */ name) => ALONE.includes(name.replace(".test.mjs", ""));

/** Runs files, and returns the exit status. @param {string[]} names @param {number} concurrency @returns {Promise<number>} */
async function run(names, concurrency) {
  if (!names.length) return 0;
  const child = spawn(process.execPath, ["--test", `--test-concurrency=${concurrency}`, `--test-timeout=${LONGEST}`, "--test-reporter=spec", ...names.map((name) => path.join(here, name))], { stdio: "inherit" });
  const [code] = await once(child, "exit");
  return code ?? 1;
}

const together = await run(files.filter((name) => !isAlone(name)), 2);
const alone = await run(files.filter(isAlone), 1);
process.exit(together || alone);
