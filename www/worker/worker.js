// The engine's worker, alone.

import * as build from "../pkg/llava_web.js";
import { answerWith } from "./engine-calls.js";
// What lies deeper is asked for with the rest, instead of one trip to the server later per level.
import "./kept-source.js";
import "./sources.js";
import "./store.js";

answerWith(build);
