/** Address of a WebSocket below /api/v2 of this origin. */
export function socketUrl(path: string): string {
  const url = new URL(`/api/v2${path}`, location.origin);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
