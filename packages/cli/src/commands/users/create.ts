import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { type FlagSpec, stringFlag, UsageError } from "../../flags/spec.ts";
import { openDeployment } from "../../services/deployment.ts";
import { emailProblem, userNameProblem } from "../../services/login.ts";
import { createUser, generatePassword } from "../../services/users.ts";
import { ask } from "../../ui/prompt.ts";
import { say } from "../../ui/say.ts";

const FLAGS: readonly FlagSpec[] = [
  { name: "email", char: "e", kind: "string", value: "email", summary: "Email address of the new user" },
  { name: "username", char: "u", kind: "string", value: "name", summary: "User name of the new user" },
  { name: "full-name", char: "n", kind: "string", value: "name", summary: "Name of the person, for display" },
  {
    name: "password",
    char: "p",
    env: "CODER_NEW_USER_PASSWORD",
    kind: "string",
    value: "password",
    summary: "Password of the new user; one is made up and printed if left out",
  },
  {
    name: "login-type",
    kind: "string",
    value: "type",
    default: "password",
    summary: "How the user logs in: with a password, this deployment knows no other way",
    hidden: true,
  },
  {
    name: "org",
    char: "O",
    env: "CODER_ORGANIZATION",
    kind: "string",
    value: "name",
    summary: "Accepted for compatibility: there is one organization",
    hidden: true,
  },
];

export default class UsersCreate extends BaseCommand {
  static override summary = "Create a user";
  static override description = "Asks for the user name and email address that no flag gives. Owners only.";
  static override examples = [
    "<%= config.bin %> users create",
    "<%= config.bin %> users create --username alice --email alice@example.com",
  ];
  static override specs = FLAGS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const type = stringFlag(line.values, "login-type") ?? "password";
    if (type !== "password")
      throw new UsageError(`--login-type is "${type}"; users of this deployment log in with a password`);
    const deployment = openDeployment(line.values);
    const instead = "give --username and --email";
    const username =
      stringFlag(line.values, "username") ?? (await ask("Username: ", { signal, instead, check: userNameProblem }));
    const email = stringFlag(line.values, "email") ?? (await ask("Email: ", { signal, instead, check: emailProblem }));
    const given = stringFlag(line.values, "password");
    const password = given ?? generatePassword();
    const name = stringFlag(line.values, "full-name") ?? "";
    const user = await createUser(deployment, { username, email, name, password }, signal);
    say(`A new user has been created!\nShare the instructions below to get them started.`);
    process.stdout.write(
      [
        "",
        `Log in:    coder login ${deployment.url.href.replace(/\/$/, "")} --email ${user.email}`,
        `Email:     ${user.email}`,
        ...(given === undefined ? [`Password:  ${password}`] : []),
        "",
      ].join("\n"),
    );
  }
}
