import { useHistory, useTokenSocket } from "./hooks.js";

const EMOJIS = [
  { emoji: "👍", label: "Thumbs up" },
  { emoji: "🎉", label: "Hooray" },
  { emoji: "🔥", label: "Fire" },
  { emoji: "☕", label: "Coffee" },
] as const;

/** How many are shown. */
const LAST = 6;

/** What visitors tell each other by a channel, also what was told before, and while the connection was lost. */
export function Reactions() {
  const socket = useTokenSocket();
  const { messages, isLive, error } = useHistory("reactions", { last: LAST, limit: LAST });
  return (
    <section className="card reactions" aria-labelledby="reactions-title">
      <h2 id="reactions-title">Reactions</h2>
      <p className="buttons">
        {EMOJIS.map(({ emoji, label }) => (
          <button
            key={emoji}
            type="button"
            aria-label={label}
            disabled={!isLive}
            onClick={() => socket?.publish("reactions", { emoji })}
          >
            {emoji}
          </button>
        ))}
      </p>
      {error && <p className="failed">{error.message}</p>}
      <ol aria-live="polite">
        {[...messages].reverse().map(({ message, at }) => (
          <li key={at}>
            <span className="emoji">{message.emoji}</span> {message.from}
          </li>
        ))}
      </ol>
      {messages.length === 0 && (
        <p className="quiet">Nobody has reacted yet. Open a second window to see both.</p>
      )}
    </section>
  );
}
