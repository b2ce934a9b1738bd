// The details panel: model, backend, memory and storage.

import { byId, make } from "./dom.js";
import { formatBytes, formatCount, formatDuration } from "./format.js";

/** @typedef {import("./session.js").Session} Session */

/** @param {string} address */
const shorten = (address) => {
  const url = new URL(address);
  return url.origin === location.origin ? url.pathname : url.host + url.pathname;
};

export class DetailsPanel {
  #chip = byId("backend", HTMLElement);
  #list = byId("machine", HTMLElement);

  /** @param {Session} session */
  constructor(session) {
    session.activity.addEventListener("change", () => this.#render(session));
  }

  /** @param {Session} session */
  #render({ loading, picture, offline, unsaved, conversation }) {
    const { plan, report, storage, agreed, model, why, weights, pictureSizes, pictureSizeWhy } = loading;
    const backend = report?.backend ?? "";
    this.#chip.dataset.backend = backend;
    this.#chip.textContent = { webgpu: "on the GPU", cpu: "on the CPU", "": "…" }[backend] ?? backend;
    this.#chip.title = [report?.adapter, why].filter(Boolean).join(": ");
    const seen = picture?.seen;
    /** @type {[string, string | number | false | null | undefined][]} */
    const rows = [
      ["Model", plan?.name],
      ["Parameters", report?.parameters && formatCount(report.parameters)],
      ["Size", plan && `${formatBytes(plan.total_bytes)} in ${plan.parts.length} ${plan.parts.length === 1 ? "part" : "parts"}`],
      ["Source", plan && ("files" in model ? "files on this machine" : "addresses" in model ? model.addresses.map(shorten).join(" + ") : "this browser")],
      ["Saved in this browser", plan && storage && this.#savedText(storage, plan.total_bytes, agreed.keep)],
      ["Weights", plan?.quant && `quantised to ${plan.quant} during loading, ${weights.why}`],
      ["Notes", report?.notes?.join("; ") || plan?.notes?.join("; ")],
      ["Memory in use", report?.device_bytes && formatBytes(report.device_bytes)],
      ["Runs on", report && `${backend === "cpu" ? "CPU" : backend} (${report.adapter})`],
      ["Threads", report?.threads],
      ["Why this backend", report && why],
      ["Context", report?.context ? `${report.cached ?? 0} of ${report.context} tokens used` : undefined],
      ["Size of pictures", pictureSizes.length > 0 && [`${plan?.longest_edge} pixels`, pictureSizeWhy].filter(Boolean).join(", ")],
      ["Picture", seen ? `${seen.width} × ${seen.height}, ${seen.tiles > 1 ? `${seen.tiles} tiles, ` : ""}${seen.tokens} tokens, encoded in ${formatDuration(seen.encode_ms)}` : undefined],
      ["Conversation", conversation.answered.length > 0 && (unsaved ? `not saved for the next visit: ${unsaved}` : "saved in this browser, until you forget it")],
      ["Offline use", offline && storage && plan && storage.bytes >= plan.total_bytes && "everything is saved: the next visit needs no network"],
      ["Data sent to others", "none"],
    ];
    const known = rows.filter(([, value]) => value);
    this.#list.replaceChildren(...known.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: String(value) })]));
  }

  /** @param {import("../shared/protocol.js").Storage} storage @param {number} total @param {boolean} wanted */
  #savedText({ kind, bytes, full }, total, wanted) {
    if (kind === "none") return "nothing: this browser gives the page no storage (site data is blocked, or this is a private window). The next visit downloads the model again.";
    if (full) return `${formatBytes(bytes)} of ${formatBytes(total)}: ${full}`;
    if (!wanted && !bytes) return "nothing, as you chose";
    return bytes >= total ? "all of it" : `${formatBytes(bytes)} of ${formatBytes(total)}`;
  }
}
