/** Which rows of a long table are drawn: those near the visible part. */

export interface RowWindow {
  readonly first: number;
  /** Index after the last one. */
  readonly end: number;
}

/** Further rows above and below that are drawn, so that a quick scroll finds them. */
const MARGIN = 12;

/** `top` is the offset of the visible part from the first row, negative above it. All values in pixels. */
export function rowWindow(view: {
  readonly top: number;
  readonly height: number;
  readonly rowHeight: number;
  readonly count: number;
}): RowWindow {
  const { top, height, rowHeight, count } = view;
  const first = Math.min(Math.max(0, Math.floor(top / rowHeight) - MARGIN), Math.max(0, count - 1));
  const end = Math.min(count, Math.max(first, Math.ceil((top + height) / rowHeight) + MARGIN));
  return { first, end };
}
