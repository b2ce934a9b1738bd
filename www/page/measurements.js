// "?bench": how fast the model is here, stage by stage and operation by operation, as a table that can be copied. The
// command line's `bench` writes the same one.

import { make } from "./dom.js";
import { engineVersion } from "./engine-link.js";

/** @typedef {import("../shared/protocol.js").Event} EngineEvent */
/** @typedef {import("./session.js").Session} Session */

/** Measures once the model is there, and shows the table below everything else. @param {Session} session */
export async function showMeasurements(session) {
  const table = make("pre", { "data-testid": "bench", "data-state": "running" });
  table.tabIndex = 0;
  const copy = make("button", { text: "Copy" });
  copy.type = "button";
  copy.addEventListener("click", () => navigator.clipboard.writeText(table.textContent ?? ""));
  const about = "Milliseconds, and what this device could do at best. Each operation was compared with its definition first.";
  const section = make("section", { class: "measurements", "aria-label": "Measurements" }, make("h2", { text: "Measurements" }), make("p", { class: "hint", text: about }), table, copy);
  document.querySelector("main")?.after(section);
  /** @param {string} line */
  const write = (line) => table.append(`${line}\n`);
  const { report } = session;
  write(`# ${navigator.userAgent}, ${navigator.hardwareConcurrency} threads`);
  write(`# ${report?.backend}: ${report?.adapter}, engine ${await engineVersion}`);
  // As it was asked for: opening a model replaces the address.
  write(`# ${performance.getEntriesByType("navigation")[0]?.name}, ${report?.model}, ${report?.parameters} parameters`);
  if (report?.tuning) write(`# ${JSON.stringify(report.tuning)}`);
  // The engine forgets picture and conversation for this.
  await session.stop();
  session.forget("The model was measured: it does not remember what is above.");
  await session.exclusive(async () => {
    session.begin("measuring");
    try {
      const onEvent = (/** @type {EngineEvent} */ event) => event.type === "line" && write(event.text);
      session.report = await session.link.call("bench", { options: { operations: true } }, { onEvent });
      table.dataset.state = "done";
      session.end();
    } catch (thrown) {
      table.dataset.state = "failed";
      session.fail(thrown, "bench", () => session.dismiss());
    }
  });
  await session.read();
}
