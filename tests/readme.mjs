// Runs every command that the README and the pages in src/docs show: lines of their ```sh blocks, and code in their text
// that begins as a command does. A command that the table below does not know fails, and so does a row that no page shows.
//
//     node tests/readme.mjs [--quick] [WORD…]      (./build.sh readme prepares what it needs)
//
// `--quick` leaves out those that take more than a minute; with words, only commands that hold one of them are run.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const GOLDEN = "tests/golden/mha";
/** One block of a 7B, made once. */
const BLOCK = "$WORK/block";
const MAKE_BLOCK = `[ -d ${BLOCK} ] || ./build.sh weights --size 7b-block --format gguf-q4_0 --out ${BLOCK}`;
/** A server of the page at $PAGE, while the command after it runs. */
const SERVED = "exec 3< <(exec ${CARGO_TARGET_DIR:-target}/debug/serve --root site --port 0); trap 'kill $!' EXIT; read -r _ _ _ _ PAGE _ <&3";
const MAKE_DATA = "[ -d $WORK/data ] || ./build.sh train data --seed 7 --count 4 --out $WORK/data";

/** A benchmark of two drawn scenes, asked with the shipped model. @param {string} name @param {string} more */
const benchmark = (name, more = "") =>
  `export LLAVA_DEV=1; [ -d $WORK/${name} ] || ./build.sh benchmark ${name} --sample $WORK/${name} --count 2
   ./build.sh benchmark ${name} --data $WORK/${name} --model www/models/scenes --backend cpu --limit 4 --out $WORK/${name}-answers${more}`;
const PUBLISHED = ["vqav2", "gqa", "vizwiz", "scienceqa", "textvqa", "pope", "mme", "mmbench", "mmbench-cn", "llava-bench", "mm-vet"];

/**
 * How a command is run here. `as` is the same command with a smaller input, or in a folder of the test's own; `true`: as it
 * stands. `serve` are a server's further arguments, and `shows` what its page or its address must answer with. `slow`: more
 * than a minute, so that CI leaves it out. `not`: why it cannot be run here.
 * @typedef {{ as: string | true, slow?: boolean } | { serve: string, shows: RegExp } | { not: string }} Rule
 */

