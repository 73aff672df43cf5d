import { useRef, useState } from "react";
import { useChannel, useTokenSocket } from "./hooks.js";

const EMOJIS = [
  { emoji: "👍", label: "Thumbs up" },
  { emoji: "🎉", label: "Hooray" },
  { emoji: "🔥", label: "Fire" },
  { emoji: "☕", label: "Coffee" },
] as const;

/** How many are shown. */
const LAST = 6;

interface Reaction {
  readonly key: number;
  readonly emoji: string;
  readonly from: string;
}

/** What visitors tell each other by a channel. */
export function Reactions() {
  const socket = useTokenSocket();
  const [reactions, setReactions] = useState<readonly Reaction[]>([]);
  const count = useRef(0);
  const { isJoined, error } = useChannel("reactions", ({ emoji, from = "Somebody" }) => {
    count.current += 1;
    const reaction = { key: count.current, emoji, from };
    setReactions((last) => [reaction, ...last].slice(0, LAST));
  });
  return (
    <section className="card reactions" aria-labelledby="reactions-title">
      <h2 id="reactions-title">Reactions</h2>
      <p className="buttons">
        {EMOJIS.map(({ emoji, label }) => (
          <button
            key={emoji}
            type="button"
            aria-label={label}
            disabled={!isJoined}
            onClick={() => socket?.publish("reactions", { emoji })}
          >
            {emoji}
          </button>
        ))}
      </p>
      {error && <p className="failed">{error.message}</p>}
      <ol aria-live="polite">
        {reactions.map(({ key, emoji, from }) => (
          <li key={key}>
            <span className="emoji">{emoji}</span> {from}
          </li>
        ))}
      </ol>
      {reactions.length === 0 && (
        <p className="quiet">Nobody has reacted yet. Open a second window to see both.</p>
      )}
    </section>
  );
}
