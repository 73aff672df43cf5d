import { useState } from "react";
import { useConnectionState, useResult, useTokenSocket } from "./hooks.js";
import { Notes } from "./notes.js";
import { Process } from "./process.js";
import { Reactions } from "./reactions.js";

const LABELS = { connecting: "Connecting…", open: "Connected", waiting: "Offline", closed: "Closed" };

export function Dashboard() {
  const { data: me } = useResult("visitor.me");
  return (
    <>
      <header className="top">
        <h1>Dashboard</h1>
        <Status />
        {me && (
          <p className="me">
            You are <b>{me.name}</b>
          </p>
        )}
      </header>
      <Lost />
      <main>
        <Process />
        <Notes />
        <Reactions />
      </main>
    </>
  );
}

function Status() {
  const { state } = useConnectionState();
  return (
    <p className="status" role="status" data-state={state}>
      {LABELS[state]}
    </p>
  );
}

function Lost() {
  const { state, reason } = useConnectionState();
  const socket = useTokenSocket();
  const [isLost, setIsLost] = useState(false);
  // an attempt to come back is nothing new
  if (state !== "connecting" && isLost !== (state !== "open")) setIsLost(state !== "open");
  if (!isLost) return null;
  return (
    <div className="lost" role="alert">
      <p>
        The connection is lost. Trying to get it back… <small>{reason?.message}</small>
      </p>
      {/* while the client waits, this is an attempt at once */}
      <button type="button" onClick={() => socket?.reauthenticate()}>
        Try now
      </button>
    </div>
  );
}
