/** Which terminals this browser tab showed for an agent, so that a reload shows them again. */
import { newTab, restored, stored, type Tabs, TERMINAL_ID } from "../../terminal/tabs.ts";

/** The terminal in the address, together with those that this browser tab showed before a reload. */
export function firstTabs(agentId: string, asked: string, command: string): Tabs {
  const before = TERMINAL_ID.test(asked) ? restored(read(tabsKey(agentId))) : [];
  const wanted = TERMINAL_ID.test(asked)
    ? { id: asked, known: true, command, title: "" }
    : newTab(crypto.randomUUID(), command);
  // After a reload the address names one of the earlier terminals; any other address is a new visit.
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
    return null; // storage is disabled
  }
}

export function keepTabs(agentId: string, tabs: Tabs): void {
  try {
    sessionStorage.setItem(tabsKey(agentId), stored(tabs));
  } catch {
    // Storage is disabled or full: a reload finds only the terminal in the address.
  }
}
