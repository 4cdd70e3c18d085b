import type { ApiKey } from "coder-protocol/rest/api-keys";
import type { JSX } from "preact";
import { removeKey } from "../api/users.ts";
import type { Work } from "../ui/form.tsx";
import { Time } from "../ui/time.tsx";

interface KeyTableProps<Key extends ApiKey> {
  readonly keys: readonly Key[];
  /** Headings of the columns for a key's name and the time it was created. */
  readonly columns: { readonly name: string; readonly created: string };
  readonly nameOf: (key: Key) => JSX.Element | string;
  /** The button that removes a key, and its accessible name. */
  readonly remove: { readonly label: string; readonly labelOf: (key: Key) => string };
  readonly work: Work;
  /** Absent for the user's own keys. */
  readonly removeKey?: (id: string) => Promise<void>;
  readonly onRemoved: () => void;
}

/** Sessions or tokens with their times, and a button that ends each; nothing if there are none. */
export function KeyTable<Key extends ApiKey>(props: KeyTableProps<Key>): JSX.Element | null {
  const { keys, columns, nameOf, remove, work, onRemoved } = props;
  if (keys.length === 0) return null;
  return (
    <table class="list">
      <thead>
        <tr>
          <th scope="col">{columns.name}</th>
          <th scope="col">{columns.created}</th>
          <th scope="col">Last used</th>
          <th scope="col">Ends</th>
          <th scope="col">
            <span class="hidden">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {keys.map((key) => (
          <tr key={key.id}>
            <th scope="row">{nameOf(key)}</th>
            <td data-label={columns.created}>
              <Time at={key.created_at} />
            </td>
            <td data-label="Last used">
              <Time at={key.last_used} />
            </td>
            <td data-label="Ends">
              <Time at={key.expires_at} />
            </td>
            <td class="row-actions">
              <button
                type="button"
                class="button small"
                disabled={work.running}
                aria-label={remove.labelOf(key)}
                onClick={() =>
                  work.run(async () => {
                    await (props.removeKey ?? removeKey)(key.id);
                    onRemoved();
                  })
                }
              >
                {remove.label}
              </button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
