import { UsageError } from "../../errors/usage-error.ts";
import { text } from "../../flags/kinds.ts";
import { BaseCommand } from "../base-command.ts";

export default class UsersCreate extends BaseCommand<typeof UsersCreate> {
  static override summary = "Create a user";
  static override description = "Asks for the user name and email address unless flags give them. Owners only.";
  static override examples = [
    "<%= config.bin %> users create",
    "<%= config.bin %> users create --username alice --email alice@example.com",
  ];
  static override flags = {
    email: text({ char: "e", helpValue: "<email>", summary: "Email address of the new user" }),
    username: text({ char: "u", helpValue: "<name>", summary: "User name of the new user" }),
    "full-name": text({ char: "n", helpValue: "<name>", summary: "Name of the person, for display" }),
    password: text({
      char: "p",
      env: "CODER_NEW_USER_PASSWORD",
      helpValue: "<password>",
      summary: "Password of the new user; one is made up and printed if left out",
    }),
    "login-type": text({
      helpValue: "<type>",
      default: "password",
      summary: "How the user logs in: password is the only way in this deployment",
      hidden: true,
    }),
    org: text({
      char: "O",
      env: "CODER_ORGANIZATION",
      helpValue: "<name>",
      summary: "Accepted for compatibility: there is one organization",
      hidden: true,
    }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { emailProblem, userNameProblem } = await import("../../rest/login.ts");
    const { createUser, generatePassword } = await import("../../rest/users.ts");
    const { ask } = this.display;
    const type = this.flags["login-type"];
    if (type !== "password")
      throw new UsageError(`--login-type is "${type}"; users of this deployment log in with a password`);
    const deployment = await this.openDeployment();
    const instead = "give --username and --email";
    const username = this.flags.username ?? (await ask("Username: ", { signal, instead, check: userNameProblem }));
    const email = this.flags.email ?? (await ask("Email: ", { signal, instead, check: emailProblem }));
    const given = this.flags.password;
    const password = given ?? generatePassword();
    const name = this.flags["full-name"] ?? "";
    const user = await createUser(deployment, { username, email, name, password }, signal);
    this.display.say(`A new user has been created!\nShare the instructions below to get them started.`);
    this.display.print(
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
