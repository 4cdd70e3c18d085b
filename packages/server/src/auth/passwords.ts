import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { DomainError } from "../base/domain-error.ts";

/** scrypt cost (RFC 7914): N = 2^logN, r, p. Memory is 128 · N · r bytes: 32 MiB by default. */
export interface PasswordCost {
  readonly logN: number;
  readonly r: number;
  readonly p: number;
}

export const DEFAULT_PASSWORD_COST: PasswordCost = { logN: 15, r: 8, p: 1 };

const KEY_BYTES = 32;
const SALT_BYTES = 16;
/** Concurrent hashes: each takes a thread of the pool and its memory. */
const MAX_RUNNING = 2;
/** Hashes that may wait. Beyond that a login is refused with a time to retry, so a flood of logins cannot exhaust memory. */
const MAX_WAITING = 64;

/**
 * Hashes and checks passwords. The hash text contains the parameters, `scrypt$logN$r$p$salt$key`, so they can be raised while
 * existing passwords remain valid.
 */
export class Passwords {
  readonly #cost: PasswordCost;
  /** Verified when the user does not exist, so that the answer takes the same time. */
  readonly #decoy: string;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(cost: PasswordCost = DEFAULT_PASSWORD_COST) {
    this.#cost = cost;
    this.#decoy = format(cost, randomBytes(SALT_BYTES), randomBytes(KEY_BYTES));
  }

  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    return format(this.#cost, salt, await this.#derive(password, salt, this.#cost));
  }

  /** Whether `password` belongs to `hash`. An unknown user is passed as `undefined`: the check takes the same time and fails. */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    const stored = parse(hash === undefined || hash === "" ? this.#decoy : hash);
    if (stored === undefined) return false;
    const key = await this.#derive(password, stored.salt, stored.cost);
    return timingSafeEqual(key, stored.key) && hash !== undefined && hash !== "";
  }

  async #derive(password: string, salt: Uint8Array, cost: PasswordCost): Promise<Buffer> {
    if (this.#running >= MAX_RUNNING) {
      if (this.#waiting.length >= MAX_WAITING) {
        throw new DomainError("busy", "Too many logins at once", { retryAfterSeconds: 5 });
      }
      await new Promise<void>((resume) => this.#waiting.push(resume));
    }
    this.#running += 1;
    try {
      return await scryptKey(password, salt, cost);
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }
}

function scryptKey(password: string, salt: Uint8Array, cost: PasswordCost): Promise<Buffer> {
  const N = 2 ** cost.logN;
  return new Promise((resolve, reject) => {
    scrypt(
      password.normalize("NFC"),
      salt,
      KEY_BYTES,
      { N, r: cost.r, p: cost.p, maxmem: 256 * N * cost.r },
      (error, key) => {
        if (error === null) resolve(key);
        else reject(error);
      },
    );
  });
}

function format(cost: PasswordCost, salt: Uint8Array, key: Uint8Array): string {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64url");
  return `scrypt$${cost.logN}$${cost.r}$${cost.p}$${text(salt)}$${text(key)}`;
}

function parse(hash: string): { cost: PasswordCost; salt: Buffer; key: Buffer } | undefined {
  const match = /^scrypt\$(\d{1,2})\$(\d{1,2})\$(\d{1,2})\$([\w-]+)\$([\w-]+)$/.exec(hash);
  if (match === null) return undefined;
  const key = Buffer.from(match[5] ?? "", "base64url");
  if (key.length !== KEY_BYTES) return undefined;
  return {
    cost: { logN: Number(match[1]), r: Number(match[2]), p: Number(match[3]) },
    salt: Buffer.from(match[4] ?? "", "base64url"),
    key,
  };
}