/** @type {Record<string, Rule>} */
const RULES = {
  "./build.sh serve": { serve: "", shows: /<title>/ },
  "./build.sh serve --models ~/models": { serve: "--models tests/golden/gguf", shows: /models-local\/.*\.gguf/ },
  "./build.sh serve --model-host https://example.org": { serve: "--model-host https://example.org", shows: /connect-src [^;]*https:\/\/example\.org/ },
  "./build.sh test": { not: "it runs this script" },
  "cargo run --release --bin convert -- --inspect path/to/model": { as: `cargo run --bin convert -- --inspect ${GOLDEN}` },
  "cargo run --release --bin convert -- path/to/llava-1.5-7b-hf www/models/llava-7b": { as: `cargo run --bin convert -- ${GOLDEN} $WORK/shards` },
  "cargo run --release --bin convert -- CHECKPOINT OUT --quant q4": { as: `cargo run --bin convert -- ${GOLDEN} $WORK/q4 --quant q4` },
  "cargo run --release --bin convert -- CHECKPOINT www/models/scenes --quant q8 --vision-quant f16": {
    as: `cargo run --bin convert -- ${GOLDEN} $WORK/q8 --quant q8 --vision-quant f16`,
  },
  "./build.sh bench isa": { as: "./build.sh bench isa --kernel rms_norm" },
  "./build.sh bench isa --family vega10 --kernel matmul": { as: "./build.sh bench isa --family vega10 --kernel matmul_tiled --hardware" },
  "./build.sh bench isa --hardware --csv": { as: "./build.sh bench isa --hardware --csv --kernel sample" },
  "cargo test -p llava-isa --test recorded": { not: "CI runs it among the native tests" },
  "./build.sh build": { as: true },
  "./build.sh package": { as: true },
  "./build.sh demos": { as: true },
  // Against a stand-in of the hub: tests/browser/catalogue.test.mjs.
  "./build.sh check-catalogue": { not: "it asks a host that tests may not reach" },
  "./build.sh check-host https://PAGE/": { as: `${SERVED}; ./build.sh check-host $PAGE` },
  "./build.sh check-host https://HOST/models/x.gguf": { as: `${SERVED}; ./build.sh check-host \${PAGE}models/scenes/manifest.json` },
  "rsync -a OUT/ host:/srv/models/NAME/": { not: "it copies to another machine" },
  'cargo run --bin chat -- --model www/models/scenes --image www/examples/shapes.png --prompt "What color is the star?"': { as: true },
  'cargo run --bin chat -- --model www/models/scenes --image www/examples/shapes.png --prompt "What color is the star?" --regex "It is (red|green|blue|yellow)"': { as: true },
  "./build.sh train data --seed 7 --count 200 --out DIR": { as: MAKE_DATA },
  "./build.sh eval --model www/models/scenes --data DIR": { as: `${MAKE_DATA}; ./build.sh eval --model www/models/scenes --data $WORK/data --limit 8` },
  "cargo run --release --bin train -- data --seed 2026 --count 200 --drawings 200 --out DATA": { as: "cargo run --bin train -- data --seed 2026 --count 4 --drawings 4 --out $WORK/card" },
  "cargo run --release --bin train -- eval --model www/models/scenes --data DATA --backend cpu --blank": {
    as: `${MAKE_DATA}; cargo run --bin train -- eval --model www/models/scenes --data $WORK/data --backend cpu --blank --limit 8`,
  },
  "./build.sh weights": { as: "./build.sh weights --size tiny --format gguf-q4_0 --out $WORK/tiny" },
  "./build.sh weights --size 7b-block --format safetensors": { as: "./build.sh weights --size tiny --format safetensors --out $WORK/floats" },
  "./build.sh benchmark pope --sample DIR": { as: "LLAVA_DEV=1 ./build.sh benchmark pope --sample $WORK/drawn --count 2" },
  "./build.sh benchmark pope --data DIR --model www/models/scenes": { as: benchmark("pope") },
  "./build.sh benchmark scenes --data DIR --model www/models/scenes": { as: benchmark("scenes") },
  "./build.sh benchmark gqa --data DIR --answers answers.jsonl": {
    as: `${benchmark("gqa")}; ./build.sh benchmark gqa --data $WORK/gqa --answers $WORK/gqa-answers/answers.jsonl`,
  },
  ...Object.fromEntries(PUBLISHED.map((name) => [`./build.sh benchmark ${name} --data DIR --model MODEL`, { as: benchmark(name) }])),
  "./build.sh benchmark seed --data DIR --model MODEL --split all": { as: benchmark("seed", " --split all") },
  "./build.sh bench": { as: "LLAVA_DEV=1 ./build.sh bench --repeat 1 --rows 16 --tokens 4" },
  "./build.sh bench --shape 7b --backend gpu --operations": {
    as: "LLAVA_DEV=1 ./build.sh bench --shape 7b-block --backend gpu --operations --repeat 1 --rows 8 --tokens 2",
  },
  "cargo run --release --features plot --bin bench -- --shape 30m --growth 2048 --repeat 3 --plot src/docs": {
    as: "cargo run --features plot --bin bench -- --shape tiny --growth 256 --repeat 1 --plot $WORK",
    slow: true,
  },
  "./build.sh bench browsers": { as: "./build.sh bench browsers --repetitions 1", slow: true },
  "./build.sh bench llama": { as: `${MAKE_BLOCK}; LLAVA_DEV=1 ./build.sh bench llama ${BLOCK} --rows 8 --tokens 2 --turns 1`, slow: true },
  "./build.sh bench llama --model smollm2": { as: "LLAVA_DEV=1 ./build.sh bench llama --model smollm2 --rows 8 --tokens 2 --turns 1", slow: true },
  "./build.sh bench peers": { as: "./build.sh bench peers --size 30m", slow: true },
  "./build.sh bench peers --model smollm2": { as: "./build.sh bench peers --model smollm2 --only cpu --repetitions 1", slow: true },
  "./build.sh real --shape smolvlm-256m": { as: "./build.sh real --shape smolvlm-256m --only cpu --edges 512 --repetitions 1", slow: true },
  "./build.sh real --shape smolvlm-500m": { as: "./build.sh real --shape smolvlm-500m --only cpu --edges 512 --repetitions 1", slow: true },
  "./build.sh learn": { as: true, slow: true },
  "./build.sh figures": { as: true, slow: true },
  "./build.sh visits": { as: true, slow: true },
  "./build.sh visits --plot src/docs": { as: "mkdir $WORK/visits; ./build.sh visits --plot $WORK/visits", slow: true },
  "./build.sh real": { as: `${MAKE_BLOCK}; ./build.sh real ${BLOCK}`, slow: true },
  "./build.sh real DIR": { as: `${MAKE_BLOCK}; ./build.sh real ${BLOCK}`, slow: true },
  'cargo run --bin chat -- --model www/models/scenes --image PICTURE --prompt "Which shape is red?" --attention looks.json': {
    as: 'cargo run --bin chat -- --model www/models/scenes --image www/examples/shapes.png --prompt "Which shape is red?" --attention $WORK/looks.json',
  },
  "cargo run --bin train -- looks --scenes 200": { as: "cargo run --bin train -- looks --scenes 4" },
  "cargo test --test native attention::": { as: "cargo test --test native attention:: -- --list" },
  "./build.sh proof-table proof-*.json": { not: "it takes reports of proof.html" },
  "./build.sh proof-table FILES…": { not: "it takes reports of proof.html" },
  "./build.sh test-train": { as: "cargo test --release --features train-gpu --lib train::whitening", slow: true },
  "./build.sh train data --format llava --seed 7 --count 200 --out DATA": { as: "./build.sh train data --format llava --seed 7 --count 4 --out $WORK/llava" },
  "./build.sh train run --tower www/models/scenes --decoder DIR/smollm2.gguf --captions DATA/captions.json --out DIR": {
    not: "it takes a language model of 98 MB",
  },
  "./build.sh train begin --out RUN": { as: "./build.sh train begin --out $WORK/continued", slow: true },
  "./build.sh train run --out RUN --stages tower stage1 stage2 joint": {
    as: "./build.sh train begin --out $WORK/continued; ./build.sh train run --out $WORK/continued --steps 1 1 1 1 1 --stages tower stage1 stage2 joint",
    slow: true,
  },
  "./build.sh train run --out DIR": { as: "./build.sh train run --out $WORK/run --steps 1 1 1 1 1", slow: true },
  "cargo run --release --features train --bin train -- run --out RUN": { as: "./build.sh train run --out $WORK/run --steps 1 1 1 1 1", slow: true },
  "cargo test --lib kernels::": { as: "cargo test --lib kernels::patches" },
  "cargo test --test quantise": { as: true },
  "cargo test --test native smollm2:: -- --ignored --nocapture": { not: "it takes twenty minutes" },
  "cargo test --test parsers": { as: "cargo test --test parsers seeds_of_fuzz_targets_pass" },
  "./build.sh fuzz": { as: "./build.sh fuzz manifest 5", slow: true },
  "./build.sh fuzz picture 600": { as: "./build.sh fuzz picture 5", slow: true },
  "FUZZ_TARGET=picture cargo fuzz run --fuzz-dir tests/fuzz fuzz": { not: "it takes a nightly compiler; `./build.sh fuzz` builds the same program without" },
  "cargo test --test native golden:: -- --nocapture": { as: "cargo test --test native golden:: -- --list" },
  "LLAVA_REFERENCE=DIR cargo test --test native reference_models:: -- --nocapture": { as: "cargo test --test native reference_models:: -- --list" },
};

