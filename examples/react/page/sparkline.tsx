const WIDTH = 240;
const HEIGHT = 48;

/** The last values as a line; the newest is at the right. */
export function Sparkline({
  values,
  length,
  title,
}: {
  values: readonly number[];
  length: number;
  title: string;
}) {
  const top = Math.max(1, ...values) * 1.1;
  const points = values.map((value, index) => {
    const x = WIDTH - ((values.length - 1 - index) * WIDTH) / (length - 1);
    return `${x.toFixed(1)},${(HEIGHT - 2 - (value / top) * (HEIGHT - 4)).toFixed(1)}`;
  });
  const first = points[0]?.split(",")[0];
  return (
    <svg
      className="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`${title}, the last ${values.length} values`}
    >
      {first && (
        <polygon className="area" points={`${first},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`} />
      )}
      <polyline points={points.join(" ")} vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
