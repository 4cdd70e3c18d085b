import type { JSX } from "preact";
import { ownKeys } from "../api/users.ts";
import { useResource } from "../live/resource.ts";
import { useWork } from "../ui/form.tsx";
import { Problem } from "../ui/problem.tsx";
import { KeyTable } from "./key-table.tsx";
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
      <KeyTable
        keys={sessions}
        columns={{ name: "Session", created: "Began" }}
        nameOf={(key) => <code>{key.id}</code>}
        remove={{ label: "Log out", labelOf: (key) => `Log out session ${key.id}` }}
        work={work}
        onRemoved={reload}
      />
    </SettingsFrame>
  );
}
