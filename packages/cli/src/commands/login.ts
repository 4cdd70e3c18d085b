import { BaseCommand } from "../base-command.ts";
import { readConfig, writeConfig } from "../config-dir.ts";
import { UserError } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec, type FlagValues, stringFlag } from "../flags/spec.ts";
import { configDirOf, deploymentAt, parseDeploymentUrl, rememberTlsFiles } from "../services/deployment.ts";
import {
  createFirstUser,
  currentUser,
  emailProblem,
  hasFirstUser,
  logInWithPassword,
  mintSessionToken,
  newPasswordProblem,
  userNameProblem,
} from "../services/login.ts";
import { ask, askNewPassword } from "../ui/prompt.ts";
import { say } from "../ui/say.ts";

const FLAGS: readonly FlagSpec[] = [
  {
    name: "first-user-email",
    env: "CODER_FIRST_USER_EMAIL",
    kind: "string",
    value: "email",
    summary: "Email of the first user of a new deployment",
  },
  {
    name: "first-user-username",
    env: "CODER_FIRST_USER_USERNAME",
    kind: "string",
    value: "name",
    summary: "Name of the first user",
  },
  {
    name: "first-user-full-name",
    env: "CODER_FIRST_USER_FULL_NAME",
    kind: "string",
    value: "name",
    summary: "Full name of the first user",
  },
  {
    name: "first-user-password",
    env: "CODER_FIRST_USER_PASSWORD",
    kind: "string",
    value: "password",
    summary: "Password of the first user",
  },
  {
    name: "first-user-trial",
    env: "CODER_FIRST_USER_TRIAL",
    kind: "boolean",
    summary: "Accepted for compatibility",
    hidden: true,
  },
  {
    name: "email",
    env: "CODER_LOGIN_EMAIL",
    kind: "string",
    value: "email",
    summary: "Log in with this email and a password, without a browser",
  },
  {
    name: "password",
    env: "CODER_LOGIN_PASSWORD",
    kind: "string",
    value: "password",
    summary: "Password for --email; better given by its variable",
  },
  {
    name: "use-token-as-session",
    kind: "boolean",
    summary: "Store the given token itself instead of a new one made with it",
  },
];
const WORDS = [{ name: "url", summary: "URL of the deployment; the stored one if left out" }];

export default class Login extends BaseCommand {
  static override summary = "Log in to a deployment";
  static override description =
    "Stores the deployment's URL and a session token for all later commands. A deployment without users gets its first user here.";
  static override examples = [
    "<%= config.bin %> login https://coder.example.com",
    "CODER_SESSION_TOKEN=… <%= config.bin %> login https://coder.example.com",
    "CODER_LOGIN_PASSWORD=… <%= config.bin %> login https://coder.example.com --email me@example.com",
  ];
  static override specs = FLAGS;
  static override words = WORDS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const dir = configDirOf(line.values);
    const text = line.words[0] ?? stringFlag(line.values, "url") ?? readConfig(dir, "url");
    if (text === undefined) {
      throw new UserError("Which deployment?", {
        next: ["coder login https://coder.example.com"],
        code: "ERR_USAGE",
        exit: 2,
      });
    }
    const url = parseDeploymentUrl(text);
    const anonymous = deploymentAt(url, undefined, line.values);
    const token = (await hasFirstUser(anonymous, signal))
      ? await this.#existing(url, line.values, signal)
      : await this.#firstUser(url, line.values, signal);
    const user = await currentUser(deploymentAt(url, token, line.values), signal);
    rememberTlsFiles(line, url);
    writeConfig(dir, "session", token);
    writeConfig(dir, "url", url.href.replace(/\/$/, ""));
    say(`Welcome to Coder, ${user.username}! You're authenticated.`);
  }

  async #firstUser(url: URL, flags: FlagValues, signal: AbortSignal): Promise<string> {
    const anonymous = deploymentAt(url, undefined, flags);
    say(`${url.origin} has no users yet: this creates the first one, an owner.`);
    const instead = "give --first-user-email, --first-user-username and CODER_FIRST_USER_PASSWORD";
    const username =
      stringFlag(flags, "first-user-username") ??
      (await ask("Username: ", { signal, instead, check: userNameProblem }));
    const email =
      stringFlag(flags, "first-user-email") ?? (await ask("Email: ", { signal, instead, check: emailProblem }));
    const password =
      stringFlag(flags, "first-user-password") ??
      (await askNewPassword({ signal, instead, check: newPasswordProblem }));
    await createFirstUser(
      anonymous,
      {
        email,
        username,
        name: stringFlag(flags, "first-user-full-name") ?? "",
        password,
        trial: booleanFlag(flags, "first-user-trial"),
      },
      signal,
    );
    return logInWithPassword(anonymous, email, password, signal);
  }

  async #existing(url: URL, flags: FlagValues, signal: AbortSignal): Promise<string> {
    const given = stringFlag(flags, "token");
    if (given !== undefined) {
      return booleanFlag(flags, "use-token-as-session")
        ? given
        : mintSessionToken(deploymentAt(url, given, flags), signal);
    }
    const email = stringFlag(flags, "email");
    if (email !== undefined) {
      const password =
        stringFlag(flags, "password") ??
        (await ask("Password: ", { hidden: true, signal, instead: "set CODER_LOGIN_PASSWORD" }));
      return logInWithPassword(deploymentAt(url, undefined, flags), email, password, signal);
    }
    process.stderr.write(
      `Open this page in your browser and copy the token it shows:\n\n    ${url.href.replace(/\/$/, "")}/cli-auth\n\n`,
    );
    const token = await ask("Paste your token here: ", { hidden: true, signal, instead: "set CODER_SESSION_TOKEN" });
    await currentUser(deploymentAt(url, token, flags), signal);
    return token;
  }
}
