/** Which rows of a long table are drawn: those near what is visible. */

export interface RowWindow {
  readonly first: number;
  /** One behind the last. */
  readonly end: number;
}

/** Rows above and below what is visible that are drawn, too: a quick scroll finds them there. */
const MARGIN = 12;

/** `top` is the offset of the visible part from the first row, negative above it. All in pixels. */
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
