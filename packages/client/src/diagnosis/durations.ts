/** A duration as Go prints it, with three digits: `759µs`, `1.23ms`, `2.5s`, `1m3s`. */
export function formatDuration(exactMs: number): string {
  // Rounded first, so that the unit fits the rounded value.
  const ms = Math.abs(exactMs) < 60_000 ? Number(exactMs.toPrecision(3)) : exactMs;
  if (ms === 0) return "0s";
  if (Math.abs(ms) < 0.001) return `${Math.round(ms * 1e6)}ns`;
  if (Math.abs(ms) < 1) return `${trimmed(ms * 1000)}µs`;
  if (Math.abs(ms) < 1000) return `${trimmed(ms)}ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${trimmed(seconds)}s`;
  const minutes = Math.floor(seconds / 60);
  const rest = `${Math.floor(seconds - 60 * minutes)}s`;
  return minutes < 60 ? `${minutes}m${rest}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${rest}`;
}

function trimmed(value: number): string {
  return String(Number(value.toPrecision(3)));
}
