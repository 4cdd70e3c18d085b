/** The terminals of one agent that this browser tab shows: pure state, and where it outlives a reload. */

export interface Tab {
  readonly id: string;
  /** Its program may have run before this page. */
  readonly known: boolean;
  readonly command: string;
  readonly title: string;
}

export interface Tabs {
  /** At least one. */
  readonly list: readonly Tab[];
  /** Id of the one that is shown. */
  readonly shown: string;
}

const MAX_TABS = 16;
const MAX_TITLE = 120;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function newTab(id: string, command = ""): Tab {
  return { id, known: false, command, title: "" };
}

/** The terminal is shown; a tab is added for it unless there is one. Beyond the limit the oldest tab goes. */
export function showTab(tabs: Tabs, tab: Tab): Tabs {
  const there = tabs.list.some(({ id }) => id === tab.id);
  return { list: there ? tabs.list : [...tabs.list, tab].slice(-MAX_TABS), shown: tab.id };
}

/** Its neighbour is shown in its place; `fresh` follows the last one. */
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

/** The tab by so many steps further; it goes round. */
export function neighbour(tabs: Tabs, steps: number): Tabs {
  const at = tabs.list.findIndex(({ id }) => id === tabs.shown);
  const next = tabs.list[(at + steps + tabs.list.length) % tabs.list.length];
  return next === undefined ? tabs : { ...tabs, shown: next.id };
}

/** As text for the storage of the browser tab. A command is left out: it must not run again after a reload. */
export function stored(tabs: Tabs): string {
  return JSON.stringify(tabs.list.map(({ id, title }) => ({ id, title })));
}

/** What of it is sound; the tabs of a text that another version wrote, or nothing. */
export function restored(text: string | null): readonly Tab[] {
  try {
    const value: unknown = JSON.parse(text ?? "[]");
    if (!Array.isArray(value)) return [];
    return value.slice(0, MAX_TABS).flatMap((entry: unknown): Tab[] => {
      if (typeof entry !== "object" || entry === null) return [];
      const { id, title } = entry as { id?: unknown; title?: unknown };
      if (typeof id !== "string" || !UUID.test(id) || typeof title !== "string") return [];
      return [{ id, known: true, command: "", title: title.slice(0, MAX_TITLE) }];
    });
  } catch {
    return []; // not JSON
  }
}
