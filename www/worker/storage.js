// A small worker that lists and deletes what is kept, also while the engine is busy or gone.

import { answerCalls } from "../shared/messenger.js";
import { forgetStored, listStored, storageKind } from "./store.js";

const scope = /** @type {Parameters<typeof answerCalls>[0]} */ (/** @type {unknown} */ (self));

answerCalls(scope, {
  async stored() {
    return { kind: await storageKind(), models: await listStored() };
  },

  async forget({ key }) {
    await forgetStored(key);
    return null;
  },
});
