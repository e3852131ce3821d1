// Axes of plots.

const power = (value: number) =>
  value >= 1e-3 && value < 1e5 ? `${+value.toPrecision(3)}` : value.toExponential(0).replace("+", "").replace("-", "−");

/** A logarithmic axis. */
export const logarithmicAxis = (label: string) => ({
  label,
  type: "log" as const,
  grid: true,
  ticks: 6,
  tickFormat: power,
});

/** An axis of steps, with a tick at whole numbers alone; `room` is left at both ends, for bars and stems. */
export function stepAxis(label: string, first: number, last: number, room = 0) {
  const stride = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((each) => (last - first) / each <= 12) ?? 1000;
  const start = Math.ceil(first / stride) * stride;
  const ticks = Array.from({ length: Math.floor((last - start) / stride) + 1 }, (_, i) => start + i * stride);
  return { label, domain: [first - room, Math.max(last + room, first + 1)], ticks, tickFormat: "d" };
}

/** Axis of values, with room for the dots at its ends. */
export const valueAxis = (label: string) => ({ label, grid: true, inset: 6 });
