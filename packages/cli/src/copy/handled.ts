/**
 * Marks a promise whose rejection is handled later, where it is awaited, so that Node does not report it as unhandled until then.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
