import { deploymentOptions } from "../flags/global.ts";
import { text, toggle, word } from "../flags/kinds.ts";
import { BaseCommand } from "./base-command.ts";

const TLS_FILES = ["ca-file", "client-cert", "client-key"] as const;

export default class Login extends BaseCommand<typeof Login> {
  static override summary = "Log in to a deployment";
  static override description =
    "Stores the deployment's URL and a session token for all later commands. A deployment without users gets its first user here.";
  static override examples = [
    "<%= config.bin %> login https://coder.example.com",
    "CODER_SESSION_TOKEN=… <%= config.bin %> login https://coder.example.com",
    "CODER_LOGIN_PASSWORD=… <%= config.bin %> login https://coder.example.com --email me@example.com",
  ];
  static override flags = {
    "first-user-email": text({
      env: "CODER_FIRST_USER_EMAIL",
      helpValue: "<email>",
      summary: "Email of the first user of a new deployment",
    }),
    "first-user-username": text({
      env: "CODER_FIRST_USER_USERNAME",
      helpValue: "<name>",
      summary: "Name of the first user",
    }),
    "first-user-full-name": text({
      env: "CODER_FIRST_USER_FULL_NAME",
      helpValue: "<name>",
      summary: "Full name of the first user",
    }),
    "first-user-password": text({
      env: "CODER_FIRST_USER_PASSWORD",
      helpValue: "<password>",
      summary: "Password of the first user",
    }),
    "first-user-trial": toggle({ env: "CODER_FIRST_USER_TRIAL", summary: "Accepted for compatibility", hidden: true }),
    email: text({
      env: "CODER_LOGIN_EMAIL",
      helpValue: "<email>",
      summary: "Log in with this email and a password, without a browser",
    }),
    password: text({
      env: "CODER_LOGIN_PASSWORD",
      helpValue: "<password>",
      summary: "Password for --email; prefer the variable",
    }),
    "no-open": toggle({ env: "CODER_NO_OPEN", summary: "Do not open the browser" }),
    "use-token-as-session": toggle({ summary: "Store the given token itself instead of a new one made with it" }),
  };
  static override args = { url: word({ description: "URL of the deployment; the stored one if left out" }) };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { flags, origins } = this;
    const { runLogin } = await import("../rest/run-login.ts");
    const openPage = async (address: string): Promise<void> =>
      (await import("../open/open-editor.ts")).openAddress(address);
    const given = deploymentOptions(flags);
    const options = {
      deployment: { ...given, url: this.args.url ?? given.url },
      fromVariables: TLS_FILES.filter((file) => origins[file] === "environment"),
      firstUser: {
        username: flags["first-user-username"],
        email: flags["first-user-email"],
        fullName: flags["first-user-full-name"],
        password: flags["first-user-password"],
        trial: flags["first-user-trial"],
      },
      email: flags.email,
      password: flags.password,
      useTokenAsSession: flags["use-token-as-session"],
      openPage: flags["no-open"] ? undefined : openPage,
    };
    await runLogin(options, this.display, signal);
  }
}
