/** A duration as Go prints it, three digits behind the point at most: `1.234ms`, `2.5s`, `1m3s`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (Math.abs(ms) < 0.001) return `${Math.round(ms * 1e6)}ns`;
  if (Math.abs(ms) < 1) return `${trimmed(ms * 1000)}µs`;
  if (Math.abs(ms) < 1000) return `${trimmed(ms)}ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${trimmed(seconds)}s`;
  const minutes = Math.floor(seconds / 60);
  const rest = `${trimmed(seconds - 60 * minutes)}s`;
  return minutes < 60 ? `${minutes}m${rest}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${rest}`;
}

function trimmed(value: number): string {
  return String(Number(value.toFixed(3)));
}
