/** Whether an answer of this status, or no answer (0), may be another one a little later. */
export function isTemporary(status: number): boolean {
  return status === 0 || status === 429 || status >= 500;
}
