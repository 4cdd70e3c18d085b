import { expect, test } from "vitest";
import type { AppTarget } from "./decision.ts";
import { programFailure } from "./program-failure.ts";

const target = { agentId: "a", port: 3000, secure: false } as AppTarget;
const origin = "https://3000--main--dev--ada.apps.example.com";
const failed = (code: string) =>
  programFailure(Object.assign(new Error("x"), { code }), { target, origin, path: "/x", forOwner: undefined });

test.each(["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET"])(
  "%s, as while a program is started again: the page waits for it",
  (code) => expect(failed(code)).toMatchObject({ status: 502, reloadSeconds: 2 }),
);

test("a program that does not answer with HTTP is not asked again and again", () => {
  for (const code of ["HPE_INVALID_CONSTANT", "ECONNRESET", ""])
    expect([code, failed(code).reloadSeconds]).toEqual([code, undefined]);
});
