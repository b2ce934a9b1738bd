// The entry points of the package.

import { Failure } from "../shared/failure.js";
import { Inspection } from "./inspection.js";
import { describeMachine } from "./machine.js";
import { pageAddress, resolveRef } from "./model-ref.js";
import { deleteStored, storedModels } from "./stored-models.js";
import { engineCode } from "./engine-code.js";

/** @typedef {import("./engine-code.js").EngineOptions} EngineOptions */
/** @typedef {import("./inspection.js").InspectOptions} InspectOptions */
/** @typedef {import("./inspection.js").LoadOptions} LoadOptions */
/** @typedef {import("./model-ref.js").Ref} Ref */
/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("../shared/protocol.js").Stored} Stored */

export const LLaVA = {
  /**
   * Opens a model, downloads what is missing of it, and loads it.
   * @param {Ref} ref @param {InspectOptions & LoadOptions} [options]
   * @returns {Promise<Model>} rejects with a LlavaError; of kind "cancelled" when `signal` was aborted
   */
  async load(ref, options = {}) {
    const inspection = await LLaVA.inspect(ref, options);
    try {
      return await inspection.load(options);
    } catch (thrown) {
      inspection.close();
      throw thrown;
    }
  },

  /**
   * Opens a model without loading it: what it needs, and what may be chosen. Its own `load` goes on from there.
   * @param {Ref} ref @param {InspectOptions} [options] @returns {Promise<Inspection>}
   */
  async inspect(ref, options = {}) {
    try {
      if (options.signal?.aborted) throw new Failure({ kind: "cancelled", place: "open", message: "it was aborted" }, options.signal.reason);
      // The engine's code arrives while the hub is asked.
      engineCode(options);
      return await Inspection.open(await resolveRef(ref, options), options);
    } catch (thrown) {
      throw Failure.from(thrown, "open");
    }
  },

  /** Lists the models in this browser's storage, newest first. @param {EngineOptions} [options] @returns {Promise<Stored[]>} */
  async cached({ base } = {}) {
    return (await storedModels(base)).models;
  },

  /**
   * Deletes models from this browser's storage.
   * @param {string | URL | Stored} ref a key or an entry of `LLaVA.cached()`, or the name or address that a model was loaded by
   * @param {EngineOptions} [options]
   * @returns {Promise<number>} of deleted models
   */
  async delete(ref, { base } = {}) {
    return deleteStored(typeof ref === "object" && "key" in ref ? ref.key : String(ref), pageAddress(), base);
  },

  /** Describes this machine, as far as browsers tell: whether it has a GPU, the bytes that a model may take, the bytes that may
   * be stored. @param {{ backend?: import("../shared/protocol.js").BackendChoice }} [options] */
  machine({ backend } = {}) {
    return describeMachine(backend !== "cpu");
  },
};
