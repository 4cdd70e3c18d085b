import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { logIn, ownUser } from "../api/users.ts";
import { redirectOf, redirectTarget } from "../router/redirect-target.ts";
import { user } from "../session/session.ts";
import { Brand } from "../ui/brand.tsx";
import { Field, Form, useWork } from "../ui/form.tsx";
import type { PageProps } from "./page-props.ts";

export function Login({ query }: PageProps): JSX.Element {
  const work = useWork();
  const target = redirectTarget(redirectOf(query, location.hash), location.origin) ?? "/workspaces";
  // A full load, because the target may be a page rendered by the server, such as /cli-auth.
  const proceed = (): void => location.replace(target);
  useEffect(() => {
    if (user.value !== null) location.replace(target);
  }, [target]);
  return (
    <main class="card">
      <Brand size={40} />
      <h1>Log in</h1>
      <Form
        work={work}
        submit="Log in"
        onSubmit={async ({ email = "", password = "" }) => {
          await logIn(email, password);
          await ownUser();
          proceed();
        }}
      >
        <Field label="E-mail" name="email" type="email" autocomplete="username" maxLength={254} autoFocus />
        <Field label="Password" name="password" type="password" autocomplete="current-password" maxLength={256} />
      </Form>
      <p class="quiet small-text">
        An owner of this deployment can reset a forgotten password under Users, or with{" "}
        <code>coder server reset-password</code>.
      </p>
    </main>
  );
}
