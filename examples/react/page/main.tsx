import { TokenSocket } from "node-token-sockjs/client";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import type { channels, controller } from "../controller.js";
import { Dashboard } from "./dashboard.js";
import { TokenSocketProvider } from "./hooks.js";

/** The page's one connection. It comes back by itself, and notices when the server has gone in silence. */
const socket = new TokenSocket<typeof controller, typeof channels>({
  ping: 20_000,
  backoff: { min: 200, max: 3000 },
});

const root = document.getElementById("root");
if (!root) throw new Error("The page has no place for the dashboard");
createRoot(root).render(
  <StrictMode>
    <TokenSocketProvider socket={socket}>
      <Dashboard />
    </TokenSocketProvider>
  </StrictMode>,
);
