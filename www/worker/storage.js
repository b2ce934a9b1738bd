// A small worker that lists and deletes what is kept, also while the engine is busy or gone.

import { answerCalls } from "../shared/messenger.js";
import { forgetStored, listStored, storageKind } from "./store.js";
import { oneAtATime } from "./turns.js";

const scope = /** @type {Parameters<typeof answerCalls>[0]} */ (/** @type {unknown} */ (self));

/** A file that a listing reads cannot be deleted, and a listing that a deletion overtakes would show what is gone. */
const inTurn = oneAtATime();

answerCalls(scope, {
  stored: () => inTurn(async () => ({ kind: await storageKind(), models: await listStored() })),

  forget: ({ key }) =>
    inTurn(async () => {
      await forgetStored(key);
      return null;
    }),
});
