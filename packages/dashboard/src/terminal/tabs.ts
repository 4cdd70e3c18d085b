/** The terminals of one agent in this browser tab: pure state, and its form that survives a reload. */

export interface Tab {
  readonly id: string;
  /** Whether its program may have run before this page. */
  readonly known: boolean;
  readonly command: string;
  readonly title: string;
}

export interface Tabs {
  /** At least one. */
  readonly list: readonly Tab[];
  /** Id of the shown one. */
  readonly shown: string;
}

const MAX_TABS = 16;
const MAX_TITLE = 120;
/** The id of a terminal: a UUID. */
export const TERMINAL_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function newTab(id: string, command = ""): Tab {
  return { id, known: false, command, title: "" };
}

/** Shows the terminal, adding a tab unless it has one. Beyond the limit the oldest tab goes. */
export function showTab(tabs: Tabs, tab: Tab): Tabs {
  const there = tabs.list.some(({ id }) => id === tab.id);
  return { list: there ? tabs.list : [...tabs.list, tab].slice(-MAX_TABS), shown: tab.id };
}

/** Closes a tab and shows its neighbour instead; after the last one, `fresh` is shown. */
export function closeTab(tabs: Tabs, id: string, fresh: Tab): Tabs {
  const at = tabs.list.findIndex((tab) => tab.id === id);
  if (at < 0) return tabs;
  const left = tabs.list.filter((tab) => tab.id !== id);
  if (left.length === 0) return { list: [fresh], shown: fresh.id };
  if (tabs.shown !== id) return { ...tabs, list: left };
  return { list: left, shown: left[Math.min(at, left.length - 1)]!.id };
}

export function replaceTab(tabs: Tabs, id: string, tab: Tab): Tabs {
  return {
    list: tabs.list.map((one) => (one.id === id ? tab : one)),
    shown: tabs.shown === id ? tab.id : tabs.shown,
  };
}

export function titled(tabs: Tabs, id: string, title: string): Tabs {
  return { ...tabs, list: tabs.list.map((tab) => (tab.id === id ? { ...tab, title } : tab)) };
}

/** The tab this many steps further; the last is followed by the first. */
export function neighbour(tabs: Tabs, steps: number): Tabs {
  const at = tabs.list.findIndex(({ id }) => id === tabs.shown);
  const next = tabs.list[(at + steps + tabs.list.length) % tabs.list.length];
  return next === undefined ? tabs : { ...tabs, shown: next.id };
}

/** The tabs as text for the browser tab's storage. Commands are left out, because they must not run again after a reload. */
export function stored(tabs: Tabs): string {
  return JSON.stringify(tabs.list.map(({ id, title }) => ({ id, title })));
}

/** The valid tabs in stored text, which another version may have written. */
export function restored(text: string | null): readonly Tab[] {
  try {
    const value: unknown = JSON.parse(text ?? "[]");
    if (!Array.isArray(value)) return [];
    return value.slice(0, MAX_TABS).flatMap((entry: unknown): Tab[] => {
      if (typeof entry !== "object" || entry === null) return [];
      const { id, title } = entry as { id?: unknown; title?: unknown };
      if (typeof id !== "string" || !TERMINAL_ID.test(id) || typeof title !== "string") return [];
      return [{ id, known: true, command: "", title: title.slice(0, MAX_TITLE) }];
    });
  } catch {
    return []; // not JSON
  }
}
