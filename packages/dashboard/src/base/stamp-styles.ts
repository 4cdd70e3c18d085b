/**
 * Gives every style element that a script makes the nonce of this answer. xterm writes its rules into style elements; the
 * policy of the page takes only those with the nonce, and only if they have it before they are inserted.
 */
export function stampStyles(nonce: string): void {
  const create = Document.prototype.createElement;
  Document.prototype.createElement = function createStamped(
    this: Document,
    name: string,
    options?: ElementCreationOptions,
  ): HTMLElement {
    const element = create.call(this, name, options);
    if (element instanceof HTMLStyleElement) element.nonce = nonce;
    return element;
  };
}
