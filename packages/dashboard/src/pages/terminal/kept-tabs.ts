/** Which terminals this browser tab showed for an agent: the same ones after a reload. */
import { newTab, restored, stored, type Tabs } from "../../terminal/tabs.ts";

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The terminal of the address, among those that this browser tab showed before a reload. */
export function firstTabs(agentId: string, asked: string, command: string): Tabs {
  const before = UUID.test(asked) ? restored(read(tabsKey(agentId))) : [];
  const wanted = UUID.test(asked)
    ? { id: asked, known: true, command, title: "" }
    : newTab(crypto.randomUUID(), command);
  // A reload is of a terminal that was here; another address is another terminal.
  if (!before.some(({ id }) => id === wanted.id)) return { list: [wanted], shown: wanted.id };
  return { list: before, shown: wanted.id };
}

function tabsKey(agentId: string): string {
  return `terminals ${agentId}`;
}

function read(key: string): string | null {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null; // storage is off
  }
}

export function keepTabs(agentId: string, tabs: Tabs): void {
  try {
    sessionStorage.setItem(tabsKey(agentId), stored(tabs));
  } catch {
    // Storage is off or full: a reload finds the terminal of the address alone.
  }
}
