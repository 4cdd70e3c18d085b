/** Names of users and groups, read from the files of this machine without asking a name service. */
import { readFile } from "node:fs/promises";

const MAX_ENTRIES = 65_536;

export interface User {
  readonly name: string;
  readonly home: string;
}

export class Accounts {
  readonly #users: ReadonlyMap<number, User>;
  readonly #groups: ReadonlyMap<number, string>;

  private constructor(users: ReadonlyMap<number, User>, groups: ReadonlyMap<number, string>) {
    this.#users = users;
    this.#groups = groups;
  }

  static async read(): Promise<Accounts> {
    const [passwd, group] = await Promise.all([textOf("/etc/passwd"), textOf("/etc/group")]);
    return Accounts.parse(passwd, group);
  }

  /** @param passwd @param group As in passwd(5) and group(5); the first entry of a number counts. */
  static parse(passwd: string, group: string): Accounts {
    const users = new Map<number, User>();
    for (const [name = "", , uid = "", , , home = ""] of entries(passwd)) {
      if (NUMBER.test(uid) && !users.has(Number(uid))) users.set(Number(uid), { name, home });
    }
    const groups = new Map<number, string>();
    for (const [name = "", , gid = ""] of entries(group)) {
      if (NUMBER.test(gid) && !groups.has(Number(gid))) groups.set(Number(gid), name);
    }
    return new Accounts(users, groups);
  }

  user(uid: number): string | undefined {
    return this.#users.get(uid)?.name;
  }

  group(gid: number): string | undefined {
    return this.#groups.get(gid);
  }

  homeOf(name: string): string | undefined {
    return [...this.#users.values()].find((user) => user.name === name)?.home;
  }
}

const NUMBER = /^\d{1,10}$/;

function entries(text: string): readonly string[][] {
  const lines = text.split("\n", MAX_ENTRIES).filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => line.split(":"));
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return ""; // an image without accounts
    throw error;
  }
}
