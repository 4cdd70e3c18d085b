import type { JSX } from "preact";
import { Icon } from "../ui/icon.tsx";
import type { Tabs } from "./tabs.ts";

export interface TerminalTabsProps {
  readonly tabs: Tabs;
  readonly onShow: (id: string) => void;
  readonly onClose: (id: string) => void;
  readonly onNew: () => void;
}

/** The terminals of this page. Closing a tab leaves its program running. */
export function TerminalTabs({ tabs, onShow, onClose, onNew }: TerminalTabsProps): JSX.Element {
  return (
    <>
      {tabs.list.length < 2 ? null : (
        <div class="terminal-tabs" role="tablist" aria-label="Terminals">
          {tabs.list.map(({ id, title, command }, at) => (
            <button
              key={id}
              type="button"
              role="tab"
              class="button small"
              aria-selected={id === tabs.shown}
              title="A middle click closes the tab; the program runs on"
              onClick={() => onShow(id)}
              onAuxClick={(event) => {
                if (event.button === 1) onClose(id);
              }}
            >
              {at + 1}: {(title || command || "shell").slice(0, 24)}
            </button>
          ))}
        </div>
      )}
      <button type="button" class="button small" aria-label="New terminal" onClick={onNew}>
        <Icon name="plus" />
      </button>
      {tabs.list.length < 2 ? null : (
        <button type="button" class="button small" aria-label="Close this tab" onClick={() => onClose(tabs.shown)}>
          <Icon name="cross" />
        </button>
      )}
    </>
  );
}
