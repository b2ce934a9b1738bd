// The worker of the model list: lists and deletes stored models, also while the engine is busy or has ended.

import { serialQueue } from "../shared/async.js";
import { serveCalls } from "../shared/messenger.js";
import { deleteModel, listModels, storageKind } from "./model-cache.js";

const scope = /** @type {Parameters<typeof serveCalls>[0]} */ (/** @type {unknown} */ (self));

/** Calls are serial: a file that a listing reads cannot be deleted, and a listing during a deletion would show deleted
 * models. */
const runSerially = serialQueue();

serveCalls(scope, {
  stored: () => runSerially(async () => ({ kind: await storageKind(), models: await listModels() })),

  forget: ({ key }) =>
    runSerially(async () => {
      await deleteModel(key);
      return null;
    }),
});
