// What runs here: the model, the backend and the memory, in plain sight.

import { byId, inBytes, inSeconds, inWords, make } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */

export class Machine {
  #chip = byId("backend", HTMLElement);
  #list = byId("machine", HTMLElement);

  /** @param {Session} session */
  constructor(session) {
    session.addEventListener("change", () => this.#render(session));
  }

  /** @param {Session} session */
  #render({ plan, report, picture }) {
    const backend = report?.backend ?? "";
    this.#chip.dataset.backend = backend;
    this.#chip.textContent = { webgpu: "on the GPU", cpu: "on the CPU", "": "…" }[backend] ?? backend;
    this.#chip.title = report?.adapter ?? "";
    const seen = picture?.seen;
    /** @type {[string, string | null | undefined][]} */
    const rows = [
      ["Model", plan?.name],
      ["Parameters", plan && inWords(plan.parameters)],
      ["Weights", plan && `${inBytes(plan.total_bytes)} in ${plan.parts.length} parts`],
      ["Runs on", report && (backend === "cpu" ? `CPU (${report.adapter})` : `${backend} (${report.adapter})`)],
      ["Context", report?.context ? `${report.used ?? 0} of ${report.context} tokens used` : undefined],
      ["Picture", seen ? `${seen.encoded.width} × ${seen.encoded.height}, ${seen.encoded.tokens} tokens, read in ${inSeconds(seen.encode_ms)}` : undefined],
      ["Sent elsewhere", "nothing"],
    ];
    const known = rows.filter(([, value]) => value);
    this.#list.replaceChildren(...known.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value ?? "" })]));
  }
}
