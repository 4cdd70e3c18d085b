import { useSignal } from "@preact/signals";
import type { User } from "coder-protocol/rest/users";
import type { JSX } from "preact";
import { changePassword, createUser, listUsers, setRoles, setSuspended } from "../api/users.ts";
import { count } from "../base/words.ts";
import { useResource } from "../live/resource.ts";
import { isOwner, user as self } from "../session/session.ts";
import { Breadcrumbs } from "../ui/breadcrumbs.tsx";
import { CommandLine } from "../ui/copy.tsx";
import { ConsentButton, Dialog } from "../ui/dialog.tsx";
import { Field, Form, useWork, type Work } from "../ui/form.tsx";
import { Icon } from "../ui/icon.tsx";
import { Problem } from "../ui/problem.tsx";
import { State } from "../ui/state.tsx";
import { Time } from "../ui/time.tsx";
import { newPassword } from "./new-password.ts";
import { OwnersOnly } from "./owners-only.tsx";

interface Shown {
  readonly username: string;
  readonly password: string;
}

export function Users(): JSX.Element {
  return isOwner.value ? <Page /> : <OwnersOnly title="Users" />;
}

function Page(): JSX.Element {
  const { data, error, reload } = useResource("users", { load: (signal) => listUsers("", signal) });
  const work = useWork();
  const adding = useSignal(false);
  const shown = useSignal<Shown | undefined>(undefined);
  const resetting = useSignal<User | undefined>(undefined);
  const found = data.value;
  const reset = async (person: User): Promise<void> => {
    const password = newPassword();
    await changePassword(person.id, { old_password: "", password });
    shown.value = { username: person.username, password };
  };
  return (
    <section class="page">
      <Breadcrumbs steps={[]} />
      <div class="page-head">
        <h1>Users</h1>
        <button
          type="button"
          class="button primary"
          onClick={() => {
            adding.value = true;
          }}
        >
          <Icon name="plus" /> Add a user
        </button>
      </div>
      {shown.value === undefined ? null : <OneTimePassword {...shown.value} />}
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      {work.error === undefined ? null : <Problem error={work.error} />}
      {found === undefined ? null : (
        <>
          <table class="list">
            <thead>
              <tr>
                <th scope="col">User</th>
                <th scope="col">E-mail</th>
                <th scope="col">Role</th>
                <th scope="col">State</th>
                <th scope="col">Last seen</th>
                <th scope="col">
                  <span class="hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {found.users.map((person) => (
                <Row
                  key={person.id}
                  person={person}
                  work={work}
                  onChange={reload}
                  onReset={() => {
                    resetting.value = person;
                  }}
                />
              ))}
            </tbody>
          </table>
          <p class="quiet small-text">{count(found.count, "user")}</p>
        </>
      )}
      {adding.value ? (
        <AddUser
          onClose={() => {
            adding.value = false;
          }}
          onMade={(made) => {
            adding.value = false;
            shown.value = made;
            reload();
          }}
        />
      ) : null}
      {resetting.value === undefined ? null : (
        <ResetDialog
          person={resetting.value}
          onCancel={() => {
            resetting.value = undefined;
          }}
          onAgree={(person) => {
            resetting.value = undefined;
            work.run(() => reset(person));
          }}
        />
      )}
    </section>
  );
}

function Row({
  person,
  work,
  onChange,
  onReset,
}: {
  readonly person: User;
  readonly work: Work;
  readonly onChange: () => void;
  readonly onReset: () => void;
}): JSX.Element {
  const owner = person.roles.some(({ name }) => name === "owner");
  const suspended = person.status === "suspended";
  const isSelf = person.id === self.value?.id;
  const act = (change: () => Promise<unknown>): void =>
    work.run(async () => {
      await change();
      onChange();
    });
  return (
    <tr>
      <th scope="row">
        <a href={`/users/${person.username}`}>{person.username}</a>
      </th>
      <td data-label="E-mail">{person.email}</td>
      <td data-label="Role">{owner ? "Owner" : "Member"}</td>
      <td data-label="State">
        <State tone={suspended ? "bad" : "ok"}>{suspended ? "Suspended" : "Active"}</State>
      </td>
      <td data-label="Last seen">
        <Time at={person.last_seen_at} />
      </td>
      <td class="row-actions">
        {isSelf ? (
          <span class="quiet">you</span>
        ) : (
          <>
            <button type="button" class="button small" disabled={work.running} onClick={onReset}>
              Reset password
            </button>
            <button
              type="button"
              class="button small"
              disabled={work.running}
              onClick={() => act(() => setRoles(person.id, owner ? [] : ["owner"]))}
            >
              {owner ? "Make member" : "Make owner"}
            </button>
            <button
              type="button"
              class="button small"
              disabled={work.running}
              onClick={() => act(() => setSuspended(person.id, !suspended))}
            >
              {suspended ? "Activate" : "Suspend"}
            </button>
          </>
        )}
      </td>
    </tr>
  );
}

function OneTimePassword({ username, password }: Shown): JSX.Element {
  return (
    <div class="notice" role="status">
      <p>The password of {username}, shown only once. They can change it under Settings.</p>
      <CommandLine text={password} label={`Password of ${username}`} secret />
    </div>
  );
}

function AddUser({
  onClose,
  onMade,
}: {
  readonly onClose: () => void;
  readonly onMade: (made: Shown) => void;
}): JSX.Element {
  const work = useWork();
  return (
    <Dialog title="Add a user" onCancel={onClose}>
      <Form
        work={work}
        onCancel={onClose}
        submit="Add the user"
        onSubmit={async ({ username = "", email = "", role = "" }) => {
          const password = newPassword();
          await createUser({ username, email, password, roles: role === "owner" ? ["owner"] : [] });
          onMade({ username, password });
        }}
      >
        <Field label="User name" name="username" maxLength={32} problem={work.error?.fields["username"]} autoFocus />
        <Field label="E-mail" name="email" type="email" maxLength={254} problem={work.error?.fields["email"]} />
        <div class="field">
          <label for="role">Role</label>
          <select id="role" name="role">
            <option value="member">Member: uses their own workspaces</option>
            <option value="owner">Owner: manages the deployment</option>
          </select>
        </div>
      </Form>
    </Dialog>
  );
}

function ResetDialog({
  person,
  onCancel,
  onAgree,
}: {
  readonly person: User;
  readonly onCancel: () => void;
  readonly onAgree: (person: User) => void;
}): JSX.Element {
  return (
    <Dialog title={`Reset the password of ${person.username}?`} onCancel={onCancel}>
      <p>Every session and token of theirs ends, and a new password is shown once.</p>
      <div class="actions">
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
        <ConsentButton danger onAgree={() => onAgree(person)}>
          Reset it
        </ConsentButton>
      </div>
    </Dialog>
  );
}
