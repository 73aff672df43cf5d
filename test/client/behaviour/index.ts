// What the client does, in Node.js as well as in a page. A further subject is a file beside this one and a line here;
// what it needs of the server is a function in application.ts.

import { actions } from "./actions.js";
import { calls } from "./calls.js";
import { channels, loops } from "./channels.js";
import { connecting } from "./connecting.js";
import type { Subject } from "./context.js";
import { ending } from "./ending.js";
import { events, frames } from "./events.js";
import { identity } from "./identity.js";
import { returning } from "./returning.js";
import { streams } from "./streams.js";

export const SUBJECTS: readonly Subject[] = [
  connecting,
  calls,
  actions,
  channels,
  loops,
  streams,
  returning,
  identity,
  ending,
  events,
  frames,
];
