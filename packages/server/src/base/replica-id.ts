const SHORT_LENGTH = 8;

/** The id of a server as owners see it: in headers, metrics, logs and pages. */
export function shortReplicaId(id: string): string {
  return id.slice(0, SHORT_LENGTH);
}
