import type { JSX } from "preact";
import { ownKeys, removeKey } from "../api/users.ts";
import { useResource } from "../live/resource.ts";
import { useWork } from "../ui/form.tsx";
import { Problem } from "../ui/problem.tsx";
import { Time } from "../ui/time.tsx";
import { SettingsFrame } from "./settings-frame.tsx";

/** Logins of browsers and of the command line. */
export function Sessions(): JSX.Element {
  const { data, error, reload } = useResource("keys", { load: ownKeys });
  const work = useWork();
  const sessions = (data.value ?? [])
    .filter(({ login_type: type }) => type === "password")
    .sort((one, other) => Date.parse(other.last_used) - Date.parse(one.last_used));
  return (
    <SettingsFrame title="Sessions">
      <p class="quiet">Logins with your password: browsers, and the command line.</p>
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      {work.error === undefined ? null : <Problem error={work.error} />}
      {sessions.length === 0 ? null : (
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Session</th>
              <th scope="col">Began</th>
              <th scope="col">Last used</th>
              <th scope="col">Ends</th>
              <th scope="col">
                <span class="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {sessions.map((key) => (
              <tr key={key.id}>
                <th scope="row">
                  <code>{key.id}</code>
                </th>
                <td data-label="Began">
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
                    aria-label={`Log out session ${key.id}`}
                    onClick={() =>
                      work.run(async () => {
                        await removeKey(key.id);
                        reload();
                      })
                    }
                  >
                    Log out
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </SettingsFrame>
  );
}
