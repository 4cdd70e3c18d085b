import { chownSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { backUp } from "../src/backup/back-up.ts";
import { restore } from "../src/backup/restore.ts";
import { firstUser, send, startServer, temporaryDirectory } from "./helpers.ts";

const NOW = Date.UTC(2026, 10, 29, 12);
const signal = new AbortController().signal;

let folder: string;
beforeEach(() => {
  folder = temporaryDirectory();
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const at = (name: string): string => join(folder, name);

/** A deployment with one user, stopped; returns that user's token. */
async function deployment(stateDir: string): Promise<string> {
  await using test = await startServer({ stateDir, keep: true });
  return (await firstUser(test.url)).token;
}

async function accepts(stateDir: string, token: string): Promise<boolean> {
  await using test = await startServer({ stateDir, keep: true });
  return (await send(test.url, "GET", "/api/v2/users/me", { token })).status === 200;
}

describe("a backup", () => {
  it("of a running server during writes contains whole transactions, and can be started as a deployment elsewhere", async () => {
    const stateDir = at("state");
    await using test = await startServer({ stateDir, keep: true });
    const { token } = await firstUser(test.url);
    let created = 0;
    let done = false;
    const writing = (async () => {
      while (!done) {
        const answer = await send(test.url, "POST", "/api/v2/users/me/workspaces", {
          token,
          body: { name: `w${created}` },
        });
        if (answer.status !== 201) throw new Error(`workspace ${created}: ${answer.status} ${answer.text}`);
        created++;
      }
    })();
    for (const copy of ["one", "two", "three"]) await backUp(stateDir, at(copy), { now: NOW, signal });
    done = true;
    await writing;
    const before = created;
    for (const copy of ["one", "two", "three"]) {
      const place = at(`${copy}-state`);
      await restore(at(copy), place, { now: NOW, signal, replace: false });
      await using again = await startServer({ stateDir: place, keep: true });
      const { json } = await send(again.url, "GET", "/api/v2/workspaces?limit=1000", { token });
      expect(json.count).toBeLessThanOrEqual(before);
      // Each workspace was stored in one transaction, so its agent exists too.
      for (const workspace of json.workspaces) expect(workspace.latest_build.resources[0].agents).toHaveLength(1);
    }
  });

  it("is for its owner alone, lists its content, and leaves nothing beside it", async () => {
    await deployment(at("state"));
    const manifest = await backUp(at("state"), at("copy"), { now: NOW, signal });
    expect(readdirSync(at("copy")).sort()).toEqual(["backup.json", "coder.db", "keys.json"]);
    expect(readdirSync(folder).sort()).toEqual(["copy", "state"]);
    for (const name of ["", "coder.db", "keys.json", "backup.json"])
      expect(statSync(join(at("copy"), name)).mode & 0o077).toBe(0);
    expect(JSON.parse(readFileSync(join(at("copy"), "backup.json"), "utf8"))).toEqual(manifest);
    expect(manifest).toMatchObject({ format: 1, created_at: "2026-11-29T12:00:00.000Z" });
  });

  it("never replaces anything", async () => {
    await deployment(at("state"));
    mkdirSync(at("full"));
    writeFileSync(join(at("full"), "precious"), "x");
    await expect(backUp(at("state"), at("full"), { now: NOW, signal })).rejects.toMatchObject({ code: "ERR_BACKUP" });
    expect(readdirSync(at("full"))).toEqual(["precious"]);
    mkdirSync(at("empty"));
    await backUp(at("state"), at("empty"), { now: NOW, signal });
    expect(readdirSync(at("empty"))).toHaveLength(3);
  });

  it("that is aborted leaves nothing", async () => {
    await deployment(at("state"));
    await expect(backUp(at("state"), at("copy"), { now: NOW, signal: AbortSignal.abort() })).rejects.toThrow(/abort/);
    expect(readdirSync(folder)).toEqual(["state"]);
  });

  it("is refused where there is no deployment, or one whose parts do not belong together", async () => {
    await expect(backUp(at("nowhere"), at("copy"), { now: NOW, signal })).rejects.toMatchObject({
      code: "ERR_STATE_DIR",
    });
    await deployment(at("state"));
    await deployment(at("other"));
    writeFileSync(join(at("state"), "keys.json"), readFileSync(join(at("other"), "keys.json")));
    await expect(backUp(at("state"), at("copy"), { now: NOW, signal })).rejects.toMatchObject({
      code: "ERR_KEY_FILE",
    });
    expect(readdirSync(folder).sort()).toEqual(["other", "state"]);
  });
});

describe("restoring", () => {
  it("moves existing files aside, and only on request", async () => {
    const token = await deployment(at("state"));
    await backUp(at("state"), at("copy"), { now: NOW, signal });
    const other = await deployment(at("other"));
    await expect(restore(at("copy"), at("other"), { now: NOW, signal, replace: false })).rejects.toMatchObject({
      code: "ERR_STATE_DIR",
      nextSteps: [expect.stringContaining("--replace"), expect.stringContaining("--state-dir")],
    });
    expect(await accepts(at("other"), other)).toBe(true);
    const { movedTo } = await restore(at("copy"), at("other"), { now: NOW, signal, replace: true });
    expect([await accepts(at("other"), token), await accepts(at("other"), other)]).toEqual([true, false]);
    expect(await accepts(movedTo!, other)).toBe(true);
  });

  it("is refused while the server runs", async () => {
    await deployment(at("state"));
    await backUp(at("state"), at("copy"), { now: NOW, signal });
    await using _running = await startServer({ stateDir: at("state"), keep: true });
    await expect(restore(at("copy"), at("state"), { now: NOW, signal, replace: true })).rejects.toMatchObject({
      code: "ERR_STATE_DIR_IN_USE",
    });
  });

  const damages: readonly [string, (copy: string) => void, string][] = [
    ["without a manifest", (copy) => rmSync(join(copy, "backup.json")), "ERR_BACKUP"],
    ["with a manifest that is not JSON", (copy) => writeFileSync(join(copy, "backup.json"), "{"), "ERR_BACKUP"],
    ["with a manifest of another form", (copy) => edit(copy, { format: 2 }), "ERR_BACKUP"],
    [
      "with a manifest without end",
      (copy) => writeFileSync(join(copy, "backup.json"), " ".repeat(100_000)),
      "ERR_BACKUP",
    ],
    ["without a database", (copy) => rmSync(join(copy, "coder.db")), "ERR_BACKUP"],
    ["without keys", (copy) => rmSync(join(copy, "keys.json")), "ERR_BACKUP"],
    ["with a byte changed", (copy) => flipByte(join(copy, "coder.db")), "ERR_BACKUP"],
    ["of a later release", (copy) => edit(copy, { schema_version: 1000 }), "ERR_STORE_TOO_NEW"],
  ];
  it.each(damages)("a backup %s changes nothing", async (_, damage, code) => {
    const token = await deployment(at("state"));
    await backUp(at("state"), at("copy"), { now: NOW, signal });
    damage(at("copy"));
    const before = readdirSync(at("state")).sort();
    await expect(restore(at("copy"), at("state"), { now: NOW, signal, replace: true })).rejects.toMatchObject({ code });
    expect(readdirSync(at("state")).sort()).toEqual(before);
    expect(await accepts(at("state"), token)).toBe(true);
  });

  it("the database of another deployment is refused even if its hash was written again", async () => {
    await deployment(at("state"));
    const { files } = await backUp(at("state"), at("copy"), { now: NOW, signal });
    const path = join(at("copy"), "coder.db");
    const database = new DatabaseSync(path);
    database.exec("UPDATE settings SET value = 'another' WHERE key = 'key_fingerprint'");
    database.close();
    const { describeFile } = await import("../src/backup/manifest.ts");
    edit(at("copy"), { files: { ...files, "coder.db": await describeFile(path) } });
    await expect(restore(at("copy"), at("new"), { now: NOW, signal, replace: false })).rejects.toMatchObject({
      code: "ERR_BACKUP",
      why: "its key file does not belong to its database",
    });
    expect(readdirSync(at("new")).filter((name) => name.startsWith("coder.db") || name === "keys.json")).toEqual([]);
  });

  it.runIf(process.getuid?.() === 0)(
    "run by root for a service with its own account, gives the files to that account",
    async () => {
      await deployment(at("state"));
      await backUp(at("state"), at("copy"), { now: NOW, signal });
      chownSync(at("state"), 12_345, 12_346);
      for (const name of readdirSync(at("state"))) chownSync(join(at("state"), name), 12_345, 12_346);
      rmSync(join(at("state"), "server.lock"));
      await restore(at("copy"), at("state"), { now: NOW, signal, replace: true });
      const names = readdirSync(at("state"));
      expect(names).toContain("coder.db");
      for (const name of names) {
        const { uid, gid } = statSync(join(at("state"), name));
        expect([name, uid, gid]).toEqual([name, 12_345, 12_346]);
      }
    },
  );
});

function edit(copy: string, change: object): void {
  const path = join(copy, "backup.json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...change }));
}

function flipByte(path: string): void {
  const content = readFileSync(path);
  content[content.length - 1]! ^= 1;
  writeFileSync(path, content);
}
