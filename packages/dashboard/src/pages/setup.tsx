import { useSignal } from "@preact/signals";
import { passwordProblem } from "coder-protocol/passwords";
import type { JSX } from "preact";
import { createFirstUser, logIn, ownUser } from "../api/users.ts";
import { navigate } from "../router/location.ts";
import { ready, user } from "../session/session.ts";
import { Brand } from "../ui/brand.tsx";
import { Field, Form, useWork } from "../ui/form.tsx";
import { strength } from "./password-strength.ts";

/** Creates the first user, an owner. */
export function Setup(): JSX.Element {
  const work = useWork();
  const password = useSignal("");
  const again = useSignal("");
  const problem = password.value === "" ? undefined : passwordWords(password.value);
  const differs = again.value !== "" && again.value !== password.value;
  return (
    <main class="card">
      <Brand size={40} />
      <h1>Set up this deployment</h1>
      <p class="quiet">The first user is an owner: they manage users and see the health of the deployment.</p>
      <Form
        work={work}
        submit="Create the user"
        onSubmit={async (values) => {
          const { username = "", email = "" } = values;
          if (problem !== undefined || again.value !== password.value) return;
          await createFirstUser({ username, email, password: password.value });
          await logIn(email, password.value);
          user.value = await ownUser();
          ready.value = true;
          navigate("/workspaces/new", { replace: true });
        }}
      >
        <Field
          label="User name"
          name="username"
          autocomplete="username"
          maxLength={32}
          autoFocus
          hint="Letters, digits and single hyphens"
          problem={work.error?.fields["username"]}
        />
        <Field
          label="E-mail"
          name="email"
          type="email"
          autocomplete="email"
          maxLength={254}
          problem={work.error?.fields["email"]}
        />
        <Field
          label="Password"
          name="password"
          type="password"
          autocomplete="new-password"
          maxLength={256}
          onInput={(value) => {
            password.value = value;
          }}
          hint={password.value === "" ? "At least 8 characters" : `It is ${strength(password.value)}`}
          problem={problem}
        />
        <Field
          label="Password again"
          name="again"
          type="password"
          autocomplete="new-password"
          maxLength={256}
          onInput={(value) => {
            again.value = value;
          }}
          problem={differs ? "It differs from the first one" : undefined}
        />
      </Form>
    </main>
  );
}

function passwordWords(password: string): string | undefined {
  const problem = passwordProblem(password);
  return problem === undefined ? undefined : `The password ${problem}`;
}
