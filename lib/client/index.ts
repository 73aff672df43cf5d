// The client's entry for Node.js, which may find packages for its transports.

import "./error-names.js";
import "./packages.js";
import "./presence.js";

export * from "./names.js";
