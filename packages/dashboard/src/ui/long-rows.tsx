import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
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
  const rowHeight = useRef(GUESSED_ROW_HEIGHT);
  const count = items.length;
  const drawn = useSignal<RowWindow>(rowWindow({ top: 0, height: innerHeight, rowHeight: GUESSED_ROW_HEIGHT, count }));
  useEffect(() => {
    const table = body.current;
    if (table === null || count <= WHOLE) return;
    let frame = 0;
    const measure = (): void => {
      frame = 0;
      const sample = table.querySelector<HTMLElement>("tr[aria-rowindex]");
      if (sample !== null && sample.offsetHeight > 0) rowHeight.current = sample.offsetHeight;
      const top = -table.getBoundingClientRect().top;
      const next = rowWindow({ top, height: innerHeight, rowHeight: rowHeight.current, count });
      if (next.first !== drawn.value.first || next.end !== drawn.value.end) drawn.value = next;
    };
    const soon = (): void => {
      if (frame === 0) frame = requestAnimationFrame(measure);
    };
    measure();
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    return () => {
      removeEventListener("scroll", soon);
      removeEventListener("resize", soon);
      cancelAnimationFrame(frame);
    };
  }, [count, drawn]);
  const { first, end } = count <= WHOLE ? { first: 0, end: count } : drawn.value;
  return (
    <tbody ref={body}>
      <Gap rows={first} height={rowHeight.current} columns={columns} />
      {items.slice(first, end).map((item, index) => children(item, first + index))}
      <Gap rows={Math.max(0, (total ?? count) - end)} height={rowHeight.current} columns={columns} />
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
