import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { type RowWindow, rowWindow } from "./row-window.ts";

/** Shorter tables are drawn whole, so that the browser's own search finds every row. */
const WHOLE = 150;
const GUESSED_ROW_HEIGHT = 48;

/** A table body in which only the visible rows exist. */
export function LongRows<Item>({
  items,
  total,
  columns,
  children,
}: {
  readonly items: readonly Item[];
  /** More than there are items, if further ones are still to come; absent: the number of items. */
  readonly total?: number | undefined;
  readonly columns: number;
  /** The row of one item; its index goes to `aria-rowindex`. */
  readonly children: (item: Item, index: number) => ComponentChildren;
}): JSX.Element {
  const body = useRef<HTMLTableSectionElement>(null);
  const rowHeight = useSignal(GUESSED_ROW_HEIGHT);
  const count = items.length;
  const isLong = (total ?? count) > WHOLE;
  const drawn = useSignal<RowWindow>(rowWindow({ top: 0, height: innerHeight, rowHeight: GUESSED_ROW_HEIGHT, count }));
  // Before the browser paints, so that the height of the page is that of all rows from the first moment: a scroll to the end that
  // begins before the further rows have come has the right aim.
  useLayoutEffect(() => {
    const table = body.current;
    if (table === null || !isLong) return;
    let frame = 0;
    const measureRow = (): void => {
      const sample = table.querySelector<HTMLElement>("tr[aria-rowindex]");
      if (sample !== null && sample.offsetHeight > 0) rowHeight.value = sample.offsetHeight;
    };
    const measure = (): void => {
      frame = 0;
      const top = -table.getBoundingClientRect().top;
      const next = rowWindow({ top, height: innerHeight, rowHeight: rowHeight.value, count });
      if (next.first !== drawn.value.first || next.end !== drawn.value.end) drawn.value = next;
    };
    const soon = (): void => {
      if (frame === 0) frame = requestAnimationFrame(measure);
    };
    const resized = (): void => {
      measureRow();
      soon();
    };
    measureRow();
    measure();
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", resized);
    return () => {
      removeEventListener("scroll", soon);
      removeEventListener("resize", resized);
      cancelAnimationFrame(frame);
    };
  }, [count, isLong, drawn, rowHeight]);
  const { first, end } = count <= WHOLE ? { first: 0, end: count } : drawn.value;
  return (
    <tbody ref={body}>
      <Gap rows={first} height={rowHeight.value} columns={columns} />
      {items.slice(first, end).map((item, index) => children(item, first + index))}
      <Gap rows={Math.max(0, (total ?? count) - end)} height={rowHeight.value} columns={columns} />
    </tbody>
  );
}

function Gap({
  rows,
  height,
  columns,
}: {
  readonly rows: number;
  readonly height: number;
  readonly columns: number;
}): JSX.Element | null {
  if (rows === 0) return null;
  return (
    <tr class="gap" style={{ height: `${rows * height}px` }}>
      <td colSpan={columns} />
    </tr>
  );
}
