/** The work of `coder login`. */
import { readConfig, writeConfig } from "../base/config-dir.ts";
import { UserError } from "../errors/user-error.ts";
import type { Display } from "../ui/display.ts";
import { askNewPassword } from "../ui/prompt.ts";
import { tokenFromBrowser } from "./browser-login.ts";
import {
  type DeploymentOptions,
  deploymentAt,
  parseDeploymentUrl,
  rememberTlsFiles,
  type TlsFile,
} from "./deployment.ts";
import {
  createFirstUser,
  currentUser,
  emailProblem,
  hasFirstUser,
  logInWithPassword,
  mintSessionToken,
  newPasswordProblem,
  userNameProblem,
} from "./login.ts";
import { listenForLogin } from "./login-listener.ts";

export interface LoginOptions {
  /** With `url`, if the command line names one. */
  readonly deployment: DeploymentOptions;
  /** TLS files that variables name, which need not be remembered. */
  readonly fromVariables: readonly TlsFile[];
  readonly firstUser: {
    readonly username: string | undefined;
    readonly email: string | undefined;
    readonly fullName: string | undefined;
    readonly password: string | undefined;
    readonly trial: boolean;
  };
  readonly email: string | undefined;
  readonly password: string | undefined;
  /** Store the given token itself, instead of a new one made with it. */
  readonly useTokenAsSession: boolean;
  /** Opens a page in the browser; when undefined, the user does. */
  readonly openPage: ((address: string) => Promise<void>) | undefined;
}

type Conversation = Pick<Display, "ask" | "say">;

export async function runLogin(options: LoginOptions, display: Conversation, signal: AbortSignal): Promise<void> {
  const { deployment } = options;
  const { say } = display;
  const { configDir } = deployment;
  const text = deployment.url ?? readConfig(configDir, "url");
  if (text === undefined) {
    throw new UserError("Which deployment?", {
      next: ["coder login https://coder.example.com"],
      code: "ERR_USAGE",
      exit: 2,
    });
  }
  const url = parseDeploymentUrl(text);
  const anonymous = deploymentAt(url, undefined, deployment);
  let token: string;
  if (await hasFirstUser(anonymous, signal)) token = await logIn(url, options, display, signal);
  else {
    say(`${url.origin} has no users yet: this creates the first one, an owner.`);
    token = await logInFirstUser(url, options, display, signal);
  }
  const user = await currentUser(deploymentAt(url, token, deployment), signal);
  rememberTlsFiles(deployment, url, options.fromVariables);
  writeConfig(configDir, "session", token);
  writeConfig(configDir, "url", url.href.replace(/\/$/, ""));
  say(`Welcome to Coder, ${user.username}! You're authenticated.`);
}

async function logInFirstUser(
  url: URL,
  { deployment, firstUser }: LoginOptions,
  { ask }: Conversation,
  signal: AbortSignal,
): Promise<string> {
  const anonymous = deploymentAt(url, undefined, deployment);
  const instead = "give --first-user-email, --first-user-username and CODER_FIRST_USER_PASSWORD";
  const username = firstUser.username ?? (await ask("Username: ", { signal, instead, check: userNameProblem }));
  const email = firstUser.email ?? (await ask("Email: ", { signal, instead, check: emailProblem }));
  const password = firstUser.password ?? (await askNewPassword(ask, { signal, instead, check: newPasswordProblem }));
  const { fullName, trial } = firstUser;
  await createFirstUser(anonymous, { email, username, name: fullName ?? "", password, trial }, signal);
  return logInWithPassword(anonymous, email, password, signal);
}

async function logIn(
  url: URL,
  options: LoginOptions,
  { ask, say }: Conversation,
  signal: AbortSignal,
): Promise<string> {
  const { deployment, email } = options;
  const given = deployment.token;
  if (given !== undefined)
    return options.useTokenAsSession ? given : mintSessionToken(deploymentAt(url, given, deployment), signal);
  if (email !== undefined) {
    const password =
      options.password ?? (await ask("Password: ", { hidden: true, signal, instead: "set CODER_LOGIN_PASSWORD" }));
    return logInWithPassword(deploymentAt(url, undefined, deployment), email, password, signal);
  }
  const openPage = process.stdin.isTTY === true ? options.openPage : undefined;
  const token = await tokenFromBrowser(url, { openPage, listen: listenForLogin }, { ask, say }, signal);
  await currentUser(deploymentAt(url, token, deployment), signal);
  return token;
}
