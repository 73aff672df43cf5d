import { createHooks } from "node-token-sockjs/react";
import type { channels, controller } from "../controller.js";

/** The hooks, which know what this server has. */
export const {
  TokenSocketProvider,
  useCall,
  useChannel,
  useConnectionState,
  useHistory,
  useResult,
  useStream,
  useTokenSocket,
} = createHooks<typeof controller, typeof channels>();
