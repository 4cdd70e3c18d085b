/**
 * Predicts the outside ports of a NAT that uses a different one for every destination, from those that STUN servers
 * saw. Works for the two predictable patterns: counting up, and drawing from a small pool. Anything else yields
 * nothing.
 */

/** Pools up to this size are worth trying: the peer probes every port once. */
export const MAX_POOL = 64;
const MAX_STEP = 4;
/** Ports named ahead of a counter: other hosts behind the same NAT use some. */
const AHEAD = 24;
/** Fewer observations prove nothing. */
const MIN_OBSERVATIONS = 3;

/**
 * @param ports Outside ports in the order they were seen. @returns predictions, likeliest first; empty when there is no
 * pattern.
 */
export function predictPorts(ports: readonly number[]): number[] {
  if (ports.length < MIN_OBSERVATIONS || new Set(ports).size < 2) return [];
  const steps = ports.slice(1).map((port, i) => port - ports[i]!);
  const last = ports.at(-1)!;
  if (steps.every((step) => step >= 1 && step <= MAX_STEP))
    return range(last + 1, last + AHEAD).concat(range(Math.min(...ports), last));
  const least = Math.min(...ports);
  const most = Math.max(...ports);
  if (most - least >= MAX_POOL) return [];
  // Pools mostly start at a round number: the aligned block first, then the other possible ones.
  const start = least - (least % MAX_POOL);
  const aligned = most < start + MAX_POOL ? range(start, start + MAX_POOL - 1) : [];
  const possible = range(most - MAX_POOL + 1, least + MAX_POOL - 1);
  return [...aligned, ...possible.filter((port) => !aligned.includes(port))];
}

function range(from: number, to: number): number[] {
  const ports: number[] = [];
  for (let port = Math.max(1024, from); port <= Math.min(65_535, to); port++) ports.push(port);
  return ports;
}
