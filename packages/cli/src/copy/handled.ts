/** A promise whose rejection is seen where it is awaited later, if it is: until then it is no unhandled one. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
