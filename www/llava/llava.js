// The entry points of the package.

import { Failure, aborted } from "../shared/failure.js";
import { loadCatalogue } from "./catalogue.js";
import { engineCode } from "./engine-code.js";
import { configure } from "./engine-options.js";
import { Inspection } from "./inspection.js";
import { describeMachine, storageRoom } from "./machine.js";
import { resolveRef } from "./model-ref.js";
import { speedsHere } from "./speed-here.js";
import { deleteStored, storedModels } from "./stored-models.js";
import { suitableModels } from "./suitable.js";

/** @typedef {import("./engine-options.js").EngineOptions} EngineOptions */
/** @typedef {import("./inspection.js").InspectOptions} InspectOptions */
/** @typedef {import("./inspection.js").LoadOptions} LoadOptions */
/** @typedef {import("./model-ref.js").Ref} Ref */
/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("../shared/protocol.js").Stored} Stored */

/** Opens, inspects and loads models, and describes what this browser has of them. */
export const LLaVA = {
  /** Sets options for all later calls. A bundler that leaves workers where they are needs `base`.
   * @param {EngineOptions} options */
  configure(options) {
    configure(options);
  },

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
      if (options.signal?.aborted) throw aborted(options.signal, "open");
      // The engine's code arrives while the hub is asked.
      engineCode(options);
      return await Inspection.open(await resolveRef(ref, options), options);
    } catch (thrown) {
      throw Failure.from(thrown, "open");
    }
  },

  /**
   * Finds the model that a reference means, without opening it: the addresses of its files, its other files, what the
   * catalogue knows of it. The result is itself a reference.
   * @param {Ref} ref @param {import("./model-ref.js").ResolveOptions} [options]
   * @returns {Promise<import("../shared/protocol.js").ModelRef>}
   */
  async resolve(ref, options = {}) {
    try {
      return await resolveRef(ref, options);
    } catch (thrown) {
      throw Failure.from(thrown, "model");
    }
  },

  /** Lists the known models; none where the list cannot be read. Each is a reference by its `id`.
   * @param {EngineOptions} [options] */
  catalogue(options = {}) {
    return loadCatalogue(options);
  },

  /** Describes this browser's storage: its kind, the models in it, newest first, and the bytes that may still be
   * stored, `null` where the browser does not say.
   * @param {EngineOptions} [options]
   * @returns {Promise<{ kind: "opfs" | "cache" | "none", models: Stored[], room: number | null }>} */
  async storage(options = {}) {
    return { ...(await storedModels(options)), room: await storageRoom() };
  },

  /**
   * Loads a model, and restores a conversation with it that `model.save` returned.
   * @param {Uint8Array | ArrayBuffer | Blob} saved @param {Ref} ref @param {InspectOptions & LoadOptions} [options]
   * @returns {Promise<Model>} rejects where another model has saved it
   */
  async restore(saved, ref, options = {}) {
    const model = await LLaVA.load(ref, options);
    try {
      await model.restore(saved, options);
    } catch (thrown) {
      model.close();
      throw thrown;
    }
    return model;
  },

  /** Lists the models in this browser's storage, newest first.
   * @param {EngineOptions} [options] @returns {Promise<Stored[]>} */
  async cached(options) {
    return (await LLaVA.storage(options)).models;
  },

  /**
   * Deletes models from this browser's storage.
   * @param {string | URL | Stored} ref a key or an entry of `LLaVA.cached()`, or the name or address that a model was
   *   loaded by
   * @param {EngineOptions} [options]
   * @returns {Promise<number>} how many were deleted
   */
  async delete(ref, options = {}) {
    return deleteStored(typeof ref === "object" && "key" in ref ? ref : String(ref), options);
  },

  /**
   * Chooses known models that suit this machine: two or three of those that fit, from the smallest to the best. With
   * `measure` the speed of this machine is measured first, unless an earlier visit has, which takes some seconds.
   * @param {EngineOptions & { backend?: import("../shared/protocol.js").BackendChoice, measure?: boolean, signal?:
   *   AbortSignal }} [options]
   * @returns {Promise<import("./suitable.js").Suitable[]>}
   */
  async suitable({ backend = "auto", measure = false, signal, ...engine } = {}) {
    const speeds = measure ? await speedsHere(backend, signal, engine) : {};
    return suitableModels(await loadCatalogue(engine), await describeMachine(backend !== "cpu"), speeds);
  },

  /** Describes this machine, as far as browsers tell: whether it has a GPU, the bytes that a model may take, the bytes
   * that may be stored.
   * @param {{ backend?: import("../shared/protocol.js").BackendChoice }} [options] */
  machine({ backend } = {}) {
    return describeMachine(backend !== "cpu");
  },
};
