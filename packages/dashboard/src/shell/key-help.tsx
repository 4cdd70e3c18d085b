import type { JSX } from "preact";
import { Dialog } from "../ui/dialog.tsx";
import { GO_TO } from "./keys.ts";

/** Lists the keys of every page and of the terminal. */
export function KeyHelp({ onClose }: { readonly onClose: () => void }): JSX.Element {
  const rows: readonly (readonly [string, string])[] = [
    ["Ctrl K, ⌘ K", "Search pages and workspaces"],
    ["/", "Filter the list"],
    ...Object.entries(GO_TO).map(([key, { label }]) => [`g ${key}`, label] as const),
    ["?", "These keys"],
    ["Ctrl Shift C", "Terminal: copy"],
    ["Ctrl Shift V", "Terminal: paste"],
    ["Ctrl Shift F", "Terminal: search"],
    ["Ctrl +, Ctrl −", "Terminal: font size"],
    ["Ctrl Shift T, Ctrl Shift W", "Terminal: new tab, close this tab"],
    ["Ctrl Tab, Ctrl Shift Tab", "Terminal: next tab, earlier tab"],
    ["Ctrl Shift Esc", "Terminal: leave it with the keyboard"],
  ];
  return (
    <Dialog title="Keys" onCancel={onClose}>
      <table class="keys">
        <tbody>
          {rows.map(([keys, what]) => (
            <tr key={keys}>
              <th scope="row">
                <kbd>{keys}</kbd>
              </th>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <div class="actions">
        <button type="button" class="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
