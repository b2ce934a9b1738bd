// The engine's worker where memory can be shared: other threads help it on the CPU.

import * as build from "../pkg/threads/llava_web.js";
import { answerWith } from "./engine-calls.js";

answerWith(build);
