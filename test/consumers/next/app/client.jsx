"use client";

import { TokenSocket } from "node-token-sockjs/client";
import { TokenSocketProvider } from "node-token-sockjs/react";
import { useEffect, useState } from "react";
import { converse } from "../converse.js";

/** Makes the client in the browser alone. */
export function Client({ children }) {
  const [socket, setSocket] = useState(null);
  useEffect(() => {
    const host = new URLSearchParams(location.search).get("server");
    globalThis.said = converse(TokenSocket, host);
    const made = new TokenSocket({ host });
    setSocket(made);
    return () => void made.end();
  }, []);
  return <TokenSocketProvider socket={socket}>{children}</TokenSocketProvider>;
}
