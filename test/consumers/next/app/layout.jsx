import { TokenSocketProvider } from "node-token-sockjs/react";
import { Client } from "./client.jsx";

/** A server component, which may render the provider as it is. */
export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>
        <TokenSocketProvider socket={null}>
          <Client>{children}</Client>
        </TokenSocketProvider>
      </body>
    </html>
  );
}