/** What a line or a piece of code begins with that is a command of this project's. */
const COMMAND = /^(?:[A-Z_]+=\S+ )*(?:\.\/build\.sh|cargo) \S/;

/**
 * The commands that a page shows.
 * @param {string} text @param {string} name of the page, for complaints
 */
export function commands(text, name) {
  /** @type {string[]} */ const found = [];
  let fence = "";
  const prose = [];
  for (const line of text.split("\n")) {
    const mark = /^```(\S*)/.exec(line);
    if (mark) fence = fence ? "" : mark[1] || "text";
    else if (fence === "sh") found.push(line.replace(/\s+#(?=\s).*$/, "").trim());
    else if (!fence) prose.push(line);
    else assert(!COMMAND.test(line.trim()), `${name}: a command in a block that is not \`sh\`: ${line}`);
  }
  for (const [, code = ""] of prose.join(" ").matchAll(/`([^`]+)`/g)) if (COMMAND.test(code)) found.push(code);
  return found.filter((line) => line && !line.startsWith("#"));
}

/** Every command of every page, with the pages that show it. */
function shown() {
  const docs = readdirSync(path.join(root, "src/docs")).filter((name) => name.endsWith(".md"));
  /** @type {Map<string, string[]>} */ const found = new Map();
  for (const page of ["README.md", ...docs.map((name) => `src/docs/${name}`)]) {
    for (const command of commands(readFileSync(path.join(root, page), "utf8"), page)) found.set(command, [...(found.get(command) ?? []), page]);
  }
  return found;
}

/** @param {string} line of a shell @param {NodeJS.ProcessEnv} env */
function run(line, env) {
  const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", line], { cwd: root, env, encoding: "utf8", maxBuffer: 1 << 28 });
  assert.equal(status, 0, `${line}\n${stdout}\n${stderr}`);
}

/** Starts the server, asks for its page, and stops it. @param {string} more @param {RegExp} shows @param {NodeJS.ProcessEnv} env */
async function serve(more, shows, env) {
  const child = spawn("bash", ["-c", `exec ./build.sh serve --port 0 ${more}`], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  let seen = "";
  child.stdout.on("data", (data) => (seen += data));
  child.stderr.on("data", (data) => (seen += data));
  const ended = new Promise((resolve) => child.on("exit", resolve));
  try {
    while (!/http:\/\/\S+\/ /.test(seen)) {
      assert(child.exitCode === null && child.signalCode === null, seen);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    // All of its addresses come at once.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const address = /http:\/\/\S+\/(?= )/.exec(seen)?.[0] ?? "";
    const response = await fetch(address);
    assert.equal(response.status, 200);
    assert.match(`${seen}\n${response.headers.get("content-security-policy")}\n${await response.text()}`, shows);
  } finally {
    child.kill();
    await ended;
  }
}

/** @param {string[]} given */
async function main(given) {
  const quick = given.includes("--quick");
  const words = given.filter((word) => !word.startsWith("--"));
  const found = shown();
  const unknown = [...found].filter(([command]) => !Object.hasOwn(RULES, command)).map(([command, pages]) => `${pages.join(", ")}: ${command}`);
  assert(!unknown.length, `tests/readme.mjs does not know how to run\n${unknown.join("\n")}`);
  const unused = Object.keys(RULES).filter((command) => !found.has(command));
  assert(!unused.length, `no page shows\n${unused.join("\n")}`);
  const work = mkdtempSync(path.join(tmpdir(), "llava-readme-"));
  const env = { ...process.env, WORK: work };
  let failed = 0;
  try {
    for (const command of found.keys()) {
      const rule = /** @type {Rule} */ (RULES[command]);
      if (words.length && !words.some((word) => command.includes(word))) continue;
      if ("not" in rule) console.log(`not run  ${command}  (${rule.not})`);
      else if (quick && "slow" in rule && rule.slow) console.log(`left out ${command}  (takes more than a minute)`);
      else {
        const start = performance.now();
        const line = "serve" in rule ? `./build.sh serve ${rule.serve}`.trim() : rule.as === true ? command : rule.as;
        const error = await (async () => ("serve" in rule ? serve(rule.serve, rule.shows, env) : run(line, env)))().catch((thrown) => thrown);
        const seconds = `${((performance.now() - start) / 1000).toFixed(0)} s`.padStart(6);
        console.log(`${error ? "FAILED " : "ok     "} ${seconds}  ${command}${line === command ? "" : `  (as: ${line})`}`);
        if (error) console.log(error.message);
        failed += error ? 1 : 0;
      }
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  assert.equal(failed, 0, `${failed} of the commands that the pages show failed`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
