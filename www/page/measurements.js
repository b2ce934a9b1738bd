// Shows the measurements of `?bench`, by stage and by operation, as a table to copy. The command line's `bench` writes
// the same table.

import { make } from "./dom.js";

/** @typedef {import("../shared/protocol.js").Event} EngineEvent */
/** @typedef {import("./session.js").Session} Session */

/** Measures the loaded model, and shows the table below everything else. @param {Session} session */
export async function showMeasurements(session) {
  const table = make("pre", { "data-testid": "bench", "data-state": "running" });
  table.tabIndex = 0;
  const copy = make("button", { text: "Copy" });
  copy.type = "button";
  copy.addEventListener("click", () => navigator.clipboard.writeText(table.textContent ?? ""));
  const about = "Milliseconds, and the least that this device could take. Each operation was checked against its definition first.";
  const section = make("section", { class: "measurements", "aria-label": "Measurements" }, make("h2", { text: "Measurements" }), make("p", { class: "hint", text: about }), table, copy);
  document.querySelector("main")?.after(section);
  /** @param {string} line */
  const write = (line) => table.append(`${line}\n`);
  const { activity, loading } = session;
  const { report } = loading;
  write(`# ${navigator.userAgent}, ${navigator.hardwareConcurrency} threads`);
  write(`# ${report?.backend}: ${report?.adapter}, engine ${await loading.running?.engineVersion}`);
  // The address of the visit: opening a model replaces the page's address.
  write(`# ${performance.getEntriesByType("navigation")[0]?.name}, ${report?.model}, ${report?.parameters} parameters`);
  if (report?.tuning) write(`# ${JSON.stringify(report.tuning)}`);
  // The measurement clears the engine's picture and conversation.
  await session.stop();
  session.memory.forget();
  await activity.exclusive(async () => {
    activity.begin("measuring");
    try {
      const onProgress = (/** @type {EngineEvent} */ event) => event.type === "line" && write(event.text);
      await loading.running?.bench({ operations: true }, { onProgress });
      table.dataset.state = "done";
      activity.end();
    } catch (thrown) {
      table.dataset.state = "failed";
      activity.fail(thrown, "bench", () => activity.dismissError());
    }
  });
  await session.prepare();
}
