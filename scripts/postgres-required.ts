/** Skips every test of the postgres tier where there is no PostgreSQL. */
import { beforeEach } from "vitest";

beforeEach((context) => {
  if (process.env["CODER_TEST_POSTGRES"] === undefined) context.skip("no PostgreSQL on this machine");
});
