import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/cli/test/cluster/**/*.test.ts"],
    testTimeout: 480_000,
    hookTimeout: 480_000,
    pool: "forks",
    // They wait more than they compute.
    maxWorkers: 2,
  },
});
