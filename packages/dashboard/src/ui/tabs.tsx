import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useId, useRef } from "preact/hooks";

export interface TabChoice {
  readonly name: string;
  readonly title: string;
}

/**
 * Tabs after the ARIA pattern: the Tab key reaches the selected one, arrow keys move between them and wrap around,
 * Home and End select the first and the last, and the panel follows at once.
 */
export function TabList({
  label,
  tabs,
  first,
  children,
}: {
  readonly label: string;
  readonly tabs: readonly TabChoice[];
  /** The name of the tab that is selected at first. */
  readonly first: string;
  readonly children: (shown: string) => ComponentChildren;
}): JSX.Element {
  const id = useId();
  const shown = useSignal(first);
  const list = useRef<HTMLDivElement>(null);
  const go = (event: KeyboardEvent): void => {
    const to = tabAfter(event.key, tabs, shown.value);
    if (to === undefined) return;
    event.preventDefault();
    shown.value = to;
    list.current?.querySelector<HTMLElement>(`[data-tab="${to}"]`)?.focus();
  };
  return (
    <>
      <div ref={list} class="tabs" role="tablist" aria-label={label} onKeyDown={go}>
        {tabs.map(({ name, title }) => (
          <button
            key={name}
            id={`${id}-${name}`}
            data-tab={name}
            type="button"
            role="tab"
            aria-selected={shown.value === name}
            aria-controls={`${id}-panel`}
            tabIndex={shown.value === name ? 0 : -1}
            onClick={() => {
              shown.value = name;
            }}
          >
            {title}
          </button>
        ))}
      </div>
      <div id={`${id}-panel`} role="tabpanel" aria-labelledby={`${id}-${shown.value}`}>
        {children(shown.value)}
      </div>
    </>
  );
}

/** The tab that a key selects; undefined if it selects none. */
export function tabAfter(key: string, tabs: readonly TabChoice[], shown: string): string | undefined {
  const at = tabs.findIndex(({ name }) => name === shown);
  const steps: Readonly<Record<string, number>> = {
    ArrowRight: (at + 1) % tabs.length,
    ArrowLeft: (at + tabs.length - 1) % tabs.length,
    Home: 0,
    End: tabs.length - 1,
  };
  const to = Object.hasOwn(steps, key) ? steps[key] : undefined;
  return to === undefined ? undefined : tabs[to]?.name;
}
