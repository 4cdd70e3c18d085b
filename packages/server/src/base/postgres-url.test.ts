import { expect, test } from "vitest";
import { isRemote, maskedPostgresUrl, parsePostgresUrl } from "./postgres-url.ts";

function target(text: string) {
  const parsed = parsePostgresUrl(text);
  if ("error" in parsed) throw new Error(parsed.error);
  return parsed;
}

test("a URL of libpq's form is read: several hosts, percent signs, sockets, parameters", () => {
  expect(target("postgres://me:p%40ss:w@one:6000,[::1]:6001,two/db?sslmode=verify-full&sslrootcert=/ca.pem")).toEqual({
    hosts: [
      { host: "one", port: 6000 },
      { host: "::1", port: 6001 },
      { host: "two", port: 5432 },
    ],
    user: "me",
    password: "p@ss:w",
    database: "db",
    tls: "verify-full",
    rootCertFile: "/ca.pem",
    certFile: undefined,
    keyFile: undefined,
  });
  expect(target("postgresql://me@/db?host=/run/postgresql")).toMatchObject({
    hosts: [{ host: "/run/postgresql", port: 5432 }],
    password: undefined,
  });
  expect(target("postgres://me:100%@h")).toMatchObject({ password: "100%", database: "me" });
  expect(target("postgres://me:a@b/c@h/db".replace("/c", "")).hosts).toEqual([{ host: "h", port: 5432 }]);
});

test.each([
  ["mysql://me@h/db", "must be a URL such as"],
  ["postgres://h/db", "must name a user"],
  ["postgres://me@h:0/db", "host:port"],
  ["postgres://me@h:99999/db", "host:port"],
  ["postgres://me@h/db?sslmode=prefer", "sslmode of disable, require, verify-ca, verify-full"],
  ["postgres://me@h/db?options=-csearch_path=x", 'parameter "options"'],
  ["postgres://me@h/db?target_session_attrs=any", "target_session_attrs=read-write"],
  ["postgres://me@h/%zz", "percent signs"],
  [`postgres://me@h/${"x".repeat(5000)}`, "must be a URL such as"],
  [`postgres://me@${"h,".repeat(20)}h/db`, "host:port"],
])("%s is refused with a reason", (text, reason) => {
  const parsed = parsePostgresUrl(text);
  expect("error" in parsed ? parsed.error : "accepted").toContain(reason);
});

test("security R1: what is shown of a URL holds no password and no file", () => {
  const text = "postgres://me:hunter2@h:5432/db?sslmode=require&sslkey=/secret.key";
  expect(maskedPostgresUrl(target(text))).toBe("postgres://me:***@h:5432/db?sslmode=require");
  const wrong = parsePostgresUrl("postgres://me:hunter2@h:5432/db?sslmode=hunter3");
  expect("error" in wrong ? wrong.error : "").not.toMatch(/hunter2/);
});

test("hosts of this machine are distinguished from others", () => {
  const remote = (host: string) => isRemote({ host, port: 1 });
  expect(["localhost", "127.0.0.1", "::1", "/run/postgresql"].filter(remote)).toEqual([]);
  expect(["db", "10.0.0.1", "127.0.0.1.example.com", "fd00::1"].filter(remote)).toHaveLength(4);
});
