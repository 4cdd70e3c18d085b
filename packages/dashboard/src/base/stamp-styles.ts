/**
 * Gives every style element that a script makes the nonce of this page. xterm writes its rules into style elements, and the
 * page's policy admits only those that have the nonce when they are inserted.
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
