// Entry point of proof.html.

import { EngineLink } from "../llava/engine-link.js";
import { byId, make } from "../page/dom.js";
import { Failure } from "../shared/failure.js";
import { Proof } from "./proof.js";
import { COLUMNS, FORMAT, cells, verdictOf } from "./report.js";

/** @typedef {import("./report.js").Report} Report */
/** @typedef {import("./proof.js").Run} Run */

const start = byId("start", HTMLButtonElement);
const stop = byId("stop", HTMLButtonElement);
const copy = byId("copy", HTMLButtonElement);
const save = byId("save", HTMLAnchorElement);
const progress = byId("progress", HTMLProgressElement);
const status = byId("status", HTMLElement);
const verdict = byId("verdict", HTMLElement);
const wrong = byId("wrong", HTMLElement);
const rows = byId("runs", HTMLElement);

/** @type {Report | null} */
let report = null;

byId("columns", HTMLElement).replaceChildren(...COLUMNS.map((text) => make("th", { text })));

/** @param {Run} run */
function show(run) {
  rows.append(make("tr", { "data-right": String(run.wrong.length === 0) }, ...cells(run).map((text) => make("td", { text }))));
  wrong.append(...run.wrong.map((text) => make("li", { text: `${run.way}, ${run.model}: ${text}` })));
}

/** Returns the sentences of the verdict, and switches off what is wrong.
 * @param {Report} report @param {import("../shared/protocol.js").Tier[]} tiers */
async function judge(report, tiers) {
  const found = verdictOf(report);
  const date = report.date.slice(0, 10);
  const onGpu = (/** @type {string[]} */ ways) => ways.filter((way) => tiers.some(({ name }) => name === way));
  const [right, off] = [onGpu(found.right), onGpu(found.wrong)];
  const texts = [found.wrong.length ? `Wrong: ${found.wrong.join(", ")}.` : "Everything is right.", report.why && `No GPU was used: ${report.why}.`];
  if (tiers.length) {
    const seconds = (/** @type {string} */ way) => report.runs.filter((run) => run.way === way).reduce((sum, run) => sum + run.seconds, 0);
    const next = [...right].sort((a, b) => seconds(a) - seconds(b))[0];
    const link = new EngineLink(() => {});
    const tuning = off.length && next ? tiers.find(({ name }) => name === next)?.tuning : undefined;
    await link.rememberVerdict({ right, wrong: off, date }, tuning);
    if (off.length) texts.push(next ? `This page computes with “${next}” on this GPU from now on.` : "This page computes on the CPU from now on, unless the settings name the GPU.");
  }
  return texts.filter(Boolean).join(" ");
}

/** @param {Proof} proof */
async function prove(proof) {
  const begun = performance.now();
  const { tiers, ...proven } = await proof.run();
  report = {
    format: FORMAT,
    version: 1,
    date: new Date().toISOString(),
    browser: navigator.userAgent,
    page: document.querySelector('meta[name="llava-web-version"]')?.getAttribute("content") ?? "",
    engine: await new EngineLink(() => {}).version,
    seconds: Math.round((performance.now() - begun) / 100) / 10,
    ...proven,
  };
  verdict.textContent = await judge(report, tiers);
  verdict.dataset.right = String(verdictOf(report).wrong.length === 0);
  status.textContent = `Finished in ${report.seconds} s, on ${report.adapter || "the CPU"}.`;
  const bytes = new Blob([JSON.stringify(report, null, 1)], { type: "application/json" });
  save.href = URL.createObjectURL(bytes);
  save.download = `proof-${report.date.slice(0, 10)}.json`;
  save.hidden = false;
  copy.hidden = !navigator.clipboard;
}

start.addEventListener("click", async () => {
  rows.replaceChildren();
  wrong.replaceChildren();
  verdict.textContent = "";
  [copy.hidden, save.hidden, start.disabled, stop.disabled] = [true, true, true, false];
  const response = await fetch(new URL("reference.json", import.meta.url)).catch(() => null);
  const proof = new Proof(response?.ok ? await response.json() : {}, ({ done, total, text, run }) => {
    [progress.value, progress.max] = [done, total];
    if (text) status.textContent = `${done} of ${total}: ${text}…`;
    if (run) show(run);
  }, new URLSearchParams(location.search).get("models")?.split(","));
  const end = () => proof.stop();
  stop.addEventListener("click", end);
  try {
    await prove(proof);
  } catch (thrown) {
    const failure = Failure.from(thrown, "proof");
    status.textContent = failure.kind === "cancelled" ? "Stopped." : `Not finished: ${failure.message}`;
  } finally {
    stop.removeEventListener("click", end);
    [start.disabled, stop.disabled] = [false, true];
  }
});

copy.addEventListener("click", async () => {
  await navigator.clipboard.writeText(JSON.stringify(report, null, 1));
  status.textContent = "Copied.";
});
