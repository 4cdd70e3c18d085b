import { expect, it } from "vitest";
import { createLogger } from "../base/log.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import { Changes } from "../workspaces/changes.ts";
import { ProxyDirectory } from "./proxy-directory.ts";

const log = createLogger({ sink: { write: () => undefined }, level: "error", format: "json" });

/** A directory on a database with one proxy, whose name the test sets. */
function directory() {
  const stored = { name: "first", fails: false };
  const all = async (): Promise<WorkspaceProxyRow[]> => {
    const { name, fails } = stored;
    await Promise.resolve();
    if (fails) throw new Error("no database");
    return [{ name } as WorkspaceProxyRow];
  };
  return { stored, subject: new ProxyDirectory({ proxies: { all }, changes: new Changes(), log }) };
}

it.each([false, true])("has what was changed at any moment of a read; the read fails: %s", async (fails) => {
  for (let turns = 0; turns < 20; turns++) {
    const { stored, subject } = directory();
    stored.fails = fails;
    const reading = subject.refresh();
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    Object.assign(stored, { name: "second", fails: false });
    await subject.refresh();
    await reading;
    expect([turns, subject.all.map(({ name }) => name), subject.isCurrent]).toEqual([turns, ["second"], true]);
    await subject.close();
  }
});
