// The model that the page has opened, as the package describes it.

/** @typedef {import("../llava/index.js").Inspection} Inspection */
/** @typedef {import("../llava/index.js").Model} Model */

export class OpenedModel {
  /** The opened model. @type {Inspection | null} */
  inspection = null;
  /** The loaded model. @type {Model | null} */
  running = null;

  get plan() {
    return this.inspection?.plan ?? null;
  }

  /** Its device, and what its context holds after the last call. */
  get report() {
    return this.running?.report ?? this.inspection?.report ?? null;
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
}
