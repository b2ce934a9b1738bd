// Entry point of benchmark.html: what the person chooses, and what is shown.

import { byId } from "../page/dom.js";
import { filesOf } from "../page/dropped-files.js";
import { Failure } from "../shared/failure.js";
import { BenchmarkFolder, formats } from "./formats.js";
import { listModels } from "./model-choice.js";
import { BenchmarkSession } from "./session.js";

/** @typedef {import("./formats.js").Part} Part */
/** @typedef {import("../page/dropped-files.js").DroppedFile} DroppedFile */

/** Number of files above which a folder is refused: with pictures the largest benchmark has 82,000. */
const MAX_FILES = 200_000;
/** Names for people. @type {Record<string, string>} */
const NAMES = { vqav2: "VQAv2", gqa: "GQA", vizwiz: "VizWiz", scienceqa: "ScienceQA", textvqa: "TextVQA", pope: "POPE", mme: "MME", mmbench: "MMBench", "mmbench-cn": "MMBench-CN", seed: "SEED-Bench", "llava-bench": "LLaVA-Bench (in the wild)", "mm-vet": "MM-Vet", scenes: "Scenes (the examination)" };

const choose = byId("choose", HTMLButtonElement);
const files = byId("files", HTMLInputElement);
const benchmark = byId("benchmark", HTMLSelectElement);
const model = byId("model", HTMLSelectElement);
const limit = byId("limit", HTMLInputElement);
const start = byId("start", HTMLButtonElement);
const pause = byId("pause", HTMLButtonElement);
const stop = byId("stop", HTMLButtonElement);
const forget = byId("forget", HTMLButtonElement);
const status = byId("status", HTMLElement);
const error = byId("error", HTMLElement);
const dropHere = byId("drop-here", HTMLElement);

/** @type {BenchmarkFolder | null} */
let folder = null;
const session = new BenchmarkSession((text) => (status.textContent = text));

/** Shows what went wrong: the place with line and field, the reason, advice. @param {unknown} thrown */
function fail(thrown) {
  const failure = Failure.from(thrown, "benchmark");
  if (failure.kind === "cancelled") return;
  error.textContent = [`${failure.where}: ${failure.message}`, failure.hint].filter(Boolean).join("\n");
  error.dataset.kind = failure.kind;
}

/** Sets which buttons can be used. @param {"empty" | "ready" | "running"} state */
function show(state) {
  document.body.dataset.state = state;
  const running = state === "running";
  [start.disabled, pause.disabled, stop.disabled] = [state !== "ready", !running, !running];
  for (const field of [choose, benchmark, model, limit, forget]) field.disabled = running || (field === benchmark && !folder);
  start.textContent = session.begun ? "Continue" : "Start";
  pause.textContent = "Pause";
}

/** Lists benchmarks, the recognised ones first. @param {Part[]} found @param {Part[]} others */
function listBenchmarks(found, others) {
  const option = (/** @type {Part} */ { name, part }) => new Option(`${NAMES[name] ?? name}, ${part}`, JSON.stringify({ name, part }));
  const group = (/** @type {string} */ label, /** @type {Part[]} */ parts) => {
    const made = document.createElement("optgroup");
    made.label = label;
    made.append(...parts.map(option));
    return made;
  };
  const same = (/** @type {Part} */ a) => found.some((b) => a.name === b.name && a.part === b.part);
  benchmark.replaceChildren(...(found.length ? [group("In this folder", found)] : []), group("Others", others.filter((part) => !same(part))));
}

/** Takes the files of a folder. @param {DroppedFile[]} list */
async function take(list) {
  if (!list.length || document.body.dataset.state === "running") return;
  error.textContent = "";
  session.reset();
  folder = null;
  show("empty");
  try {
    if (list.length > MAX_FILES) throw new Failure({ kind: "file", place: "folder", message: `has more than ${MAX_FILES} files`, hint: "This page is for small sets; ./build.sh benchmark has no limit." });
    const { allParts } = await formats();
    folder = await BenchmarkFolder.of(list);
    listBenchmarks(folder.found, allParts());
    byId("folder", HTMLElement).textContent = `${folder.name}: ${list.length} files.`;
    const [first] = folder.found;
    status.textContent = first ? `Recognised: ${NAMES[first.name] ?? first.name}, ${first.part}.` : "No benchmark was recognised by its file names: choose one.";
    show("ready");
  } catch (thrown) {
    fail(thrown);
  }
}

/** Runs what is chosen, until it ends or is stopped. */
async function run() {
  if (!folder) return;
  error.textContent = "";
  show("running");
  try {
    await session.run(folder, JSON.parse(benchmark.value), model.value, limit.valueAsNumber || Infinity);
  } catch (thrown) {
    fail(thrown);
    if (!session.begun && !error.textContent) status.textContent = "Stopped.";
  } finally {
    forget.hidden = !session.begun;
    show("ready");
  }
}

start.addEventListener("click", run);
stop.addEventListener("click", () => session.stop());
pause.addEventListener("click", () => (pause.textContent = session.togglePause() ? "Resume" : "Pause"));
forget.addEventListener("click", async () => {
  await session.forget();
  forget.hidden = true;
  show("ready");
});
for (const field of [benchmark, model, limit]) {
  field.addEventListener("change", () => {
    session.reset();
    forget.hidden = true;
    if (folder) show("ready");
  });
}
choose.addEventListener("click", () => files.click());
files.addEventListener("change", () => take([...(files.files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }))));

let depth = 0;
const carriesFile = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") ?? false;
addEventListener("dragenter", (event) => {
  if (carriesFile(event)) depth += 1;
  dropHere.hidden = depth === 0;
});
addEventListener("dragleave", (event) => {
  if (carriesFile(event)) depth = Math.max(0, depth - 1);
  dropHere.hidden = depth === 0;
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", async (event) => {
  event.preventDefault();
  depth = 0;
  dropHere.hidden = true;
  await take(await filesOf(event.dataTransfer, MAX_FILES));
});

listModels(model).catch(fail);
show("empty");
