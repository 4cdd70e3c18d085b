/** A running `coder open terminal --local`, as tests of several tiers start it. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { TestDeployment } from "./e2e/deployment.ts";

const ADDRESS = /^http:\/\/127\.0\.0\.1:\d+\/#[\w-]{43}$/m;

export class LocalPageCommand {
  readonly child: ChildProcess;
  /** With its secret. */
  readonly address: URL;
  /** Its exit code and signal. */
  readonly exit: Promise<unknown[]>;
  readonly #output: { text: string };

  /** Resolves once the command has printed its address. */
  static async start(
    deployment: TestDeployment,
    words: readonly string[],
    environment: NodeJS.ProcessEnv = {},
  ): Promise<LocalPageCommand> {
    return await LocalPageCommand.of(deployment.spawn(["open", "terminal", "--local", ...words], environment));
  }

  /** The command that runs in this process. */
  static async of(child: ChildProcess): Promise<LocalPageCommand> {
    const exit = once(child, "exit");
    const output = { text: "" };
    const found = Promise.withResolvers<URL>();
    for (const stream of [child.stdout!, child.stderr!])
      stream.on("data", (chunk) => {
        output.text += String(chunk);
        const address = ADDRESS.exec(output.text)?.[0];
        if (address !== undefined) found.resolve(new URL(address));
      });
    child.once("exit", () => found.reject(new Error(`the command ended: ${output.text}`)));
    return new LocalPageCommand(child, await found.promise, { output, exit });
  }

  private constructor(
    child: ChildProcess,
    address: URL,
    { output, exit }: { readonly output: { text: string }; readonly exit: Promise<unknown[]> },
  ) {
    this.child = child;
    this.exit = exit;
    this.address = address;
    this.#output = output;
  }

  /** Standard output and stderr so far. */
  get output(): string {
    return this.#output.text;
  }

  get origin(): string {
    return this.address.origin;
  }

  get secret(): string {
    return this.address.hash.slice(1);
  }

  /** What a browser does with the address. @returns the cookie, as a browser sends it, and the path of the page. */
  async enter(): Promise<{ readonly cookie: string; readonly page: string }> {
    const answer = await fetch(`${this.origin}/enter`, {
      method: "POST",
      headers: { Origin: this.origin },
      body: this.secret,
    });
    if (answer.status !== 200) throw new Error(await answer.text());
    const cookie = answer.headers.get("set-cookie")?.split(";")[0] ?? "";
    return { cookie, page: await answer.text() };
  }

  /** Ends it, as a service is ended. */
  async end(): Promise<void> {
    this.child.kill("SIGTERM");
    await this.exit;
  }
}
