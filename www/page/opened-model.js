// The model that the page has opened, as the package describes it.

import { LlavaError } from "../llava/index.js";

/** @typedef {import("../llava/index.js").Inspection} Inspection */
/** @typedef {import("../llava/index.js").Model} Model */

export class OpenedModel {
  /** The opened model. @type {Inspection | null} */
  inspection = null;
  /** The loaded model. @type {Model | null} */
  running = null;
  /** Its device, and its conversation after the last call. @type {import("../shared/protocol.js").Report | null} */
  report = null;

  get plan() {
    return this.inspection?.plan ?? null;
  }

  get storage() {
    return this.inspection?.storage ?? null;
  }

  /** Reason for the choice of the backend. */
  get why() {
    return this.inspection?.why ?? "";
  }

  /** Type of the weights, with the reason for it. */
  get weights() {
    return this.inspection?.weights ?? { chosen: false, proposed: undefined, why: "" };
  }

  /** Sizes of pictures with the time that each takes; empty where there is only one. */
  get pictureSizes() {
    return this.inspection?.picture_sizes ?? [];
  }

  get pictureSizeWhy() {
    return this.inspection?.picture_size_why ?? "";
  }

  /** Connection to the engine. */
  get link() {
    const { link } = this.inspection ?? {};
    if (!link) throw new LlavaError({ kind: "state", place: "model", message: "no model has been opened" });
    return link;
  }
}
