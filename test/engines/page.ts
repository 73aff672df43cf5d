// A page with a client, which comes back fast.

import { TokenSocket } from "../../lib/client/index.js";

Object.assign(globalThis, { client: new TokenSocket({ backoff: { min: 10, max: 50 } }) });
