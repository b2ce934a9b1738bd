// The engine's worker where memory can be shared: other threads help it on the CPU. Both builds for that have this JavaScript.

import * as build from "../pkg/threads/llava_web.js";
import { answerWith } from "./engine-calls.js";
// What lies deeper is asked for with the rest, instead of one trip to the server later per level.
import "./kept-source.js";
import "./sources.js";
import "./store.js";

answerWith(build);
