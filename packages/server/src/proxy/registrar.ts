/** Carries out the register loop: one timer, one request at a time. */
import type { RegisterProxyRequest, RegisterProxyResponse } from "coder-protocol/rest/workspace-proxies";
import type { Instant } from "wg-userspace/base/instant";
import { isTokenRefused, type Primary, type PrimaryInfo, publicReasonOf, reasonOf } from "./primary.ts";
import { type RegisterEnd, RegisterLoop, type RegisterStep } from "./register-loop.ts";

export interface RegistrarOptions {
  readonly primary: Pick<Primary, "identify" | "register">;
  readonly clock: () => Instant;
  readonly random: () => number;
  /** The statement about this process that each registration sends. */
  readonly statement: () => RegisterProxyRequest;
  readonly onIdentified: (info: PrimaryInfo) => void;
  readonly onRegistered: (registration: RegisterProxyResponse) => void;
  readonly onFailed: (why: string, tokenRefused: boolean) => void;
  /** Called once, when the process cannot continue. */
  readonly onEnd: (end: RegisterEnd) => void;
}

export class Registrar {
  readonly loop: RegisterLoop;
  readonly #options: RegistrarOptions;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #underWay: Promise<void> | undefined;
  #ended = false;

  constructor(options: RegistrarOptions) {
    this.#options = options;
    this.loop = new RegisterLoop(options.clock(), options.random);
  }

  start(): void {
    this.#advance();
  }

  /** The registration may no longer be valid: it is renewed soon. */
  renewSoon(): void {
    this.loop.renewSoon(this.#options.clock());
    this.#advance();
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error("the proxy stops"));
    clearTimeout(this.#timer);
    await this.#underWay;
  }

  #advance(): void {
    if (this.#stop.signal.aborted || this.#ended) return;
    const { clock, onEnd } = this.#options;
    const step = this.loop.due(clock());
    if (step !== undefined) {
      this.#underWay = this.#take(step).then(() => {
        this.#underWay = undefined;
        this.#advance();
      });
    }
    if (this.loop.end !== undefined) {
      this.#ended = true;
      onEnd(this.loop.end);
      return;
    }
    clearTimeout(this.#timer);
    const at = this.loop.nextTimeout();
    if (at !== undefined) this.#timer = setTimeout(() => this.#advance(), Math.max(0, Math.ceil(at - clock())));
  }

  async #take(step: RegisterStep): Promise<void> {
    const { primary, statement } = this.#options;
    const { signal } = this.#stop;
    let settle: () => void;
    try {
      if (step === "identify") {
        const info = await primary.identify(signal);
        settle = () => this.#identified(info);
      } else {
        const registration = await primary.register(statement(), signal);
        settle = () => this.#registered(registration);
      }
    } catch (error) {
      settle = () => this.#failed(error);
    }
    if (!signal.aborted) settle();
  }

  #identified(info: PrimaryInfo): void {
    this.loop.identified(info.workspace_proxy, this.#options.clock());
    this.#options.onIdentified(info);
  }

  #registered(registration: RegisterProxyResponse): void {
    this.loop.accepted(registration.refresh_ms, this.#options.clock());
    this.#options.onRegistered(registration);
  }

  #failed(error: unknown): void {
    const why = reasonOf(error);
    const tokenRefused = isTokenRefused(error);
    const shown = publicReasonOf(error);
    if (tokenRefused) this.loop.refused(shown, this.#options.clock());
    else this.loop.failed(shown, this.#options.clock());
    this.#options.onFailed(why, tokenRefused);
  }
}
