import { useState } from "react";
import type { Metrics } from "../metrics.js";
import { useStream } from "./hooks.js";
import { Sparkline } from "./sparkline.js";

/** How many points a line has. */
const POINTS = 60;

const SERIES = [
  { name: "cpu", title: "Processor", unit: "%" },
  { name: "memory", title: "Memory", unit: "MB" },
  { name: "delay", title: "Event loop delay", unit: "ms" },
] as const;

const SPEEDS = [
  { every: 250, label: "4 a second" },
  { every: 1000, label: "1 a second" },
  { every: 5000, label: "every 5 seconds" },
];

/** What the server's process is like, as a stream: another speed is another stream. */
export function Process() {
  const [every, setEvery] = useState(250);
  const [points, setPoints] = useState<readonly Metrics[]>([]);
  const { isRunning, error } = useStream(
    "metrics",
    { every },
    { window: 4, onItem: (item) => setPoints((last) => [...last, item].slice(-POINTS)) },
  );
  return (
    <section className="card process" aria-labelledby="process-title">
      <header>
        <h2 id="process-title">The server's process</h2>
        <label>
          <span className="visually-hidden">How often</span>
          <select value={every} onChange={(event) => setEvery(Number(event.target.value))}>
            {SPEEDS.map((speed) => (
              <option key={speed.every} value={speed.every}>
                {speed.label}
              </option>
            ))}
          </select>
        </label>
      </header>
      <dl data-running={isRunning} data-points={points.length}>
        {SERIES.map(({ name, title, unit }) => (
          <div key={name} className="metric">
            <dt>{title}</dt>
            <dd>
              <span className="number">{points.at(-1)?.[name].toFixed(1) ?? "–"}</span> {unit}
              <Sparkline values={points.map((point) => point[name])} length={POINTS} title={title} />
            </dd>
          </div>
        ))}
      </dl>
      {error && (
        <p className="quiet" role="status">
          No numbers: {error.message}
        </p>
      )}
    </section>
  );
}
