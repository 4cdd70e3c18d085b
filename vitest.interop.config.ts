import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/test/interop/**/*.test.ts"],
    testTimeout: 240_000,
    hookTimeout: 600_000,
    pool: "forks",
    maxWorkers: 1,
    fileParallelism: false,
    // What one file of tests has built, others of the same run take.
    env: { CODER_TEST_RUN: process.env["CODER_TEST_RUN"] ?? String(Date.now()) },
  },
});
