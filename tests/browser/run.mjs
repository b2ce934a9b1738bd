// Runs every browser test, one file at a time: two cores hold one Chromium on a software GPU, not three.

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import { here } from "./harness.mjs";

/** A file that takes longer hangs, ms. */
const LONGEST = 20 * 60_000;

const wanted = process.argv.slice(2);
const files = readdirSync(here).filter((name) => name.endsWith(".test.mjs") && (!wanted.length || wanted.some((part) => name.includes(part))));
const child = spawn(process.execPath, ["--test", "--test-concurrency=1", `--test-timeout=${LONGEST}`, "--test-reporter=spec", ...files.map((name) => path.join(here, name))], { stdio: "inherit" });
child.on("exit", (code) => process.exit(code ?? 1));
