// What runs here: the model, the backend and the memory, in plain sight.

import { byId, inBytes, inTime, inWords, make } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */

/** @param {string} address */
const shorten = (address) => {
  const url = new URL(address);
  return url.origin === location.origin ? url.pathname : url.host + url.pathname;
};

export class Machine {
  #chip = byId("backend", HTMLElement);
  #list = byId("machine", HTMLElement);

  /** @param {Session} session */
  constructor(session) {
    session.addEventListener("change", () => this.#render(session));
  }

  /** @param {Session} session */
  #render({ plan, report, picture, kept, storage, agreed, model, why, weights }) {
    const backend = report?.backend ?? "";
    this.#chip.dataset.backend = backend;
    this.#chip.textContent = { webgpu: "on the GPU", cpu: "on the CPU", "": "…" }[backend] ?? backend;
    this.#chip.title = [report?.adapter, why].filter(Boolean).join(": ");
    const seen = picture?.seen;
    /** @type {[string, string | number | false | null | undefined][]} */
    const rows = [
      ["Model", plan?.name],
      ["Parameters", report?.parameters && inWords(report.parameters)],
      ["Size", plan && `${inBytes(plan.total_bytes)} in ${plan.parts.length} ${plan.parts.length === 1 ? "part" : "parts"}`],
      ["Came from", plan && ("files" in model ? "files on this machine" : "addresses" in model ? model.addresses.map(shorten).join(" + ") : "this browser")],
      ["Kept here", plan && storage && this.#keeping(storage, plan.total_bytes, agreed.keep)],
      ["Weights", plan?.quant && `quantised to ${plan.quant} while they are loaded, ${weights.why}`],
      ["Noted", report?.notes?.join("; ") || plan?.notes?.join("; ")],
      ["Memory in use", report?.device_bytes && inBytes(report.device_bytes)],
      ["Runs on", report && `${backend === "cpu" ? "CPU" : backend} (${report.adapter})`],
      ["Threads", report?.threads],
      ["Why there", report && why],
      ["Context", report?.context ? `${report.cached ?? 0} of ${report.context} rows read` : undefined],
      ["Picture", seen ? `${seen.encoded.width} × ${seen.encoded.height}, ${seen.encoded.rows} rows, read in ${inTime(seen.encode_ms)}` : undefined],
      ["Without a network", kept && storage && plan && storage.bytes >= plan.total_bytes && "everything is kept: the next visit needs none"],
      ["Sent elsewhere", "nothing"],
    ];
    const known = rows.filter(([, value]) => value);
    this.#list.replaceChildren(...known.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: String(value) })]));
  }

  /** @param {import("../shared/protocol.js").Storage} storage @param {number} total @param {boolean} wanted */
  #keeping({ kind, bytes, full }, total, wanted) {
    if (kind === "none") return "nothing: this browser gives the page no storage (site data blocked, or a private window); the next visit downloads it again";
    if (full) return `${inBytes(bytes)} of ${inBytes(total)}: ${full}`;
    if (!wanted && !bytes) return "nothing, as you chose";
    return bytes >= total ? "all of it" : `${inBytes(bytes)} of ${inBytes(total)}`;
  }
}
